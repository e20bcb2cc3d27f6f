//! The walk through every state in which co-located boxes are known to bounce packets, and the proof that the harness
//! would see it.

use std::time::Duration;

use anyhow::{Context, Result};
use halcyon_qemu_tests::storm::quartet::{self, COLUMNS};
use halcyon_qemu_tests::storm::site::{Make, Manner, Site};
use halcyon_qemu_tests::storm::walk::{ASKED, Found, Walk};

use crate::case::{Case, Story, ensure};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[
    Case { name: "storm::weights", machines: 2, tell: weights },
    Case { name: "storm::naive", machines: 2, tell: naive },
];

/// Between advertisements: a busy host makes no false alarm, and nobody waits long.
const INTERVAL: Duration = Duration::from_millis(250);

/// One leg of the walk.
type Leg<'a> = fn(&mut Walk<'a>) -> Result<()>;

fn weights(story: &mut Story) -> Result<()> {
    with_site(story, Make::Halcyon, |story, site| {
        story.step("boots", |_| site.boot())?;
        let seed = story.seed.clone();
        let mut found = Vec::new();
        let mut keep = |one| found.push(one);
        let mut walk = Walk::new(site, &seed, ASKED, &mut keep);
        let legs: [(&str, Leg<'_>); 4] = [
            ("each master in turn, a death and a return", Walk::masters),
            ("a split brain and its end", Walk::split),
            ("another document", Walk::document),
            ("a dead application", Walk::application),
        ];
        for (what, leg) in legs {
            story.step(what, |_| leg(&mut walk))?;
        }
        drop(walk);
        found.into_iter().try_for_each(|one| judge(story, one))
    })
}

/// What was found must be what was promised.
fn judge(story: &mut Story, found: Found) -> Result<()> {
    match found {
        Found::State(state, cells) => story.step(state.name(), |story| {
            for (cell, column) in cells.iter().zip(COLUMNS) {
                let promise = state.promise(2, true, quartet::is_sticky(column));
                story.note(format!("{column} {cell}"));
                let broken = promise.broken(cell);
                ensure(broken.is_empty(), || format!("{column}: {}", broken.join("; ")))?;
            }
            Ok(())
        }),
        Found::Open(occasion, alive) => {
            story.step(&format!("open connections {}", occasion.name()), |story| {
                story.note(alive.to_string());
                ensure(alive.asked > 0 && alive.alive == alive.asked, || alive.dead.join(", "))
            })
        }
    }
}

/// Two boxes by keepalived's documentation bounce packets until their time to live is over.
fn naive(story: &mut Story) -> Result<()> {
    with_site(story, Make::Naive, |story, site| {
        story.step("boots", |_| site.boot())?;
        for ttl in [64, 255] {
            story.step(&format!("a packet sent with TTL {ttl} circles to its end"), |story| {
                let manner = Manner { ttl: Some(ttl), ..Manner::default() };
                for (figures, column) in site.load(40, manner).iter().zip(COLUMNS) {
                    story.note(format!("{column} {figures}"));
                    let circles = figures.crossings + 1 >= u32::from(ttl);
                    ensure(circles && figures.answered < figures.asked, || format!("{column}: {figures}"))?;
                }
                Ok(())
            })?;
        }
        Ok(())
    })
}

/// Tells the story of a site, and keeps the capture when it fails.
fn with_site(
    story: &mut Story,
    make: Make,
    tell: impl FnOnce(&mut Story, &mut Site) -> Result<()>,
) -> Result<()> {
    let mut site = Site::new(&story.seed, make, 2, make.wording(INTERVAL), &story.logs)?;
    let result = tell(story, &mut site);
    if result.is_err() {
        site.pair.keep_capture().context("keeping the capture")?;
    }
    result
}
