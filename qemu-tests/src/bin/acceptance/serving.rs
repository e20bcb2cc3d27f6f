//! A pair from its provisioning volume to a service that survives the loss and the return of its master.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use halcyon_core::moment::Moment;
use halcyon_qemu_tests::agent::HALCTL;
use halcyon_qemu_tests::client::load::{Tally, outage};
use halcyon_qemu_tests::client::talk::{Ask, Outcome, Request};
use halcyon_qemu_tests::pair::{BOOTS_WITHIN, Pair};
use halcyon_qemu_tests::tables;
use halcyon_qemu_tests::wording::{Service, Wording};

use crate::case::{Case, Story, ensure};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[
    Case { name: "serving::as_documented", machines: 2, tell: as_documented },
    Case { name: "serving::v3_100ms", machines: 2, tell: |story| life(story, v3(100)) },
    Case { name: "serving::v3_10ms", machines: 2, tell: |story| life(story, v3(10)) },
    Case { name: "serving::ipv6", machines: 2, tell: |story| life(story, ipv6()) },
    Case { name: "serving::v2_1s", machines: 2, tell: |story| life(story, v2()) },
];

fn v3(millis: u64) -> Wording {
    Wording { interval: Duration::from_millis(millis), ..Wording::default() }
}

/// An IPv6 virtual address, with a service of datagrams behind it, too. Short intervals are the other cases' subject.
fn ipv6() -> Wording {
    let datagrams = Service { name: "datagrams".into(), udp: true, port: 9_053, persistence: None };
    Wording { ipv6: true, interval: Duration::from_secs(1), services: vec![datagrams], ..Wording::default() }
}

fn v2() -> Wording {
    Wording {
        version: 2,
        interval: Duration::from_secs(1),
        password: Some("1111".into()),
        ..Wording::default()
    }
}

/// The example of the cluster document, with persistence: a source stays with its server.
fn as_documented(story: &mut Story) -> Result<()> {
    let wording = Wording { persistence: Some(Duration::from_secs(50)), ..Wording::default() };
    story.with_pair(wording, |story, pair| {
        story.step("boots until both servers are in the table of both boxes", |_| {
            for which in [0, 1] {
                pair.power_on(which)?;
            }
            for which in [0, 1] {
                pair.wait_ready(which)?;
                // Asking the service would bind the asking clients to whoever is alone in the table at first.
                tables::wait_servers(
                    &pair.agent(which),
                    &pair.cluster,
                    &pair.cluster.services(&pair.wording),
                    &[0, 1],
                )?;
            }
            Ok(())
        })?;
        story.step("both serve, and no packet crosses twice", |story| balanced(story, pair))?;
        story.step("a source stays with its server", |_| {
            let outcomes = pair.requests(200);
            let mut servers: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
            for outcome in outcomes {
                servers.entry(outcome.source).or_default().extend(outcome.result.ok());
            }
            ensure(servers.values().all(|names| names.len() == 1), || format!("{servers:?}"))
        })?;
        story.step("handed over, it stays with the other box until the hold is let go", |_| {
            let agent = pair.agent(0);
            let mark = pair.boxes[1].machine()?.report.mark();
            agent.run(&[HALCTL, "failover"], "")?;
            pair.wait_vrrp(1, mark, "master", BOOTS_WITHIN)?;
            let mark = pair.boxes[0].machine()?.report.mark();
            // Longer than the box waits for a master of higher priority.
            let interval = 2 * pair.cluster.master_down_interval(0, &pair.wording);
            let nothing = pair.boxes[0].machine()?.report.expect_after(mark, "a change", interval, |event| {
                event.kind() == "vrrp" && event.event["state"] == "master"
            });
            ensure(nothing.is_err(), || format!("it came back by itself: {nothing:?}"))?;
            agent.run(&[HALCTL, "failover", "release"], "")?;
            pair.wait_vrrp(0, mark, "master", BOOTS_WITHIN).map(drop)
        })
    })
}

