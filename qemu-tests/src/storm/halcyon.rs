//! What is done to a Halcyon box on purpose, by the agent of a test image: handing over, another document, a dead
//! application.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::agent::{Agent, BUSYBOX, HALCTL};
use crate::pair::Pair;
use crate::vm::report::Reported;

const APPLICATION: &str = "/opt/nameplate/nameplate";
const SIGKILL: i32 = 9;

/// The document in force, for the engine that comes after a killed one.
const IN_FORCE: &str = "/run/halcyon/config";

/// An engine that was killed is back and has planned within this, under emulation.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// Has the box hand over what it is master of; it does not preempt afterwards.
pub(super) fn hand_over(agent: &Agent) -> Result<()> {
    agent.run(&[HALCTL, "failover"], "").context("handing over").map(drop)
}

/// Puts the pair's document, signed, in the place of the one in force on the box, and kills the engine: the next one
/// reads it, and has to bring the kernel from the old document's state to the new one's.
pub(super) fn change_document(pair: &mut Pair, which: usize, agent: &Agent) -> Result<()> {
    let document = pair.cluster.document(&pair.wording);
    let signature = pair.sign(&document)?;
    let kept = format!("{IN_FORCE}/generation");
    let generation: u64 = agent.read(&kept)?.trim().parse().context("the generation in force")?;
    for (name, text) in [("document", &document), ("signature", &signature)] {
        agent.write_long(&format!("{IN_FORCE}/{name}"), text)?;
    }
    agent.write(&kept, &(generation + 1).to_string())?;
    let mark = pair.boxes[which].machine()?.report.mark();
    let engine = process(pair, which, "engine")?;
    agent.kill(engine, SIGKILL)?;
    let ready = |event: &Reported| {
        event.kind() == "ready" && event.number("generation") == Some((generation + 1) as f64)
    };
    let report = &pair.boxes[which].machine()?.report;
    report.expect_after(mark, "the new document's first plan", BACK_WITHIN, ready).map(drop)
}

/// Kills the application and keeps it from starting again: its program is hidden behind another that ends at once.
pub(super) fn kill_application(pair: &mut Pair, which: usize, agent: &Agent) -> Result<()> {
    agent.run(&[BUSYBOX, "mount", "--bind", BUSYBOX, APPLICATION], "").context("hiding the application")?;
    agent.kill(process(pair, which, "app")?, SIGKILL)
}

/// Lets the application start again, whenever it is tried next.
pub(super) fn restore_application(agent: &Agent) -> Result<()> {
    agent.run(&[BUSYBOX, "umount", APPLICATION], "").map(drop)
}

/// The process that runs a unit, as last reported.
pub(super) fn process(pair: &mut Pair, which: usize, unit: &str) -> Result<i32> {
    let events = pair.boxes[which].machine()?.report.events();
    let started = events.iter().rev().find(|event| event.is_unit(unit, "started"));
    let process = started.and_then(|event| event.number("pid"));
    Ok(process.with_context(|| format!("{unit} never reported its process"))? as i32)
}
