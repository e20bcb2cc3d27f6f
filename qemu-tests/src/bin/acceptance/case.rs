//! Runs cases side by side as far as the processors allow, and keeps the score.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use halcyon_qemu_tests::pair::Pair;
use halcyon_qemu_tests::seed::{Seed, VARIABLE};
use halcyon_qemu_tests::storm::site::{Make, Site};
use halcyon_qemu_tests::wording::{Strategy, Wording};

/// A case: one story, told in steps that each count as a test.
pub(crate) struct Case {
    /// `area::story`.
    pub(crate) name: &'static str,
    /// How many machines run at a time: each needs a processor for itself.
    pub(crate) machines: usize,
    /// The story. It ends at the first step that fails.
    pub(crate) tell: fn(&mut Story) -> Result<()>,
}

/// What a case knows and has found.
pub(crate) struct Story {
    name: &'static str,
    /// The case's own stream of chance.
    pub(crate) seed: Seed,
    /// Where its logs go.
    pub(crate) logs: PathBuf,
    passed: usize,
    notes: Vec<String>,
}

impl Story {
    /// One step: prints how it went and counts it.
    pub(crate) fn step<T>(&mut self, what: &str, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        let began = Instant::now();
        let result = work(self);
        let notes = std::mem::take(&mut self.notes);
        let told = if notes.is_empty() { String::new() } else { format!(": {}", notes.join(", ")) };
        let took = began.elapsed().as_secs_f64();
        match &result {
            Ok(_) => {
                self.passed += 1;
                println!("PASS  {} / {what} ({took:.1} s){told}", self.name);
            }
            Err(_) => println!("FAIL  {} / {what} ({took:.1} s){told}", self.name),
        }
        result
    }

    /// A measured fact, to be printed with the step.
    pub(crate) fn note(&mut self, fact: impl Into<String>) {
        self.notes.push(fact.into());
    }

    /// Tells the story of a pair, and keeps the capture when it fails.
    pub(crate) fn with_pair(
        &mut self,
        wording: Wording,
        tell: impl FnOnce(&mut Self, &mut Pair) -> Result<()>,
    ) -> Result<()> {
        let mut pair = Pair::new(&self.seed, wording, &self.logs)?;
        let result = tell(self, &mut pair);
        self.keep_capture(&pair, &result);
        result
    }

    /// The same for two boxes of a make with four services.
    pub(crate) fn with_site(
        &mut self,
        make: Make,
        strategy: Strategy,
        tell: impl FnOnce(&mut Self, &mut Site) -> Result<()>,
    ) -> Result<()> {
        let wording = Wording { strategy, ..make.wording(SITE_INTERVAL) };
        let mut site = Site::new(&self.seed, make, 2, wording, &self.logs)?;
        let result = tell(self, &mut site);
        self.keep_capture(&site.pair, &result);
        result
    }

    fn keep_capture(&self, pair: &Pair, result: &Result<()>) {
        if result.is_err()
            && let Err(error) = pair.keep_capture()
        {
            println!("      {}: no capture: {error:#}", self.name);
        }
    }
}

/// Between advertisements of a site: a busy host makes no false alarm, and nobody waits long.
pub(crate) const SITE_INTERVAL: Duration = Duration::from_millis(250);

/// Fails with a sentence unless `holds`.
pub(crate) fn ensure(holds: bool, sentence: impl FnOnce() -> String) -> Result<()> {
    if !holds {
        bail!(sentence());
    }
    Ok(())
}

/// A promise that no slowness of the host can break: a case that saw it broken failed, and is not told again.
#[derive(Debug)]
pub(crate) struct Broken(pub(crate) String);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Broken {}

/// Runs the cases; how many steps passed, and how many cases failed at one.
pub(crate) fn run_all(cases: &[&'static Case]) -> (usize, usize) {
    let number = Seed::number_from_environment();
    println!("{} cases; {VARIABLE}={number} replays them", cases.len());
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let free = Mutex::new(processors);
    let returned = Condvar::new();
    let score = Mutex::new((0, 0));
    // Those that need every processor first: one between smaller ones would have to wait until nothing else runs.
    let mut cases = cases.to_vec();
    cases.sort_by_key(|case| std::cmp::Reverse(case.machines.min(processors)));
    std::thread::scope(|scope| {
        for case in cases {
            let wants = case.machines.min(processors);
            let free_now = free.lock().expect("no case panics with the lock");
            let mut free_now =
                returned.wait_while(free_now, |free| *free < wants).expect("no case panics with the lock");
            *free_now -= wants;
            drop(free_now);
            let (free, returned, score) = (&free, &returned, &score);
            scope.spawn(move || {
                let (passed, failed) = run(case, number);
                let mut score = score.lock().expect("no case panics with the lock");
                *score = (score.0 + passed, score.1 + failed);
                drop(score);
                *free.lock().expect("no case panics with the lock") += wants;
                returned.notify_all();
            });
        }
    });
    score.into_inner().expect("no case panics with the lock")
}

/// How often a case is told before it counts as failed. Software emulation on a busy machine stands still at times, and
/// a promise of milliseconds is then broken by nobody. A case that needs another try says so, and keeps the logs.
const TRIES: usize = 3;

/// Tells a case; how many steps passed, and whether it failed in the end.
fn run(case: &'static Case, number: u64) -> (usize, usize) {
    for again in 1..=TRIES {
        let (passed, complaint) = tell(case, number, again);
        let Some((complaint, final_)) = complaint else {
            if again > 1 {
                println!("AGAIN {} passed at try {again}", case.name);
            }
            return (passed, 0);
        };
        println!("      {}", complaint.replace('\n', "\n      "));
        if final_ || again == TRIES {
            return (passed, 1);
        }
    }
    (0, 1)
}

/// Tells a case once; what went wrong, if anything, and whether that is for good.
fn tell(case: &'static Case, number: u64, again: usize) -> (usize, Option<(String, bool)>) {
    let logs = Path::new("build/qemu-logs").join(format!("{}-{again}", case.name.replace("::", "-")));
    // What an earlier run left.
    let _ = std::fs::remove_dir_all(&logs);
    if let Err(error) = std::fs::create_dir_all(&logs) {
        return (0, Some((format!("creating {}: {error}", logs.display()), false)));
    }
    let seed = Seed::new(number).fork(case.name);
    let mut story = Story { name: case.name, seed, logs, passed: 0, notes: Vec::new() };
    let began = Instant::now();
    let result = catch_unwind(AssertUnwindSafe(|| (case.tell)(&mut story)));
    let took = Duration::from_secs(began.elapsed().as_secs());
    let complaint = match result {
        Ok(Ok(())) => {
            // Logs are for failures; one that cannot be removed does no harm.
            let _ = std::fs::remove_dir_all(&story.logs);
            return (story.passed, None);
        }
        Ok(Err(error)) => (format!("{error:#}"), error.chain().any(|cause| cause.is::<Broken>())),
        Err(_) => ("it panicked; see above".into(), false),
    };
    println!("FAIL  {} after {took:?} with {VARIABLE}={number}; logs in {}", case.name, story.logs.display());
    (story.passed, Some(complaint))
}
