//! Programs of the box die, and its kernel state is meddled with: both are put right within a second.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use halcyon_qemu_tests::agent::{Agent, BUSYBOX};
use halcyon_qemu_tests::client::load::Tally;
use halcyon_qemu_tests::client::talk::{Ask, Request};
use halcyon_qemu_tests::pair::Pair;
use halcyon_qemu_tests::tables::{self, IPVSADM};
use halcyon_qemu_tests::wording::Wording;

use crate::case::{Case, Story, ensure};
use crate::serving::{all_answered, balanced, crossings};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[
    Case { name: "recovery::kills_100ms", machines: 2, tell: |story| kills(story, Wording::default()) },
    Case {
        name: "recovery::kills_1s",
        machines: 2,
        tell: |story| kills(story, Wording { interval: Duration::from_secs(1), ..Wording::default() }),
    },
    Case { name: "recovery::drift", machines: 1, tell: drift },
];

const SIGKILL: i32 = 9;

/// The promise: whatever died or drifted is back within this.
const BACK_WITHIN: Duration = Duration::from_secs(1);

/// What a busy host and the way to the agent and back are given on top.
const GRACE: Duration = Duration::from_millis(300);

fn kills(story: &mut Story, wording: Wording) -> Result<()> {
    story.with_pair(wording, |story, pair| {
        story.step("boots", |_| pair.boot())?;
        let agent = pair.agent(0);
        story.step("the engine is killed: nothing is lost, nothing is touched", |story| {
            engine_dies(story, pair, &agent)
        })?;
        story.step("logd is killed and is back within a second", |story| {
            dies(story, pair, &agent, "logd").map(drop)
        })?;
        story.step("the application is killed and is back within a second", |story| {
            dies(story, pair, &agent, "app").map(drop)
        })?;
        story.step("both serve as before", |story| {
            pair.wait_serving()?;
            balanced(story, pair)
        })
    })
}

fn engine_dies(story: &mut Story, pair: &mut Pair, agent: &Agent) -> Result<()> {
    let before = kernel(agent, pair)?;
    pair.lab.with(|network| network.switch.crossings.reset());
    let peer = pair.boxes[1].machine()?.report.mark();
    let stream = pair.stream(Duration::from_millis(20));
    pair.requests(40);
    let pid = dies(story, pair, agent, "engine")?;
    let meanwhile = kernel(agent, pair)?;
    // Several Master_Down_Intervals later everything would have shown.
    pair.requests(200);
    let interval = pair.cluster.master_down_interval(1, &pair.wording);
    wait_quiet(pair, 2 * interval)?;
    // With short intervals the other box may have been master in between: the engine's start takes its time.
    pair.wait_master(0)?;
    let changed = pair.boxes[1].machine()?.report.events().split_off(peer);
    let changed = changed.iter().filter(|event| event.kind() == "vrrp").count();
    let outcomes = stream.stop();
    story.note(format!(
        "new process {pid}, {changed} changes of the other box's state, {}",
        Tally::of(&outcomes)
    ));
    all_answered(story, pair, &outcomes)?;
    let after = kernel(agent, pair)?;
    let untouched = before == meanwhile && before == after;
    ensure(untouched, || format!("before:\n{before}\nmeanwhile:\n{meanwhile}\nafter:\n{after}"))?;
    ensure(changed == 0 || interval < BACK_WITHIN, || "the other box took over".into())?;
    crossings(story, pair)
}

/// Kills the unit's process and waits until it has another one; the new process.
pub(crate) fn dies(story: &mut Story, pair: &mut Pair, agent: &Agent, unit: &str) -> Result<i32> {
    let machine = pair.boxes[0].machine()?;
    let events = machine.report.events();
    let started = events.iter().rev().find(|event| event.is_unit(unit, "started"));
    let pid =
        started.and_then(|event| event.number("pid")).context("the unit never reported its process")? as i32;
    let mark = machine.report.mark();
    let killed = pair.lab.now();
    agent.kill(pid, SIGKILL)?;
    let report = &pair.boxes[0].machine()?.report;
    let again =
        report.expect_after(mark, unit, Duration::from_secs(20), |event| event.is_unit(unit, "started"))?;
    let took = again.at.since(killed);
    story.note(format!("{unit} is back after {} ms", took.as_millis()));
    ensure(took <= BACK_WITHIN + GRACE, || format!("{unit} was away for {} ms", took.as_millis()))?;
    let new = again.number("pid").context("the unit did not report its new process")? as i32;
    ensure(new != pid, || format!("{unit} still has process {pid}"))?;
    Ok(new)
}

/// The virtual services and the virtual address, without counters.
fn kernel(agent: &Agent, pair: &Pair) -> Result<String> {
    let services = tables::saved(agent)?;
    let addresses = agent.run(&[BUSYBOX, "ip", "-4", "addr", "show", "dev", &pair.cluster.link], "")?;
    let addresses: Vec<_> = addresses.lines().filter(|line| line.trim_start().starts_with("inet ")).collect();
    Ok(format!("{services}{}", addresses.join("\n")))
}

