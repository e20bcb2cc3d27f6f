//! Life without the disk: failing and pulled while the box serves, back again, one that takes no writes at all; and a clock that is decades
//! off, by which nothing may be decided.

use std::net::SocketAddrV4;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use halcyon_qemu_tests::agent::{Agent, HALCTL};
use halcyon_qemu_tests::client::talk::{Ask, Request};
use halcyon_qemu_tests::pair::Pair;
use halcyon_qemu_tests::vm::hardware::Access;
use halcyon_qemu_tests::wording::Wording;
use serde_json::json;

use crate::case::{Case, Story, ensure};
use crate::config::{NEXT, halctl, hand_over, install, started_from_disk, wait_history};
use crate::disks::wait_shell;
use crate::serving::{all_answered, balanced};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[
    Case { name: "diskless::pulled", machines: 2, tell: pulled },
    Case { name: "diskless::clock_and_refusal", machines: 1, tell: clock_and_refusal },
];

/// The disk in QEMU: as a node without a device, so that it outlives being pulled.
const NODE: &str = "config-disk";
/// What is below it.
const FILE: &str = "config-file";
/// The port of `/metrics`.
const OBSERVED: u16 = 9_780;
/// The log on STATE, and in memory.
const LOGGED: &str = "cat /state/log/current";
const LOG: &str = "/usr/lib/halcyon/bin/halctl logs 200";
/// What the log says of every document that was written late.
const SAVED: &str = "the document in force is saved";
/// A lost disk is told within this, on a busy host too.
const TOLD_WITHIN: Duration = Duration::from_secs(60);
/// How the alarm begins, and the error in the log.
const ALARM: &str = "the configuration cannot be kept";

/// Puts the first box's disk on USB, from where it can be pulled without asking anybody.
fn pullable(story: &Story, pair: &mut Pair) -> Result<()> {
    let file = install(story, pair)?;
    let hardware = &mut pair.boxes[0].hardware;
    hardware.disks.remove(0);
    let node = format!(
        "driver=raw,node-name={NODE},file.driver=file,file.node-name={FILE},file.filename={}",
        file.display()
    );
    let device = format!("usb-storage,id={NODE},bus=hub.0,drive={NODE}");
    hardware
        .more
        .extend(["-blockdev", &node, "-device", "qemu-xhci,id=hub", "-device", &device].map(str::to_owned));
    Ok(())
}

