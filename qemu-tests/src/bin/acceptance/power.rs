//! Power cuts at drawn instants: of a box that starts, that writes, and that has just said "saved". What it comes up with
//! must be what it was told to keep, or what it was being told.
//!
//! `HALCYON_CUTS` says how often, and `HALCYON_CUT=saved` that all of them come right after "saved"; the box serves nobody
//! else meanwhile, so that a start takes seconds.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use halcyon_qemu_tests::agent::{Agent, HALCTL};
use halcyon_qemu_tests::pair::{BOOTS_WITHIN, Pair};
use halcyon_qemu_tests::seed::Seed;
use halcyon_qemu_tests::vm::report::Reported;
use halcyon_qemu_tests::volume;
use halcyon_qemu_tests::wording::Wording;
use halcyon_test_agent::Request;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Broken, Case, Story};
use crate::config::{install, started_from_disk, wait_history};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[Case { name: "power::cuts", machines: 1, tell: cuts }];

/// How many cuts, unless `HALCYON_CUTS` says so.
const CUTS: u64 = 20;
/// New documents that lie on the stick at a time.
const SHELF: u64 = 6;
/// A cut while the box writes comes within this after the first verb.
const WRITING: Duration = Duration::from_millis(2_500);
/// A box that is on answers a verb within this.
const ANSWERS_WITHIN: Duration = Duration::from_secs(20);
/// One whose power may go at any instant is waited for so long; what it does not answer counts as "perhaps".
const HANGS_ON: Duration = Duration::from_secs(3);

/// When the power goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum When {
    Starting,
    Writing,
    Saved,
}

/// What the box was told to keep.
#[derive(Debug, Default)]
struct Ledger {
    /// The revision that it said is saved.
    stays: Option<u64>,
    /// Revisions that it was told to keep and did not answer for.
    perhaps: BTreeSet<u64>,
    /// The highest that it was ever given.
    given: u64,
}

impl Ledger {
    fn saved(&mut self, revision: u64) {
        self.stays = Some(revision);
        self.perhaps.clear();
    }

    /// Takes in what the box came up with.
    fn found(&mut self, source: &str, revision: u64) -> Result<(), Broken> {
        let legal = match (self.stays, source) {
            (None, "volume") => revision == 1,
            (stays, "store") => stays == Some(revision) || self.perhaps.contains(&revision),
            _ => false,
        };
        if !legal {
            return Err(Broken(format!("the box came up with revision {revision} by {source}; {self:?}")));
        }
        if source == "store" {
            self.saved(revision);
        }
        Ok(())
    }
}

/// Cuts the power of a machine after a while.
struct Cutter {
    done: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Cutter {
    fn after(machine: u32, delay: Duration) -> Self {
        let done = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&done);
        let thread = std::thread::spawn(move || {
            // The instant is drawn; nothing is waited for.
            std::thread::sleep(delay);
            flag.store(true, Ordering::SeqCst);
            // It fails only when the machine is gone already.
            let _ = kill(Pid::from_raw(machine.cast_signed()), Signal::SIGKILL);
        });
        Self { done, thread }
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::SeqCst)
    }
}

/// One box and its history.
struct Trial<'a> {
    pair: &'a mut Pair,
    agent: Agent,
    seed: Seed,
    ledger: Ledger,
    /// How long the first start took, from power on until a document was in force.
    start: Duration,
    /// From a verb until its "saved".
    commits: Vec<Duration>,
    keys: u64,
    /// The power goes after "saved" and at no other time.
    only_saved: bool,
}

