//! The walk through every state in which co-located boxes are known to bounce packets, and the proof that the harness
//! would see it.

use anyhow::Result;
use halcyon_qemu_tests::seed::{Seed, VARIABLE};
use halcyon_qemu_tests::storm::agreement::Agreement;
use halcyon_qemu_tests::storm::figures::{Figures, Promise};
use halcyon_qemu_tests::storm::quartet::{self, COLUMNS};
use halcyon_qemu_tests::storm::site::{Make, Manner};
use halcyon_qemu_tests::storm::walk::{ASKED, Found, Walk};
use halcyon_qemu_tests::wording::{Service, Strategy, Wording};

use crate::case::{Case, SITE_INTERVAL, Story, ensure};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[
    Case { name: "storm::weights", machines: 2, tell: weights },
    Case { name: "storm::naive", machines: 2, tell: naive },
    Case { name: "storm::agrees", machines: 2, tell: agrees },
];

/// What the states of `storm::agrees` are drawn from.
const AGREED: u64 = 20;

/// One leg of the walk.
type Leg<'a> = fn(&mut Walk<'a>) -> Result<()>;

fn weights(story: &mut Story) -> Result<()> {
    story.with_site(Make::Halcyon, Strategy::Weights, |story, site| {
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
            kept(story, &cells, |column| state.promise(2, true, quartet::is_sticky(column)))
        }),
        Found::Open(occasion, alive) => {
            story.step(&format!("open connections {}", occasion.name()), |story| {
                story.note(alive.to_string());
                ensure(alive.asked > 0 && alive.alive == alive.asked, || alive.dead.join(", "))
            })
        }
    }
}

/// What was promised of each service, by its column, was kept.
pub(crate) fn kept(story: &mut Story, cells: &[Figures], promise: impl Fn(&str) -> Promise) -> Result<()> {
    for (cell, column) in cells.iter().zip(COLUMNS) {
        story.note(format!("{column} {cell}"));
        let broken = promise(column).broken(cell);
        ensure(broken.is_empty(), || format!("{column}: {}", broken.join("; ")))?;
    }
    Ok(())
}

/// Two boxes by keepalived's documentation bounce packets until their time to live is over.
fn naive(story: &mut Story) -> Result<()> {
    story.with_site(Make::Naive, Strategy::Weights, |story, site| {
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

/// What the storm checker foresees is what the switch counts, with the whole guard and without parts of it.
///
/// The same states in every run, unless a seed is given: a rare one in which both disagree is for who looks for it, not
/// for who changed something else.
fn agrees(story: &mut Story) -> Result<()> {
    if std::env::var_os(VARIABLE).is_none() {
        story.seed = Seed::new(AGREED);
    }
    let strategies =
        [(7, Strategy::SecondNic { fallback: "lan" }), (7, Strategy::Weights), (6, Strategy::STANDBY)];
    let datagrams = Service { name: "datagrams".into(), udp: true, port: 9_999, persistence: None };
    let quick = Make::Halcyon.wording(SITE_INTERVAL);
    let wording = Wording { strategy: strategies[0].1, services: vec![datagrams], ..quick };
    story.with_pair(wording, |story, pair| {
        story.step("boots", |_| pair.boot())?;
        let seed = story.seed.clone();
        let mut agreement = Agreement::new(pair, &seed)?;
        for (count, strategy) in strategies {
            story.step(&format!("{count} states of {}", strategy.name()), |story| {
                agreement.enforce(strategy)?;
                agreement.states(count)?;
                story.note(agreement.found.to_string());
                Ok(())
            })?;
        }
        story.step("loops were among it, and stale entries", |_| {
            let found = &agreement.found;
            ensure(found.looped > 0 && found.most > 2 && found.stale > 0, || found.to_string())
        })
    })
}
