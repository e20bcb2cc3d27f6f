//! Faults of the wire: pulled cables, checks that fail while VRRP works, and two masters at once.

use std::time::Duration;

use anyhow::Result;
use halcyon_qemu_tests::client::load::Tally;
use halcyon_qemu_tests::pair::Pair;
use halcyon_qemu_tests::switch::faults::{Fault, Traffic};
use halcyon_qemu_tests::wording::Wording;

use crate::case::{Case, Story};
use crate::serving::{all_answered, balanced, crossings};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[
    Case { name: "faults::cables", machines: 2, tell: cables },
    Case { name: "faults::real_server", machines: 2, tell: real_server },
    Case { name: "faults::split_brain", machines: 2, tell: split_brain },
];

/// IP protocol number of TCP.
const TCP: u8 = 6;

/// Checks every second that give up after one, so that a case does not take minutes.
fn quick_checks() -> Wording {
    let second = Duration::from_secs(1);
    Wording { check_interval: second, check_timeout: second, ..Wording::default() }
}

fn cables(story: &mut Story) -> Result<()> {
    story.with_pair(quick_checks(), |story, pair| {
        story.step("boots", |_| pair.boot())?;
        for (which, role) in [(0, "master"), (1, "backup")] {
            let other = pair.cluster.members[1 - which].name.clone();
            story.step(&format!("the {role}'s cable is pulled: the address answers again"), |_| {
                pair.set_cable(which, false)?;
                pair.wait_served_by(&[&other])
            })?;
            story.step(&format!("the {role}'s cable is back: both serve"), |story| {
                pair.set_cable(which, true)?;
                pair.wait_serving()?;
                balanced(story, pair)
            })?;
        }
        Ok(())
    })
}

fn real_server(story: &mut Story) -> Result<()> {
    story.with_pair(quick_checks(), |story, pair| {
        story.step("boots", |_| pair.boot())?;
        let (ports, master) = (pair.ports(), pair.cluster.members[0].name.clone());
        story.step("a server whose check fails is removed", |_| {
            pair.lab.with(move |network| {
                network.switch.faults.set(vec![Fault::partition(Traffic::Ip(TCP), ports[0], ports[1])]);
            });
            pair.wait_served_by(&[&master])
        })?;
        story.step("and returns after it recovers", |story| {
            pair.lab.with(|network| network.switch.faults.set(Vec::new()));
            pair.wait_balanced()?;
            balanced(story, pair)
        })
    })
}

fn split_brain(story: &mut Story) -> Result<()> {
    story.with_pair(quick_checks(), |story, pair| {
        story.step("boots", |_| pair.boot())?;
        let ports = pair.ports();
        story.step("without VRRP between them both are master", |_| {
            let mark = pair.boxes[1].machine()?.report.mark();
            pair.lab.with(move |network| {
                network.switch.faults.set(vec![Fault::partition(Traffic::Vrrp, ports[0], ports[1])]);
            });
            pair.wait_vrrp(1, mark, "master", Duration::from_secs(10)).map(drop)
        })?;
        story.step("while clients are pulled to and fro no packet crosses twice", |story| {
            pair.lab.with(|network| network.switch.crossings.reset());
            // A connection whose client changes directors half-way may be reset; a loop is never to be.
            story.note(Tally::of(&pair.requests(200)).to_string());
            crossings(story, pair)
        })?;
        story.step("once they have settled every connection is answered", |story| settled(story, pair))?;
        story.step("after the heal there is one master again", |story| {
            let mark = pair.boxes[1].machine()?.report.mark();
            pair.lab.with(|network| network.switch.faults.set(Vec::new()));
            pair.wait_vrrp(1, mark, "backup", Duration::from_secs(10))?;
            pair.wait_master(0)?;
            settled(story, pair)
        })
    })
}

fn settled(story: &mut Story, pair: &Pair) -> Result<()> {
    pair.wait_settled()?;
    pair.lab.with(|network| network.switch.crossings.reset());
    let outcomes = pair.requests(200);
    story.note(Tally::of(&outcomes).to_string());
    all_answered(story, pair, &outcomes)?;
    crossings(story, pair)
}