fn cuts(story: &mut Story) -> Result<()> {
    let cuts = std::env::var("HALCYON_CUTS").ok().and_then(|n| n.parse().ok()).unwrap_or(CUTS);
    let only_saved = std::env::var("HALCYON_CUT").is_ok_and(|when| when == "saved");
    let seed = story.seed.fork("cuts");
    story.with_pair(Wording::default(), |story, pair| {
        install(story, pair)?;
        started_from_disk(pair);
        let agent = pair.agent(0);
        let start = Duration::from_secs(1);
        let (ledger, commits) = (Ledger::default(), Vec::new());
        let mut trial = Trial { pair, agent, seed, ledger, start, commits, keys: 0, only_saved };
        story.step(&format!("after each of {cuts} power cuts it has the old or the new document"), |story| {
            let mut tally = [0; 3];
            for cut in 0..cuts {
                let when = trial.draw(cut);
                trial.round(when).with_context(|| format!("at cut {cut}"))?;
                tally[when as usize] += 1;
            }
            trial.come_up().context("after the last cut")?;
            trial.pair.cut_power(0);
            let [starting, writing, saved] = tally;
            story.note(format!(
                "{starting} while it started, {writing} while it wrote, {saved} at once after \"saved\""
            ));
            story.note(format!("{} documents saved, {} new keys", trial.commits.len(), trial.keys));
            story.note("0 lost, 0 that did not start".to_owned());
            story.note(quantiles(&mut trial.commits));
            Ok(())
        })
    })
}