/// Waits until the status has an alarm with these words, or none at all.
fn wait_alarm(agent: &Agent, wanted: Option<&str>) -> Result<()> {
    let deadline = Instant::now() + TOLD_WITHIN;
    loop {
        let status = agent.run(&[HALCTL, "status", "--json"], "");
        let alarms =
            status.as_ref().ok().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
        let alarms = alarms.map(|status| status["alarms"].clone());
        let fits = match (&alarms, wanted) {
            (Some(alarms), Some(words)) => alarms.to_string().contains(words),
            (Some(alarms), None) => alarms.is_null(),
            (None, _) => false,
        };
        if fits {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("waiting for {}; the alarms are {alarms:?}", wanted.unwrap_or("no alarm"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn pulled(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        let link = &pair.cluster.link;
        pair.wording.more = format!("\n[observe]\ninterface = \"{link}\"\nport = {OBSERVED}\n");
        pullable(story, pair)?;
        started_from_disk(pair);
        let agent = pair.agent(0);
        story.step("a pair of which one box keeps its document on a disk", |_| {
            pair.boot()?;
            wait_history(&agent, "* generation 1, permanent")?;
            wait_shell(&agent, LOGGED, "logd").map(drop)
        })?;
        story.step(
            "its disk takes no writes any more: an alarm everywhere, and no request is lost",
            |story| {
                let stream = pair.stream(Duration::from_millis(20));
                set_writes(pair, Writes::Fail)?;
                hand_over(pair, &agent, 2)?;
                let said = halctl(&agent, &["apply", NEXT])?;
                story.note(said.trim().to_owned());
                ensure(said.contains("revision 2 is in force, NOT saved"), || said.clone())?;
                wait_alarm(&agent, Some(ALARM))?;
                let page = metrics(pair)?;
                ensure(page.contains("halcyon_alarms 1"), || page.clone())?;
                wait_shell(&agent, LOG, ALARM)?;
                let outcomes = stream.stop();
                story.note(format!("{} requests meanwhile", outcomes.len()));
                all_answered(story, pair, &outcomes)?;
                balanced(story, pair)
            },
        )?;
        story.step("without a write it hands over, and takes over again", |_| {
            agent.run(&[HALCTL, "failover"], "")?;
            pair.wait_master(1)?;
            agent.run(&[HALCTL, "failover", "release"], "")?;
            pair.wait_master(0)
        })?;
        story.step(
            "it takes writes again: what is in force is written, logs too, the alarm is over",
            |_| {
                set_writes(pair, Writes::Work)?;
                wait_history(&agent, "* generation 2, permanent")?;
                wait_alarm(&agent, None)?;
                wait_shell(&agent, LOGGED, SAVED)?;
                agent.shell("echo kept >/state/mark; sync", "").map(drop)
            },
        )?;
        story.step("the disk is pulled: an alarm, and no request is lost", |story| {
            let stream = pair.stream(Duration::from_millis(20));
            pair.boxes[0].machine()?.qmp().execute("device_del", json!({ "id": NODE }))?;
            wait_alarm(&agent, Some(ALARM))?;
            let outcomes = stream.stop();
            story.note(format!("{} requests meanwhile", outcomes.len()));
            all_answered(story, pair, &outcomes)?;
            balanced(story, pair)
        })?;
        story.step("without its disk it hands over, and takes over when the other box dies", |_| {
            agent.run(&[HALCTL, "failover"], "")?;
            pair.wait_master(1)?;
            pair.cut_power(1);
            let name = pair.cluster.members[0].name.clone();
            pair.wait_served_by(&[&name])
        })?;
        story.step("a document that cannot be kept is in force, and told so", |story| {
            hand_over(pair, &agent, 3)?;
            let said = halctl(&agent, &["apply", NEXT])?;
            story.note(said.trim().to_owned());
            ensure(said.contains("revision 3 is in force, NOT saved"), || said.clone())
        })?;
        story.step("the disk is back: it is written, STATE goes on, and the alarm is over", |_| {
            let device = json!({ "driver": "usb-storage", "id": NODE, "bus": "hub.0", "drive": NODE });
            pair.boxes[0].machine()?.qmp().execute("device_add", device)?;
            wait_history(&agent, "* generation 3, permanent")?;
            wait_alarm(&agent, None)?;
            wait_shell(&agent, "cat /state/mark", "kept")?;
            wait_shell(&agent, &format!("grep -c '{SAVED}' /state/log/current"), "2").map(drop)
        })
    })
}

/// Whether the disk takes what is written to it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writes {
    Work,
    Fail,
}

/// Puts something between disk and file that answers every write with an error, or takes it out.
fn set_writes(pair: &mut Pair, writes: Writes) -> Result<()> {
    const FAILING: &str = "failing";
    let qmp = pair.boxes[0].machine()?.qmp();
    let error = json!({ "event": "none", "iotype": "write", "errno": 5, "once": false });
    let failing =
        json!({ "driver": "blkdebug", "node-name": FAILING, "image": FILE, "inject-error": [error] });
    if writes == Writes::Fail {
        qmp.execute("blockdev-add", failing)?;
    }
    let below = if writes == Writes::Fail { FAILING } else { FILE };
    let node = json!({ "driver": "raw", "node-name": NODE, "file": below });
    qmp.execute("blockdev-reopen", json!({ "options": [node] }))?;
    if writes == Writes::Work {
        qmp.execute("blockdev-del", json!({ "node-name": FAILING }))?;
    }
    Ok(())
}

/// The page of the first box's metrics.
fn metrics(pair: &Pair) -> Result<String> {
    let to = SocketAddrV4::new(pair.cluster.members[0].address, OBSERVED);
    let page = pair.lab.ask(0, Request::new(Ask::Http("/metrics".into()), to)).result;
    page.map_err(|failure| anyhow::anyhow!("/metrics: {failure}"))
}

/// The clock that the box finds when it is switched on.
fn set_clock(pair: &mut Pair, base: &str) {
    let hardware = &mut pair.boxes[0].hardware;
    hardware.more = vec!["-rtc".to_owned(), format!("base={base}")];
}

fn clock_and_refusal(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        install(story, pair)?;
        started_from_disk(pair);
        let agent = pair.agent(0);
        story.step("with its clock in 2099 a box keeps its document", |_| {
            set_clock(pair, "2099-12-31T23:59:00");
            pair.power_on(0)?;
            pair.wait_ready(0)?;
            wait_history(&agent, "* generation 1, permanent")
        })?;
        story.step("with its clock in 1970 it has it again, and keeps the next one", |story| {
            pair.cut_power(0);
            set_clock(pair, "1970-01-01T00:00:00");
            pair.power_on(0)?;
            pair.wait_ready(0)?;
            hand_over(pair, &agent, 2)?;
            let said = halctl(&agent, &["apply", NEXT])?;
            ensure(said.contains("saved as generation 2"), || said.clone())?;
            let history = halctl(&agent, &["history"])?;
            story.note(
                history.lines().filter_map(|line| line.split("clock ").nth(1)).collect::<Vec<_>>().join("; "),
            );
            let newest = history.lines().nth(1).context("a history has lines")?;
            ensure(newest.starts_with("* generation 2"), || history.clone())
        })?;
        story.step("a disk that takes no writes is an alarm, and what lies on it is not lost", |story| {
            pair.cut_power(0);
            pair.boxes[0].hardware.disks[0].access = Access::Read;
            pair.power_on(0)?;
            pair.wait_ready(0)?;
            wait_alarm(&agent, Some(ALARM))?;
            wait_history(&agent, "* generation 2, permanent")?;
            let said = halctl(&agent, &["rollback", "1"])?;
            story.note(said.trim().to_owned());
            ensure(said.contains("revision 1 is in force, NOT saved"), || said.clone())
        })?;
        story.step("once it takes writes again it has what was saved", |_| {
            pair.cut_power(0);
            pair.boxes[0].hardware.disks[0].access = Access::Write;
            pair.power_on(0)?;
            pair.wait_ready(0)?;
            wait_history(&agent, "* generation 2, permanent")
        })
    })
}
