//! The same pair with Debian 12's keepalived 2.2.7 in one of the two boxes, as master and as backup.

use std::time::Duration;

use anyhow::{Context, Result};
use halcyon_qemu_tests::client::load::Tally;
use halcyon_qemu_tests::keepalived::Extent;
use halcyon_qemu_tests::pair::Pair;
use halcyon_qemu_tests::wire::Advert;
use halcyon_qemu_tests::wording::Wording;

use crate::case::{Case, Story, ensure};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[
    Case { name: "interop::harness_keepalived_pair", machines: 2, tell: |story| alone(story, v2()) },
    Case { name: "interop::v2_keepalived_master", machines: 2, tell: |story| beside(story, v2(), 0) },
    Case { name: "interop::v2_keepalived_backup", machines: 2, tell: |story| beside(story, v2(), 1) },
    Case { name: "interop::v3_keepalived_master", machines: 2, tell: |story| beside(story, v3(), 0) },
    Case { name: "interop::v3_keepalived_backup", machines: 2, tell: |story| beside(story, v3(), 1) },
];

/// keepalived may take so many times as long as the standard says: how punctual it is under emulation is not our subject.
const PEER_LATE: u32 = 2;

/// It speaks VRRP and balances nothing.
const ROUTER: Extent = Extent { director: false, priority: None };

/// Version 2 with a password, every second.
fn v2() -> Wording {
    Wording {
        version: 2,
        interval: Duration::from_secs(1),
        password: Some("1111".into()),
        ..Wording::default()
    }
}

/// Version 3 ten times a second; stock keepalived sums a pseudo-header, and 2.2.7 has no option against it.
fn v3() -> Wording {
    Wording { pseudo_header: true, ..Wording::default() }
}

/// Two keepalived boxes: shows that the harness itself sees a takeover, before it judges ours by the same means.
fn alone(story: &mut Story, wording: Wording) -> Result<()> {
    story.with_pair(wording, |story, pair| {
        story.step("two keepalived boxes start and one advertises", |_| {
            pair.put_keepalived(0, ROUTER)?;
            pair.put_keepalived(1, ROUTER)?;
            pair.power_on(0)?;
            pair.power_on(1)?;
            let name = pair.cluster.members[0].name.clone();
            pair.wait_served_by(&[&name])?;
            pair.wait_advertised(0)
        })?;
        story.step("the agent answers, in pieces too", |_| {
            let agent = pair.agent(0);
            let parameters = agent.read("/proc/cmdline")?;
            ensure(parameters.contains("console=ttyS0"), || parameters)?;
            let symbols = agent.read("/proc/kallsyms")?;
            ensure(symbols.len() > 100_000, || format!("{} bytes of /proc/kallsyms", symbols.len()))
        })?;
        story.step("the other takes over after a power cut", |story| takes_over(story, pair, PEER_LATE))?;
        story.step("an independent decoder has no complaint", |_| no_complaint(pair))
    })
}

/// keepalived in the place of one box: who is master, who takes over, who gets it back.
fn beside(story: &mut Story, wording: Wording, keepalived: usize) -> Result<()> {
    let ours = 1 - keepalived;
    story.with_pair(wording, |story, pair| {
        story.step("both start, and the higher priority is master", |_| {
            pair.put_keepalived(keepalived, ROUTER)?;
            pair.power_on(0)?;
            pair.power_on(1)?;
            pair.wait_ready(ours)?;
            pair.wait_master(0)?;
            let expected = if ours == 0 { "master" } else { "backup" };
            pair.wait_vrrp(ours, 0, expected, Duration::from_secs(30))?;
            // A backup that has heard no advertisement yet counts from its own start, which is later than the last one.
            pair.wait_advertised(0)
        })?;
        let late = if ours == 1 { 1 } else { PEER_LATE };
        story.step("the other takes over after a power cut", |story| takes_over(story, pair, late))?;
        story.step("the first comes back and preempts", |_| {
            pair.power_on(0)?;
            pair.wait_master(0)?;
            let tally = Tally::of(&pair.requests(40));
            ensure(tally.lost() == 0, || tally.to_string())
        })?;
        story.step("both put the same on the wire", |_| same_words(pair))?;
        story.step("an independent decoder has no complaint", |_| no_complaint(pair))
    })
}

/// Cuts the power of the first box: the second must be heard, announce and serve in time, which is `late` times its
/// Master_Down_Interval.
fn takes_over(story: &mut Story, pair: &mut Pair, late: u32) -> Result<()> {
    let cut = pair.cut_power(0);
    let last = pair.last_advert(0).context("the master never advertised")?;
    pair.wait_master(1)?;
    let announced = pair.announced(1, cut)?;
    let interval = pair.cluster.master_down_interval(1, &pair.wording);
    let took = announced.since(last);
    story.note(format!(
        "announced after {} ms, Master_Down_Interval {} ms",
        took.as_millis(),
        interval.as_millis()
    ));
    let limit = pair.allowed(interval * late, last, announced);
    ensure(took <= limit, || format!("{} ms, {} ms allowed", took.as_millis(), limit.as_millis()))?;
    let tally = Tally::of(&pair.requests(40));
    ensure(tally.lost() == 0, || tally.to_string())
}

/// What both boxes advertised differs in nothing but source and priority.
fn same_words(pair: &Pair) -> Result<()> {
    let said = |which: usize| {
        let port = pair.boxes[which].port;
        pair.lab.with(move |network| {
            let words =
                |advert: &Advert| (advert.version, advert.vrid, advert.interval, advert.addresses.clone());
            let mine = |advert: &Advert| (words(advert), advert.password.clone(), advert.checksum);
            network.switch.adverts.last_from(port).and_then(|seen| seen.advert.as_ref().ok().map(mine))
        })
    };
    let (first, second) = (said(0), said(1));
    ensure(first.is_some() && first == second, || format!("{first:?}\n{second:?}"))
}

fn no_complaint(pair: &Pair) -> Result<()> {
    let complaints = pair.lab.with(|network| network.switch.adverts.complaints());
    ensure(complaints.is_empty(), || format!("{} complaints:\n{}", complaints.len(), complaints.join("\n")))
}