/// The master's whole life: it serves, loses its power, comes back, and is switched off in order.
fn life(story: &mut Story, wording: Wording) -> Result<()> {
    story.with_pair(wording, |story, pair| {
        story.step("boots from its provisioning volume to a serving address", |_| pair.boot())?;
        story.step("both serve, and no packet crosses twice", |story| balanced(story, pair))?;
        for service in pair.wording.services.clone() {
            story.step(&format!("both serve {}, and none crosses twice", service.name), |story| {
                beside(story, pair, &service)
            })?;
        }
        story.step("a power cut of the master is taken over in time", |story| power_cut(story, pair))?;
        story.step("the master returns without a failed connection", |story| comes_back(story, pair))?;
        story.step("an orderly shutdown hands over in skew time", |story| hands_over(story, pair))?;
        story.step("an independent decoder has no complaint", |_| decoded(pair))
    })
}

/// 200 connections from 40 sources: all answered, each box serves 40–60 %, no packet crosses twice.
pub(crate) fn balanced(story: &mut Story, pair: &Pair) -> Result<()> {
    evenly(story, pair, Request::new(Ask::Name, pair.service_address()))
}

/// The same of a service beside the cluster's own, once both directors have its servers.
fn beside(story: &mut Story, pair: &Pair, service: &Service) -> Result<()> {
    for which in [0, 1] {
        tables::wait_servers(&pair.agent(which), &pair.cluster, std::slice::from_ref(service), &[0, 1])?;
    }
    let ask = if service.udp { Ask::Datagram } else { Ask::Name };
    evenly(story, pair, Request::new(ask, SocketAddr::new(pair.cluster.vip(&pair.wording), service.port)))
}

fn evenly(story: &mut Story, pair: &Pair, request: Request) -> Result<()> {
    pair.lab.with(|network| network.switch.crossings.reset());
    let outcomes = pair.ask(request, 200);
    let tally = Tally::of(&outcomes);
    story.note(tally.to_string());
    all_answered(story, pair, &outcomes)?;
    for member in &pair.cluster.members {
        let share = tally.share(&member.name);
        ensure((0.4..=0.6).contains(&share), || {
            format!("{} served {:.0} %: {tally}", member.name, share * 100.0)
        })?;
    }
    crossings(story, pair)
}

/// No packet crossed between the boxes more than once since the last reset.
pub(crate) fn crossings(story: &mut Story, pair: &Pair) -> Result<()> {
    let summary = pair.lab.with(|network| network.switch.crossings.summary().clone());
    story
        .note(format!("{} packets, {} crossings, at most {}", summary.packets, summary.frames, summary.most));
    ensure(summary.most <= 1 && summary.most_hops <= 1, || format!("a packet looped: {summary:?}"))?;
    ensure(summary.packets > 0, || "the switch saw no packet of a client".into())
}

/// Between two requests of a stream: dense enough to see an outage of some ten milliseconds.
const PACE: Duration = Duration::from_millis(25);

fn power_cut(story: &mut Story, pair: &mut Pair) -> Result<()> {
    pair.lab.with(|network| network.switch.crossings.reset());
    let mark = pair.boxes[1].machine()?.report.mark();
    let stream = pair.stream(PACE);
    // So many answers later the stream is under way.
    pair.requests(40);
    let cut = pair.cut_power(0);
    let last = pair.last_advert(0).context("the master never advertised")?;
    pair.wait_vrrp(
        1,
        mark,
        "master",
        pair.cluster.master_down_interval(1, &pair.wording) + Duration::from_secs(5),
    )?;
    let taken = pair.announced(1, cut)?;
    let interval = pair.cluster.master_down_interval(1, &pair.wording);
    let limit = pair.allowed(interval, last, taken);
    story.note(format!(
        "announced {} ms after the last advertisement, {} allowed ({} of it because the host kept it waiting)",
        millis(taken.since(last)),
        millis(limit),
        millis(pair.lab.stalled(last, taken))
    ));
    // Well past every check and every retransmission.
    let after = pair.requests(200);
    let outcomes = stream.stop();
    let (from, to) = outage(&outcomes);
    story.note(format!(
        "no answer for {} ms, from {from} (cut at {cut}, taken over at {taken})",
        millis(to.since(from))
    ));
    ensure(taken.since(last) <= limit, || {
        format!(
            "taken over {} ms after the last advertisement, {} ms allowed",
            millis(taken.since(last)),
            millis(limit)
        )
    })?;
    no_failure_since(story, pair, &outcomes, taken)?;
    all_answered(story, pair, &after)?;
    crossings(story, pair)
}

