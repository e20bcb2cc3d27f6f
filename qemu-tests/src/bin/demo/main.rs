//! `make demo`: two co-located boxes and forty clients, live. The master's power is cut and comes back; the end is a
//! summary, and exit code 0 only if every promise held.
//!
//! `DEMO=naive` shows another one: the storm of a naive set-up, beside this product.
//!
//! The picture is drawn in place on a terminal and printed as a line now and then anywhere else.

mod naive;
mod naive_verdict;
mod picture;
mod promises;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use halcyon_core::moment::Moment;
use halcyon_qemu_tests::lab::Stream;
use halcyon_qemu_tests::pair::{BOOTS_WITHIN, Pair};
use halcyon_qemu_tests::seed::{Seed, VARIABLE};
use halcyon_qemu_tests::wording::Wording;

use crate::picture::{Canvas, Scene};
use crate::promises::{Moments, Promises};

/// Between two requests.
const PACE: Duration = Duration::from_millis(25);

/// Between two advertisements: an outage of less than a second, on a busy host without false alarms.
const INTERVAL: Duration = Duration::from_millis(250);

/// How long each act is watched.
const ACT: Duration = Duration::from_secs(8);

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The whole demonstration; true when every promise held.
fn run() -> Result<bool> {
    let number = Seed::number_from_environment();
    match std::env::var("DEMO").as_deref() {
        Err(_) | Ok("") => {}
        Ok("naive") => {
            println!("{VARIABLE}={number} draws the same again");
            return naive::run(number);
        }
        Ok(word) => bail!("DEMO={word}: there is DEMO=naive, and the usual demonstration without a word"),
    }
    let logs = Path::new("build/qemu-logs/demo");
    std::fs::create_dir_all(logs).with_context(|| format!("creating {}", logs.display()))?;
    let wording = Wording { interval: INTERVAL, ..Wording::default() };
    let mut pair = Pair::new(&Seed::new(number), wording, logs)?;
    println!(
        "Halcyon: {} and {} share {} port {} (drawn; {VARIABLE}={number} draws the same again)",
        pair.cluster.members[0].name, pair.cluster.members[1].name, pair.cluster.vip, pair.cluster.port
    );
    let mut show = Show { canvas: Canvas::new(std::io::stdout().is_terminal()), stream: None, act: "" };
    let result = play(&mut pair, &mut show);
    show.canvas.end();
    match result {
        Ok(promises) => {
            print!("{promises}");
            if !promises.held() {
                pair.keep_capture()?;
                println!("consoles, events and frames are in {}", logs.display());
            }
            Ok(promises.held())
        }
        Err(error) => {
            pair.keep_capture()?;
            Err(error.context(format!("the demonstration broke off; see {}", logs.display())))
        }
    }
}

/// The acts, one after the other.
fn play(pair: &mut Pair, show: &mut Show) -> Result<Promises> {
    show.act = "booting both boxes";
    pair.power_on(0)?;
    pair.power_on(1)?;
    show.until(pair, BOOTS_WITHIN, |pair| Ok(is_ready(pair, 0)? && is_ready(pair, 1)?))?;
    show.act = "waiting until both serve";
    show.stream = Some(pair.stream(PACE));
    let everyone: Vec<String> = pair.cluster.members.iter().map(|member| member.name.clone()).collect();
    show.until_served_by(pair, &everyone)?;
    // What the boxes lost while they booted is not their promise.
    drop(show.stream.take().map(Stream::stop));
    pair.lab.with(|network| network.switch.crossings.reset());
    show.stream = Some(pair.stream(PACE));

    show.act = "both serve";
    show.watch(pair, ACT)?;

    show.act = "the master's power is cut";
    let mark = pair.boxes[1].machine()?.report.mark();
    let cut = pair.cut_power(0);
    let last_advert = pair.last_advert(0).context("the master never advertised")?;
    let id = pair.cluster.vrid;
    let limit = pair.cluster.master_down_interval(1, &pair.wording) + Duration::from_secs(10);
    show.until(pair, limit, |pair| {
        Ok(pair.boxes[1]
            .machine()?
            .report
            .events()
            .iter()
            .skip(mark)
            .any(|event| event.is_vrrp(id, "master")))
    })?;
    let taken = pair.announced(1, cut)?;
    show.act = "one box serves everything";
    show.watch(pair, ACT)?;

    show.act = "the old master returns";
    let back = pair.lab.now();
    pair.power_on(0)?;
    show.until(pair, BOOTS_WITHIN, |pair| Ok(is_ready(pair, 0)? && state(pair, 0)? == "master"))?;
    show.until_served_by(pair, &everyone)?;
    show.act = "both serve again";
    show.watch(pair, ACT)?;

    let outcomes = show.stream.take().map(Stream::stop).unwrap_or_default();
    let crossings = pair.lab.with(|network| network.switch.crossings.summary().clone());
    let complaints = pair.lab.with(|network| network.switch.adverts.complaints().len());
    let interval = pair.cluster.master_down_interval(1, &pair.wording);
    let allowed = pair.allowed(interval, last_advert, taken);
    let moments = Moments { last_advert, cut, taken, back };
    let (excused, judged): (Vec<_>, Vec<_>) = outcomes
        .into_iter()
        .partition(|one| one.result.is_err() && pair.lost(std::slice::from_ref(one)).is_empty());
    let mut promises = Promises::judge(&judged, &moments, allowed, PACE, &crossings, complaints);
    promises.note(format!("besides    {} under way while the address moved", excused.len()));
    let waited = pair.lab.stalled(Moment::ZERO, pair.lab.now());
    promises.note(format!("test host  kept the boxes waiting for {} ms in all", waited.as_millis()));
    Ok(promises)
}

