//! What is done to a box of the naive set-up on purpose, by the same agent: another configuration, a dead application.

use anyhow::{Context, Result};

use crate::agent::Agent;
use crate::keepalived::{Extent, configuration};
use crate::pair::Pair;

/// A director that checks and balances, as keepalived's documentation has it.
pub(super) const DIRECTOR: Extent = Extent { director: true, priority: None };

/// Has the box drop to the lowest priority, so that another one takes over.
pub(super) fn hand_over(pair: &Pair, which: usize, agent: &Agent) -> Result<()> {
    configure(pair, which, agent, Extent { priority: Some(1), ..DIRECTOR })
}

/// Gives the box the pair's present wording.
pub(super) fn change_document(pair: &Pair, which: usize, agent: &Agent) -> Result<()> {
    configure(pair, which, agent, DIRECTOR)
}

/// Writes a configuration and has keepalived read it.
fn configure(pair: &Pair, which: usize, agent: &Agent, extent: Extent) -> Result<()> {
    let text = configuration(&pair.cluster, which, &pair.wording, extent);
    agent.write_long("/etc/keepalived/keepalived.conf", &text)?;
    // The oldest of its processes is the parent of the others.
    shell(agent, "kill -HUP $(pidof keepalived | tr ' ' '\\n' | sort -n | head -n 1)")
        .context("reloading keepalived")
}

/// Kills the application; nobody starts it again.
pub(super) fn kill_application(agent: &Agent) -> Result<()> {
    shell(agent, "kill -9 $(pidof nameplate)").context("killing the application")
}

/// Starts it again.
pub(super) fn restore_application(agent: &Agent) -> Result<()> {
    shell(agent, "sh /tmp/application </dev/null >/dev/null 2>&1 &")
}

fn shell(agent: &Agent, line: &str) -> Result<()> {
    agent.shell(line, "").map(drop)
}