/// Nothing can be awaited here: that nothing happens takes its time.
fn wait_quiet(pair: &Pair, time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        let tally = Tally::of(&pair.requests(8));
        ensure(tally.lost() == 0, || tally.to_string())?;
    }
    Ok(())
}

/// The port of `/metrics` in the document of [`drift`].
const OBSERVED: u16 = 9_780;

fn drift(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        let link = pair.cluster.link.clone();
        pair.wording.more = format!("\n[observe]\ninterface = \"{link}\"\nport = {OBSERVED}\n");
        story.step("boots and becomes master alone", |_| {
            pair.power_on(0)?;
            pair.wait_ready(0)?;
            let name = pair.cluster.members[0].name.clone();
            pair.wait_served_by(&[&name])
        })?;
        let agent = pair.agent(0);
        // Until it is known to be dead, what no socket here expects is sent to the other box.
        let other = pair.cluster.members[1].address.to_string();
        story.step("gives the absent box up", |_| {
            let deadline = Instant::now() + Duration::from_secs(60);
            while tables::saved(&agent)?.contains(&other) {
                ensure(Instant::now() < deadline, || format!("{other} is still in a table"))?;
            }
            Ok(())
        })?;
        story.step("an idle reconcile writes nothing", |story| idle(story, pair))?;
        let vip = format!("{}/{}", pair.cluster.vip, pair.cluster.prefix);
        let service = format!("{}:{}", pair.cluster.vip, pair.cluster.port);
        let server = format!("{}:{}", pair.cluster.members[0].address, pair.cluster.port);
        let addresses = [BUSYBOX, "ip", "-4", "addr", "show", "dev", &link];
        drifts(
            story,
            &agent,
            "the virtual address",
            &[BUSYBOX, "ip", "addr", "del", &vip, "dev", &link],
            &addresses,
        )?;
        drifts(
            story,
            &agent,
            "the rules",
            &["/usr/sbin/nft", "flush", "ruleset"],
            &["/usr/sbin/nft", "list", "ruleset"],
        )?;
        let words = |more: &[&'static str]| [&IPVSADM[..], more].concat();
        let list = words(&["-S", "-n"]);
        let edit = [&words(&["-e", "-g", "-w", "5"])[..], &["-t", &service, "-r", &server]].concat();
        drifts(story, &agent, "a weight", &edit, &list)?;
        drifts(story, &agent, "the virtual services", &words(&["-C"]), &list)?;
        let key = "/proc/sys/net/ipv4/conf/all/arp_ignore";
        drifts(
            story,
            &agent,
            "a sysctl",
            &[BUSYBOX, "sh", "-c", &format!("echo 0 > {key}")],
            &[BUSYBOX, "cat", key],
        )?;
        story.step("it serves as before, and every repair is in the log", |_| {
            let tally = Tally::of(&pair.requests(40));
            ensure(tally.lost() == 0, || tally.to_string())
        })
    })
}

/// Changes something by one program and waits until another one shows it as it was.
fn drifts(story: &mut Story, agent: &Agent, what: &str, change: &[&str], show: &[&str]) -> Result<()> {
    story.step(&format!("{what} is put right within a second"), |story| {
        let before = steady(&agent.run(show, "")?);
        agent.run(change, "")?;
        let changed = Instant::now();
        loop {
            let now = steady(&agent.run(show, "")?);
            if now == before {
                break;
            }
            if changed.elapsed() > Duration::from_secs(10) {
                bail!("it stayed changed:\n{now}\nbefore:\n{before}");
            }
        }
        story.note(format!("{} ms", changed.elapsed().as_millis()));
        ensure(changed.elapsed() <= BACK_WITHIN + GRACE, || {
            format!("it took {} ms", changed.elapsed().as_millis())
        })
    })
}

/// A listing without what changes by itself: counters and life times.
fn steady(text: &str) -> String {
    let mut words = text.split_ascii_whitespace();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        if ["packets", "bytes", "valid_lft", "preferred_lft"].contains(&word) {
            words.next();
        } else {
            kept.push(word);
        }
    }
    kept.join(" ")
}

/// The counter of writes stands still while nothing happens.
fn idle(story: &mut Story, pair: &Pair) -> Result<()> {
    let writes = || -> Result<f64> {
        let to = SocketAddrV4::new(pair.cluster.members[0].address, OBSERVED);
        let page = pair.lab.ask(0, Request::new(Ask::Http("/metrics".into()), to)).result;
        let page = page.map_err(|failure| anyhow::anyhow!("/metrics: {failure}"))?;
        let line = page.lines().find(|line| line.starts_with("halcyon_kernel_writes"));
        let value =
            line.and_then(|line| line.split_whitespace().last()).context("no halcyon_kernel_writes")?;
        value.parse().context("halcyon_kernel_writes is no number")
    };
    let before = writes()?;
    wait_quiet(pair, Duration::from_secs(6))?;
    let after = writes()?;
    story.note(format!("{before} writes since the start"));
    ensure(before == after && before > 0.0, || format!("{before} writes became {after}"))
}
