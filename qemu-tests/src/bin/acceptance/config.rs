//! The configuration on the box's own disk: it outlives the stick and the power, a trial is undone by everything but its
//! confirmation, and a damaged record gives way to the one before.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use halcyon_qemu_tests::agent::{Agent, HALCTL};
use halcyon_qemu_tests::pair::{BOOTS_WITHIN, Pair};
use halcyon_qemu_tests::vm::hardware::{Access, Bus, Disk, Start};
use halcyon_qemu_tests::vm::report::Reported;
use halcyon_qemu_tests::wording::Wording;

use crate::case::{Case, Story, ensure};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[
    Case { name: "config::outlives_the_stick", machines: 1, tell: outlives_the_stick },
    Case { name: "config::trial", machines: 1, tell: trial },
    Case { name: "config::damaged_record", machines: 1, tell: damaged_record },
];

/// Where the next document is put on the box.
pub(crate) const NEXT: &str = "/tmp/next.toml";
/// GUID of the EFI system partition of every image as built; the boot loader hands it over so.
pub(crate) const DISK: &str = "halcyon.disk=0c1f6c5a-94a1-4c52-8a33-6a1a3e7d9b02";
/// The port of the demo application when no kernel parameter names one.
const PLAIN_PORT: u16 = 8898;
/// CONFIG on the disk image, bytes: behind 1 MiB of table, 1 of BIOS boot, 32 of ESP and two slots of 256.
const CONFIG: std::ops::Range<u64> = 546 << 20..578 << 20;
/// The box answers a verb within this, on a busy host too.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);
const SIGKILL: i32 = 9;

/// Puts a disk with the image into the first box, before its stick.
pub(crate) fn install(story: &Story, pair: &mut Pair) -> Result<PathBuf> {
    let file = story.logs.join("disk.img");
    let copied = Command::new("cp").arg("--sparse=always").arg(&pair.image.disk).arg(&file).status();
    ensure(copied.context("starting cp")?.success(), || "the disk image cannot be copied".into())?;
    let disk = Disk { file: file.clone(), bus: Bus::Virtio, access: Access::Write };
    pair.boxes[0].hardware.disks.insert(0, disk);
    Ok(file)
}

/// Has the first box start directly, as if from its disk: such a start has a report tty.
pub(crate) fn started_from_disk(pair: &mut Pair) {
    if let Start::Direct { parameters, .. } = &mut pair.boxes[0].hardware.start {
        parameters.push(' ');
        parameters.push_str(DISK);
    }
}

pub(crate) fn remove_stick(pair: &mut Pair) {
    pair.boxes[0].hardware.disks.truncate(1);
}

pub(crate) fn halctl(agent: &Agent, words: &[&str]) -> Result<String> {
    agent.run(&[&[HALCTL, "config"], words].concat(), "")
}