fn is_ready(pair: &mut Pair, which: usize) -> Result<bool> {
    let events = pair.boxes[which].machine()?.report.events();
    match events.iter().find(|event| event.kind() == "ready") {
        Some(event) if event.text("member").is_empty() => {
            bail!("a box found itself in no member: {}", event.event)
        }
        found => Ok(found.is_some()),
    }
}

/// What the box last said of its virtual router.
fn state(pair: &mut Pair, which: usize) -> Result<String> {
    let events = pair.boxes[which].machine()?.report.events();
    let last = events.iter().rev().find(|event| event.kind() == "vrrp");
    Ok(last.map_or(String::new(), |event| event.text("state").into()))
}

/// The running demonstration as it is shown.
struct Show {
    canvas: Canvas,
    stream: Option<Stream>,
    act: &'static str,
}

impl Show {
    /// Shows for a while.
    fn watch(&mut self, pair: &mut Pair, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        self.until(pair, time + Duration::from_secs(60), |_| Ok(Instant::now() >= end))
    }

    /// Shows until the last answers came from exactly these boxes.
    fn until_served_by(&mut self, pair: &mut Pair, names: &[String]) -> Result<()> {
        let deadline = Instant::now() + BOOTS_WITHIN;
        loop {
            let since = pair.lab.now();
            self.watch(pair, Duration::from_secs(2))?;
            let outcomes = self.stream.as_mut().map_or(&[][..], Stream::so_far);
            let recent = outcomes.iter().filter(|outcome| outcome.began >= since);
            let tally = halcyon_qemu_tests::client::load::Tally::of(recent);
            if tally.lost() == 0 && names.iter().all(|name| tally.served.contains_key(name)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} do not serve together: {tally}", names.join(" and "));
            }
        }
    }

    /// Shows until it `holds`.
    fn until(
        &mut self,
        pair: &mut Pair,
        within: Duration,
        mut holds: impl FnMut(&mut Pair) -> Result<bool>,
    ) -> Result<()> {
        let deadline = Instant::now() + within;
        while !holds(pair)? {
            if Instant::now() > deadline {
                bail!("“{}” took more than {} s", self.act, within.as_secs());
            }
            self.draw(pair);
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn draw(&mut self, pair: &mut Pair) {
        if !self.canvas.is_due() {
            return;
        }
        let now: Moment = pair.lab.now();
        let states = [0, 1].map(|which| match state(pair, which) {
            Ok(state) if state.is_empty() => "booting".to_owned(),
            Ok(state) => state,
            Err(_) => "no power".to_owned(),
        });
        let outcomes = self.stream.as_mut().map_or(&[][..], Stream::so_far);
        let crossings = pair.lab.with(|network| network.switch.crossings.summary().most);
        let names = [0, 1].map(|which| pair.cluster.members[which].name.as_str());
        self.canvas.draw(&Scene::of(now, self.act, names, &states, outcomes, crossings));
    }
}
