//! `DEMO=naive make demo`: the storm as it happens to keepalived's usual set-up, beside this product, both in the same
//! states at the same time. A line every two seconds; then what was seen, and whether it was what had to be seen.

use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use halcyon_qemu_tests::client::load::Tally;
use halcyon_qemu_tests::client::talk::Outcome;
use halcyon_qemu_tests::lab::Stream;
use halcyon_qemu_tests::seed::Seed;
use halcyon_qemu_tests::storm::site::{Make, Manner, Neighbour, Site};

use crate::naive_verdict::{Seen, Verdict};

/// Between two requests to each of the four services.
const PACE: Duration = Duration::from_millis(100);

/// How long each act is watched.
const ACT: Duration = Duration::from_secs(10);

/// Between two lines.
const LINE: Duration = Duration::from_secs(2);

/// What happens to both sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Normal,
    LongLived,
    Split,
}

impl Act {
    fn name(self) -> &'static str {
        match self {
            Self::Normal => "both boxes serve",
            Self::LongLived => "clients send with TTL 255",
            Self::Split => "split brain, clients on either side",
        }
    }

    fn manner(self) -> Manner {
        let ttl = (self == Self::LongLived).then_some(255);
        Manner { ttl, ..Manner::default() }
    }
}

/// The whole demonstration; true when the storm was seen there and only there.
pub(crate) fn run(number: u64) -> Result<bool> {
    let logs = Path::new("build/qemu-logs/demo-naive");
    let mut sites = Vec::new();
    for make in [Make::Naive, Make::Halcyon] {
        let logs = logs.join(title(make));
        std::fs::create_dir_all(&logs).with_context(|| format!("creating {}", logs.display()))?;
        let wording = make.wording(Duration::from_secs(1));
        sites.push(Site::new(&Seed::new(number).fork(title(make)), make, 2, wording, &logs)?);
    }
    println!("two pairs boot: keepalived as in its documentation, and Halcyon");
    let began = Instant::now();
    both(&mut sites, Site::boot)?;
    let mut verdict = Verdict::default();
    for act in [Act::Normal, Act::LongLived, Act::Split] {
        if act == Act::Split {
            both(&mut sites, |site| {
                site.split()?;
                site.believe(Neighbour::Spread);
                Ok(())
            })?;
        }
        let [naive, halcyon] = watch(&sites, act, began)?;
        verdict.add(act.name(), act.manner().ttl.unwrap_or(64).into(), naive, halcyon);
    }
    print!("{verdict}");
    if !verdict.held() {
        sites.iter().try_for_each(|site| site.pair.keep_capture())?;
        println!("consoles, events and frames are in {}", logs.display());
    }
    Ok(verdict.held())
}

/// Does the same with both sites at a time.
fn both(sites: &mut [Site], work: impl Fn(&mut Site) -> Result<()> + Sync) -> Result<()> {
    std::thread::scope(|scope| {
        let work = &work;
        let at_work: Vec<_> = sites.iter_mut().map(|site| scope.spawn(move || work(site))).collect();
        at_work.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow!("a site's thread panicked"))?)
    })
}

/// Watches an act at both sites: what was seen at each.
fn watch(sites: &[Site], act: Act, began: Instant) -> Result<[Seen; 2]> {
    for site in sites {
        site.pair.lab.with(|network| network.switch.crossings.reset());
    }
    let mut streams: Vec<Vec<Stream>> = sites.iter().map(|site| site.streams(PACE, act.manner())).collect();
    let end = Instant::now() + ACT;
    while Instant::now() < end {
        std::thread::sleep(LINE.min(end.saturating_duration_since(Instant::now())));
        let seen = sites.iter().zip(&mut streams).map(|(site, streams)| {
            let outcomes: Vec<_> = streams.iter_mut().flat_map(|stream| stream.so_far().to_vec()).collect();
            format!("{}: {}", title(site.make), seen(site, &outcomes))
        });
        let line = seen.collect::<Vec<_>>().join(" | ");
        println!("{:>4} s  {} | {line}", began.elapsed().as_secs(), act.name());
    }
    let all = sites.iter().zip(streams).map(|(site, streams)| {
        let outcomes: Vec<_> = streams.into_iter().flat_map(Stream::stop).collect();
        seen(site, &outcomes)
    });
    all.collect::<Vec<_>>().try_into().map_err(|_| anyhow!("there are two sites"))
}

fn seen(site: &Site, outcomes: &[Outcome]) -> Seen {
    let books = site.pair.lab.with(|network| network.switch.crossings.summary().clone());
    let tally = Tally::of(outcomes);
    let lost = tally.lost();
    Seen { asked: tally.requests, lost, crossings: books.most, frames_each: books.frames_each() }
}

fn title(make: Make) -> &'static str {
    match make {
        Make::Naive => "naive",
        Make::Halcyon => "Halcyon",
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, lost, crossings, frames_each } = self;
        write!(f, "{lost} of {asked} lost, crossings {crossings}, {frames_each:.1} frames for one")
    }
}