/// Waits until `config history` tells of something.
pub(crate) fn wait_history(agent: &Agent, text: &str) -> Result<()> {
    let deadline = Instant::now() + ANSWERS_WITHIN;
    loop {
        let told = halctl(agent, &["history"]);
        if told.as_ref().is_ok_and(|told| told.contains(text)) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("waiting for “{text}” in the history, which is: {told:?}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Waits for news of a document of this revision in force, from the `mark`-th event on.
fn wait_revision(pair: &mut Pair, mark: usize, revision: u64, source: &str) -> Result<()> {
    let is = |event: &Reported| {
        event.kind() == "config" && event.event["revision"] == revision && event.text("source") == source
    };
    let report = &pair.boxes[0].machine()?.report;
    report.expect_after(mark, &format!("revision {revision} by {source}"), BOOTS_WITHIN, is).map(drop)
}

/// Waits until the store tells that a record is passed over for this reason.
fn wait_passed_over(pair: &mut Pair, why: &str) -> Result<String> {
    let refused = |event: &Reported| event.event["refused"].to_string();
    let is = |event: &Reported| event.text("source") == "store" && refused(event).contains(why);
    let event = pair.boxes[0].machine()?.report.expect(why, BOOTS_WITHIN, is)?;
    Ok(refused(&event))
}

/// Puts the document of a revision on the box.
pub(crate) fn hand_over(pair: &mut Pair, agent: &Agent, revision: u64) -> Result<()> {
    pair.wording.revision = revision;
    let document = pair.cluster.document(&pair.wording);
    let signature = pair.sign(&document)?;
    agent.write_long(NEXT, &document)?;
    agent.write_long(&format!("{NEXT}.minisig"), &signature)
}

fn outlives_the_stick(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        pair.cluster.port = PLAIN_PORT;
        install(story, pair)?;
        pair.boxes[0].hardware.start = Start::Bios;
        let name = pair.cluster.members[0].name.clone();
        let agent = pair.agent(0);
        story.step("a box with a stick serves, and keeps the document", |_| {
            pair.power_on(0)?;
            pair.wait_served_by(&[&name])?;
            wait_history(&agent, "* generation 1, permanent")
        })?;
        story.step("after a power cut it serves without the stick", |story| {
            pair.cut_power(0);
            remove_stick(pair);
            pair.power_on(0)?;
            pair.wait_served_by(&[&name])?;
            let history = halctl(&agent, &["history"])?;
            ensure(history.contains("by volume from"), || history.clone())?;
            story.note(history.lines().nth(1).unwrap_or_default().to_owned());
            Ok(())
        })
    })
}

fn trial(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        install(story, pair)?;
        started_from_disk(pair);
        let agent = pair.agent(0);
        story.step("a box boots with a stick and keeps its document", |_| {
            pair.power_on(0)?;
            pair.wait_ready(0)?;
            wait_history(&agent, "* generation 1, permanent")?;
            hand_over(pair, &agent, 2)
        })?;
        story.step("a trial is undone by silence", |story| {
            let mark = pair.boxes[0].machine()?.report.mark();
            let said = halctl(&agent, &["apply", NEXT, "--confirm-within", "3s"])?;
            story.note(said.trim().to_owned());
            wait_revision(pair, mark, 2, "console")?;
            wait_revision(pair, mark, 1, "store")
        })?;
        story.step("a stick's documents are listed, and one that is pasted is tried", |story| {
            let listed = halctl(&agent, &["volumes"])?;
            story.note(listed.lines().next().unwrap_or_default().to_owned());
            ensure(listed.contains("halcyon.toml"), || listed.clone())?;
            let mark = pair.boxes[0].machine()?.report.mark();
            let paste = format!("cat {NEXT} {NEXT}.minisig | {HALCTL} config apply - --confirm-within 1h");
            agent.shell(&paste, "")?;
            wait_revision(pair, mark, 2, "console")?;
            let mark = pair.boxes[0].machine()?.report.mark();
            halctl(&agent, &["rollback"])?;
            wait_revision(pair, mark, 1, "store")
        })?;
        story.step("a trial is undone by a restart of the engine", |_| {
            on_trial(pair, &agent)?;
            let events = pair.boxes[0].machine()?.report.events();
            let started = events.iter().rev().find(|event| event.is_unit("engine", "started"));
            let pid = started.and_then(|event| event.number("pid")).context("the engine's process")?;
            let mark = pair.boxes[0].machine()?.report.mark();
            agent.kill(pid as i32, SIGKILL)?;
            let report = &pair.boxes[0].machine()?.report;
            report.expect_after(mark, "engine", BOOTS_WITHIN, |event| event.is_unit("engine", "ready"))?;
            wait_history(&agent, "* generation 1, permanent")
        })?;
        story.step("a trial is undone by a power cut", |story| {
            on_trial(pair, &agent)?;
            pair.cut_power(0);
            remove_stick(pair);
            pair.power_on(0)?;
            story.note(wait_passed_over(pair, "on trial and was not confirmed")?);
            wait_revision(pair, 0, 1, "store")?;
            pair.wait_ready(0)
        })?;
        story.step(
            "a confirmed one survives a power cut, and the way back is a generation of its own",
            |_| {
                hand_over(pair, &agent, 2)?;
                on_trial(pair, &agent)?;
                halctl(&agent, &["confirm"])?;
                pair.cut_power(0);
                pair.power_on(0)?;
                wait_revision(pair, 0, 2, "store")?;
                pair.wait_ready(0)?;
                let differs = halctl(&agent, &["diff"])?;
                ensure(differs.contains("-revision = 1") && differs.contains("+revision = 2"), || {
                    differs.clone()
                })?;
                let said = halctl(&agent, &["rollback", "1"])?;
                ensure(said.contains("revision 1 is in force, saved"), || said.clone())
            },
        )
    })
}

/// Puts the next document on a trial that outlasts the test.
fn on_trial(pair: &mut Pair, agent: &Agent) -> Result<()> {
    let mark = pair.boxes[0].machine()?.report.mark();
    halctl(agent, &["apply", NEXT, "--confirm-within", "1h"])?;
    wait_revision(pair, mark, 2, "console")
}

fn damaged_record(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        let disk = install(story, pair)?;
        started_from_disk(pair);
        let agent = pair.agent(0);
        story.step("a box keeps two documents", |_| {
            pair.power_on(0)?;
            pair.wait_ready(0)?;
            wait_history(&agent, "* generation 1, permanent")?;
            hand_over(pair, &agent, 2)?;
            halctl(&agent, &["apply", NEXT]).map(drop)
        })?;
        story.step("with a bit of the newer one flipped it comes up with the older, and says why", |story| {
            pair.cut_power(0);
            remove_stick(pair);
            flip(&disk, b"revision = 2")?;
            pair.power_on(0)?;
            story.note(wait_passed_over(pair, "signature does not fit")?);
            wait_revision(pair, 0, 1, "store")?;
            pair.wait_ready(0)
        })
    })
}

/// Flips the lowest bit of the first place in CONFIG where `text` stands.
fn flip(disk: &Path, text: &[u8]) -> Result<()> {
    let file = File::options().read(true).write(true).open(disk).context("opening the disk")?;
    let mut bytes = vec![0; (CONFIG.end - CONFIG.start) as usize];
    file.read_exact_at(&mut bytes, CONFIG.start).context("reading CONFIG")?;
    let at =
        bytes.windows(text.len()).position(|window| window == text).context("the document is not there")?;
    file.write_all_at(&[bytes[at] ^ 1], CONFIG.start + at as u64).context("flipping a bit")
}