fn comes_back(story: &mut Story, pair: &mut Pair) -> Result<()> {
    pair.lab.with(|network| network.switch.crossings.reset());
    let back = pair.lab.now();
    let stream = pair.stream(PACE);
    pair.power_on(0)?;
    pair.wait_ready(0)?;
    pair.wait_vrrp(0, 0, "master", BOOTS_WITHIN)?;
    pair.announced(0, back)?;
    pair.wait_serving()?;
    let outcomes = stream.stop();
    story.note(Tally::of(&outcomes).to_string());
    all_answered(story, pair, &outcomes)?;
    balanced(story, pair)
}

fn hands_over(story: &mut Story, pair: &mut Pair) -> Result<()> {
    let mark = pair.boxes[1].machine()?.report.mark();
    let began = pair.lab.now();
    let stream = pair.stream(PACE);
    pair.shut_down(0, Duration::from_secs(30))?;
    pair.wait_vrrp(1, mark, "master", Duration::from_secs(10))?;
    let taken = pair.announced(1, began)?;
    let port = pair.boxes[0].port;
    let resigned = pair.lab.with(move |network| {
        let zero = |advert: &halcyon_qemu_tests::wire::Advert| advert.priority == 0;
        let mut seen = network.switch.adverts.since(began);
        seen.find(|seen| seen.port == port && seen.advert.as_ref().is_ok_and(zero)).map(|seen| seen.at)
    });
    let resigned = resigned.context("the master went without an advertisement of priority 0")?;
    let skew = pair.cluster.skew_time(1, &pair.wording);
    let limit = pair.allowed(skew, resigned, taken);
    story.note(format!(
        "announced {} ms after priority 0, skew time {} ms, {} allowed",
        millis(taken.since(resigned)),
        millis(skew),
        millis(limit)
    ));
    let outcomes = stream.stop();
    ensure(taken.since(resigned) <= limit, || "the hand-over took too long".into())?;
    no_failure_since(story, pair, &outcomes, taken)
}

/// No connection begun at or after `since` failed, but for those under way while the address moved once more.
fn no_failure_since(story: &mut Story, pair: &Pair, outcomes: &[Outcome], since: Moment) -> Result<()> {
    let (before, after): (Vec<_>, Vec<_>) =
        outcomes.iter().cloned().partition(|outcome| outcome.began < since);
    story.note(format!("{} lost before, {} requests after", Tally::of(&before).lost(), after.len()));
    all_answered(story, pair, &after)
}

/// Every request was answered, but for those under way while the virtual address moved.
pub(crate) fn all_answered(story: &mut Story, pair: &Pair, outcomes: &[Outcome]) -> Result<()> {
    let lost = pair.lost(outcomes);
    let (failed, moves) =
        (Tally::of(outcomes).lost(), pair.moves(outcomes.first().map_or(pair.lab.now(), |one| one.began)));
    if failed > 0 || !moves.is_empty() {
        story.note(format!(
            "{} failed under way at {} moves of the address",
            failed - lost.len(),
            moves.len()
        ));
    }
    ensure(lost.is_empty(), || format!("{} failed: {}", lost.len(), Tally::of(&lost)))
}

fn decoded(pair: &Pair) -> Result<()> {
    let complaints = pair.lab.with(|network| network.switch.adverts.complaints());
    ensure(complaints.is_empty(), || format!("{} complaints:\n{}", complaints.len(), complaints.join("\n")))
}

fn millis(duration: Duration) -> u128 {
    duration.as_millis()
}
