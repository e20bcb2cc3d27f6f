//! A factory-fresh box joins one that serves alone, by the code that one shows: nothing is typed twice, and nobody without
//! the code gets anything. What came of it is judged on the wire.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use halcyon_qemu_tests::agent::{Agent, HALCTL};
use halcyon_qemu_tests::draw::Cluster;
use halcyon_qemu_tests::pair::{BOOTS_WITHIN, Pair};
use halcyon_qemu_tests::vm::report::Reported;
use halcyon_qemu_tests::wording::Wording;

use crate::case::{Case, Story, ensure};
use crate::config::{halctl, install, started_from_disk};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[Case { name: "join::second_box", machines: 2, tell: second_box }];

/// Where the first box's document is put.
const ALONE: &str = "/tmp/alone.toml";
/// What `join` says at either box.
const SAID: &str = "/tmp/join.log";
/// Finding each other, the document, the first checks and the confirmation, on a busy host.
const JOINS_WITHIN: Duration = Duration::from_secs(90);

fn second_box(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        pair.boxes.iter_mut().for_each(|station| station.hardware.disks.clear());
        install(story, pair)?;
        started_from_disk(pair);
        let names: Vec<String> = pair.cluster.members.iter().map(|member| member.name.clone()).collect();
        let agents = [pair.agent(0), pair.agent(1)];
        story.step("a box serves alone, with a document that a person typed", |_| {
            pair.power_on(0)?;
            pair.power_on(1)?;
            unconfigured(pair, 0)?;
            let members = vec![pair.cluster.members[0].clone()];
            let alone = Cluster { members, ..pair.cluster.clone() }.document(&pair.wording);
            agents[0].write_long(ALONE, &alone)?;
            halctl(&agents[0], &["set-up", ALONE])?;
            pair.wait_served_by(&[&names[0]])
        })?;
        let code = story.step("it shows a code", |_| {
            join(&agents[0], "open")?;
            let said = wait_said(&agents[0], "join ")?;
            let code = said.split_whitespace().find(|word| word.len() == 11 && word.as_bytes()[5] == b'-');
            code.map(str::to_owned).with_context(|| format!("no code in {said:?}"))
        })?;
        story.step("a box with another code is refused, and gets nothing", |story| {
            unconfigured(pair, 1)?;
            join(&agents[1], &format!("{} {}", other(&code), typed(pair)))?;
            let said = wait_said(&agents[1], "halctl: ")?;
            story.note(said.lines().last().unwrap_or_default().to_owned());
            ensure(said.contains("the code is not the one"), || said.clone())?;
            wait_said(&agents[0], "wrong code was refused; 2 more")?;
            let refused = halctl(&agents[1], &["show"]);
            ensure(refused.is_err(), || format!("it has a document: {refused:?}"))
        })?;
        story.step("with the code it joins, and both keep the same document", |story| {
            let marks = [mark(pair, 0)?, mark(pair, 1)?];
            join(&agents[1], &format!("{code} {}", typed(pair)))?;
            let said = wait_said(&agents[1], "joined: this box is")?;
            story.note(said.lines().last().unwrap_or_default().to_owned());
            wait_said(&agents[0], "has joined")?;
            let first = by_peer(pair, 0, marks[0])?;
            let second = by_peer(pair, 1, marks[1])?;
            ensure(first == second, || format!("two documents: {first} and {second}"))?;
            let history = halctl(&agents[0], &["history"])?;
            ensure(history.contains("trial, confirmed") && history.contains("by peer"), || history.clone())
        })?;
        story.step("both serve", |_| pair.wait_served_by(&[&names[0], &names[1]]))?;
        story.step("the port is closed again, and the code is nowhere in the logs", |_| {
            let rules = agents[0].run(&["/usr/sbin/nft", "list", "ruleset"], "")?;
            ensure(!rules.contains("9782"), || rules.clone())?;
            for agent in &agents {
                let log = agent.run(&[HALCTL, "logs", "500"], "")?;
                ensure(!log.contains(&code), || "the code is in the log".into())?;
            }
            Ok(())
        })?;
        story.step("after a power cut of the first box the second one serves", |_| {
            let mark = mark(pair, 1)?;
            pair.cut_power(0);
            pair.wait_vrrp(1, mark, "master", JOINS_WITHIN)?;
            pair.wait_served_by(&[&names[1]])
        })?;
        story.step("the first one comes back with what it kept", |_| {
            pair.power_on(0)?;
            pair.wait_ready(0)?;
            pair.wait_served_by(&[&names[0], &names[1]])
        })
    })
}

/// What is typed at the second box beside the code.
fn typed(pair: &Pair) -> String {
    let second = &pair.cluster.members[1];
    format!("--name {} --address {}/{}", second.name, second.address, pair.cluster.prefix)
}

/// A code that could be one, and is not this one: its two halves' digits moved on, and the check character with them.
fn other(code: &str) -> String {
    const ALPHABET: &[u8; 31] = b"0123456789ABCDEFGHJKMNPQRSTVWXY";
    let place = |byte: u8| ALPHABET.iter().position(|one| *one == byte).unwrap_or(0);
    let mut digits: Vec<usize> = code.bytes().filter(|byte| *byte != b'-').map(place).collect();
    // The weights of the first and the third place, 1 and 3: one step here, ten there, and the sum is 31 more.
    digits[0] = (digits[0] + 1) % 31;
    digits[2] = (digits[2] + 10) % 31;
    digits.iter().map(|digit| char::from(ALPHABET[*digit])).collect()
}

/// Has `halctl join` run on a box.
fn join(agent: &Agent, words: &str) -> Result<()> {
    agent.shell(&format!("{HALCTL} join {words} >{SAID} 2>&1 </dev/null &"), "").map(drop)
}

/// Waits until it has said something.
fn wait_said(agent: &Agent, text: &str) -> Result<String> {
    let deadline = Instant::now() + JOINS_WITHIN;
    loop {
        let said = agent.read(SAID).unwrap_or_default();
        if said.contains(text) {
            return Ok(said);
        }
        if Instant::now() > deadline {
            bail!("waiting for “{text}” of join, which said: {said}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn unconfigured(pair: &mut Pair, which: usize) -> Result<()> {
    let report = &pair.boxes[which].machine()?.report;
    report.expect("unconfigured", BOOTS_WITHIN, |event| event.event["unconfigured"] == true).map(drop)
}

fn mark(pair: &mut Pair, which: usize) -> Result<usize> {
    Ok(pair.boxes[which].machine()?.report.mark())
}

/// Waits until the second revision is in force because of the other box; its digest.
fn by_peer(pair: &mut Pair, which: usize, mark: usize) -> Result<String> {
    let is = |event: &Reported| {
        event.kind() == "config" && event.event["revision"] == 2 && event.text("source") == "peer"
    };
    let report = &pair.boxes[which].machine()?.report;
    Ok(report.expect_after(mark, "revision 2 by the peer", JOINS_WITHIN, is)?.text("sha256").to_owned())
}