impl Trial<'_> {
    /// A fourth while the box starts, a fourth after "saved". The first start of all is cut, too: it makes the key.
    fn draw(&mut self, cut: u64) -> When {
        match cut % 4 {
            _ if self.only_saved => When::Saved,
            0 => When::Starting,
            2 => When::Saved,
            _ => When::Writing,
        }
    }

    /// Starts the box, looks what it has, lets it write, and cuts its power.
    fn round(&mut self, when: When) -> Result<()> {
        if when == When::Starting {
            // At the first time nobody knows yet how long a start takes.
            let longest = self.start.max(Duration::from_secs(8)) * 5 / 4;
            let delay = self.drawn(longest);
            self.power_on()?;
            let cutter = Cutter::after(self.pair.boxes[0].machine()?.process(), delay);
            cutter.thread.join().map_err(|_| anyhow::anyhow!("the cutter panicked"))?;
            self.ledger.given = self.ledger.given.max(1);
            if self.ledger.stays.is_none() {
                self.ledger.perhaps.insert(1);
            }
            self.pair.cut_power(0);
            return Ok(());
        }
        self.come_up()?;
        if when == When::Saved {
            for _ in 0..self.seed.between(0, 2) {
                self.verb(None)?;
            }
            let revision = self.next();
            self.apply(revision, None)?;
        } else {
            let delay = self.drawn(WRITING);
            let cutter = Cutter::after(self.pair.boxes[0].machine()?.process(), delay);
            while !cutter.is_done() && self.ledger.given < self.shelf_end() {
                self.verb(Some(&cutter))?;
            }
            cutter.thread.join().map_err(|_| anyhow::anyhow!("the cutter panicked"))?;
        }
        self.pair.cut_power(0);
        Ok(())
    }

    /// Switches the box on with a stick of new documents.
    fn power_on(&mut self) -> Result<()> {
        let mut files = Vec::new();
        let first = self.ledger.given + 1;
        for (name, revision) in std::iter::once(("halcyon".to_owned(), 1))
            .chain((first..=first + SHELF).map(|r| (format!("r{r}"), r)))
        {
            self.pair.wording.revision = revision;
            let document = self.pair.cluster.document(&self.pair.wording);
            let signature = self.pair.sign(&document)?;
            files.push((format!("{name}.toml"), document));
            files.push((format!("{name}.toml.minisig"), signature));
        }
        let stick = self.pair.boxes[0].hardware.disks.last().context("the box has a stick")?.file.clone();
        let files: Vec<(&str, &[u8])> =
            files.iter().map(|(name, text)| (name.as_str(), text.as_bytes())).collect();
        volume::write(&stick, &files)?;
        self.pair.power_on(0)
    }

    /// Starts the box, and judges what it comes up with.
    fn come_up(&mut self) -> Result<()> {
        let began = Instant::now();
        self.power_on()?;
        let in_force = |event: &Reported| event.kind() == "config" && event.number("revision").is_some();
        let report = &self.pair.boxes[0].machine()?.report;
        let event = report.expect("a document in force", BOOTS_WITHIN, in_force)?;
        self.start = began.elapsed();
        let revision = event.event["revision"].as_u64().context("a revision is a number")?;
        self.ledger.found(event.text("source"), revision)?;
        self.ledger.given = self.ledger.given.max(revision);
        if self.ledger.stays.is_none() {
            wait_history(&self.agent, "* generation 1, permanent")?;
            self.ledger.saved(1);
        }
        Ok(())
    }

    fn shelf_end(&self) -> u64 {
        // Whatever was given since the start is above what was given before it.
        self.ledger.stays.unwrap_or(1).max(1) + SHELF
    }

    fn next(&mut self) -> u64 {
        self.ledger.given += 1;
        self.ledger.given
    }

    /// One drawn change of the configuration.
    fn verb(&mut self, cutter: Option<&Cutter>) -> Result<()> {
        match self.seed.between(0, 9) {
            0..=4 => {
                let revision = self.next();
                self.apply(revision, cutter)
            }
            5..=7 => {
                let revision = self.next();
                if self.ask(&["config", "apply", &usb(revision), "--confirm-within", "1h"], cutter)?.is_none()
                {
                    return Ok(());
                }
                self.ledger.perhaps.insert(revision);
                if let Some(said) = self.ask(&["config", "confirm"], cutter)? {
                    self.expect_saved(&said, revision)?;
                }
                Ok(())
            }
            8 => {
                let revision = self.next();
                self.ask(&["config", "apply", &usb(revision), "--confirm-within", "1h"], cutter).map(drop)
            }
            _ => {
                self.keys += u64::from(self.ask(&["key", "rotate"], cutter)?.is_some());
                Ok(())
            }
        }
    }

    fn apply(&mut self, revision: u64, cutter: Option<&Cutter>) -> Result<()> {
        self.ledger.perhaps.insert(revision);
        let began = Instant::now();
        if let Some(said) = self.ask(&["config", "apply", &usb(revision)], cutter)? {
            self.commits.push(began.elapsed());
            self.expect_saved(&said, revision)?;
        }
        Ok(())
    }

    fn expect_saved(&mut self, said: &str, revision: u64) -> Result<()> {
        if !said.contains("saved as generation") {
            bail!(Broken(format!("revision {revision} should be saved: {said}")));
        }
        self.ledger.saved(revision);
        Ok(())
    }

    /// Asks the box for something; `None`: it did not answer, for its power may be gone.
    fn ask(&self, words: &[&str], cutter: Option<&Cutter>) -> Result<Option<String>> {
        let deadline = Instant::now() + ANSWERS_WITHIN;
        let within = if cutter.is_some() { HANGS_ON } else { ANSWERS_WITHIN };
        let words: Vec<String> = std::iter::once(&HALCTL).chain(words).map(ToString::to_string).collect();
        loop {
            let request = Request::Run { words: words.clone(), input: String::new() };
            match self.agent.ask(&request, within) {
                Ok(said) => return Ok(Some(said)),
                Err(_) if cutter.is_some_and(Cutter::is_done) => return Ok(None),
                Err(error) => {
                    let told = error.to_string();
                    let soon = ["ask again", "engine does not answer", "labelled HALCYON is plugged in"];
                    if cutter.is_some() && told.contains("did not answer within") {
                        return Ok(None);
                    }
                    if !soon.iter().any(|why| told.contains(why)) || Instant::now() > deadline {
                        return Err(error.context(format!("asked for {words:?}")));
                    }
                    std::thread::sleep(Duration::from_millis(100));
                }
            }
        }
    }

    fn drawn(&mut self, longest: Duration) -> Duration {
        Duration::from_millis(self.seed.between(0, u64::try_from(longest.as_millis()).unwrap_or(u64::MAX)))
    }
}

fn usb(revision: u64) -> String {
    format!("usb:r{revision}.toml")
}

/// The median and the 99th percentile, in words.
fn quantiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |share: usize| times.get((times.len() * share / 100).min(times.len().saturating_sub(1)));
    let millis = |share| at(share).map_or(0, Duration::as_millis);
    format!("from asked to \"saved\": p50 {} ms, p99 {} ms of {}", millis(50), millis(99), times.len())
}
