//! A pair on a trunk: in each box the segment is a VLAN on a bond of two cards, and both cards are on the switch.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use halcyon_qemu_tests::agent::{Agent, BUSYBOX};
use halcyon_qemu_tests::client::load::Tally;
use halcyon_qemu_tests::pair::Pair;
use halcyon_qemu_tests::switch::PortId;
use halcyon_qemu_tests::wording::{TRUNK, Wording};

use crate::case::{Case, Story, ensure};
use crate::recovery::dies;
use crate::serving::{all_answered, balanced, crossings};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[Case { name: "links::vlan_on_bond", machines: 2, tell: vlan_on_bond }];

/// The VLAN.
const ID: u16 = 20;

/// A box notices and has acted within this, under emulation and on a busy host.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

/// Between two requests while something happens.
const PACE: Duration = Duration::from_millis(50);

/// A second between advertisements: a bond needs a tenth of one to change ports, and nobody may take over meanwhile.
fn wording() -> Wording {
    let second = Duration::from_secs(1);
    let quick = Wording { check_interval: second, check_timeout: second, ..Wording::default() };
    Wording { interval: second, trunk: Some(ID), ..quick }
}

fn vlan_on_bond(story: &mut Story) -> Result<()> {
    story.with_pair(wording(), |story, pair| {
        story.step("boots", |_| pair.boot())?;
        story.step("both serve, and no packet crosses twice", |story| balanced(story, pair))?;
        story.step("a killed engine's successor finds the links as they are", |story| {
            let agent = pair.agent(0);
            let before = links(&agent)?;
            dies(story, pair, &agent, "engine")?;
            pair.wait_serving()?;
            let after = links(&agent)?;
            ensure(before == after, || format!("before:\n{before}\nafter:\n{after}"))
        })?;
        story.step("a deleted bond comes back with all that is on it", |story| {
            loses_its_bond(pair)?;
            balanced(story, pair)
        })?;
        story.step("a port of the master's bond goes down: nobody takes over", |story| {
            one_port(story, pair)
        })?;
        story.step("the other one, too: the other box serves", |_| {
            let mark = pair.boxes[1].machine()?.report.mark();
            let name = pair.cluster.members[1].name.clone();
            pair.set_cable(0, false)?;
            pair.set_spare_cable(0, false)?;
            pair.wait_vrrp(1, mark, "master", NOTICED_WITHIN)?;
            pair.wait_served_by(&[&name])
        })?;
        story.step("both are back: both boxes serve", |story| {
            pair.set_cable(0, true)?;
            pair.set_spare_cable(0, true)?;
            pair.wait_serving()?;
            balanced(story, pair)
        })
    })
}

/// Somebody deletes the backup's bond; waits until it has another one, and both boxes answer.
fn loses_its_bond(pair: &mut Pair) -> Result<()> {
    let agent = pair.agent(1);
    let before = links(&agent)?;
    // The answer has to leave over the bond.
    let script = format!("({BUSYBOX} sleep 1; {BUSYBOX} ip link del {TRUNK}) >/dev/null 2>&1 </dev/null &");
    agent.shell(&script, "")?;
    let deadline = Instant::now() + NOTICED_WITHIN;
    loop {
        let now = links(&agent)?;
        if now != before && now.contains(&format!("{}@{TRUNK}", pair.cluster.link)) {
            break;
        }
        ensure(Instant::now() < deadline, || format!("the bond did not come back:\n{before}\n{now}"))?;
        std::thread::sleep(PACE);
    }
    pair.wait_serving()
}

/// Pulls the cable that the master uses while clients ask.
fn one_port(story: &mut Story, pair: &mut Pair) -> Result<()> {
    pair.lab.with(|network| network.switch.crossings.reset());
    let mark = pair.boxes[1].machine()?.report.mark();
    let used = port_of_adverts(pair)?;
    let stream = pair.stream(PACE);
    if used == pair.boxes[0].port {
        pair.set_cable(0, false)?
    } else {
        pair.set_spare_cable(0, false)?
    }
    let deadline = Instant::now() + NOTICED_WITHIN;
    while port_of_adverts(pair)? == used {
        ensure(Instant::now() < deadline, || "the bond does not use its other port".into())?;
        std::thread::sleep(PACE);
    }
    let after = pair.requests(200);
    let outcomes = stream.stop();
    story.note(format!("{} meanwhile, {} after", Tally::of(&outcomes), Tally::of(&after)));
    all_answered(story, pair, &outcomes)?;
    all_answered(story, pair, &after)?;
    let changes = pair.boxes[1].machine()?.report.events().split_off(mark);
    let changes = changes.iter().filter(|event| event.kind() == "vrrp").count();
    ensure(changes == 0, || "the other box took over".into())?;
    crossings(story, pair)
}

/// Where the master's last advertisement came in.
fn port_of_adverts(pair: &Pair) -> Result<PortId> {
    let ports = [pair.boxes[0].port, pair.boxes[0].spare.context("the master has one card")?];
    let seen = pair.lab.with(move |network| {
        let adverts =
            ports.map(|port| network.switch.adverts.last_from(port).map(|seen| (seen.at, seen.port)));
        adverts.into_iter().flatten().max()
    });
    let Some((_, port)) = seen else { bail!("the master never advertised") };
    Ok(port)
}

/// Index, name and carrier of every link.
fn links(agent: &Agent) -> Result<String> {
    let all = agent.run(&[BUSYBOX, "ip", "-o", "link"], "")?;
    let named = all.lines().map(|line| line.split('<').next().unwrap_or(line).trim());
    Ok(named.collect::<Vec<_>>().join("\n"))
}
