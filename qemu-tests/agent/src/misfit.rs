//! Units that misbehave, one way each.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{SigSet, SigmaskHow, Signal, sigprocmask};

/// Parents that [`orphans`] starts one after the other, and children that each leaves behind.
const PARENTS: usize = 20;
const CHILDREN: usize = 50;

/// The kernel parameter that lets units misbehave; most tests want them quiet.
const WANTED: &str = "test.misfits";

/// Misbehaves in this way, for as long as PID 1 lets it.
pub(crate) fn be(kind: &str) -> Result<()> {
    let parameters = std::fs::read_to_string("/proc/cmdline").context("the kernel parameters")?;
    if !parameters.split_ascii_whitespace().any(|word| word == WANTED) {
        return forever();
    }
    match kind {
        "orphans" => orphans(),
        "orphan" => {
            // Outlives its parent, so that it is PID 1's to reap.
            std::thread::sleep(Duration::from_secs(1));
            Ok(())
        }
        "parent" => {
            // Dies at once and leaves its children behind.
            for _ in 0..CHILDREN {
                myself("orphan")?.spawn().context("an orphan")?;
            }
            Ok(())
        }
        "deaf" => deaf(),
        "loud" => loud(),
        "crash" => bail!("this unit crashes at once and for ever"),
        _ => bail!("{kind}: not a way to misbehave"),
    }
}

/// Leaves a thousand orphans behind, then idles.
fn orphans() -> Result<()> {
    for _ in 0..PARENTS {
        myself("parent")?.status().context("a parent")?;
    }
    println!("left {} orphans behind", PARENTS * CHILDREN);
    forever()
}

/// Blocks every signal that can be blocked.
fn deaf() -> Result<()> {
    let mut all = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT] {
        all.add(signal);
    }
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&all), None).context("blocking signals")?;
    forever()
}

/// Writes as much as its output takes.
fn loud() -> Result<()> {
    let line = "all work and no play makes a unit loud ".repeat(25);
    let mut output = std::io::stdout().lock();
    loop {
        // Whatever becomes of the output, go on.
        let _ = writeln!(output, "{line}");
    }
}

fn forever() -> Result<()> {
    loop {
        std::thread::park();
    }
}

fn myself(kind: &str) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe().context("my own path")?);
    command.args(["misfit", kind]).stdin(Stdio::null());
    Ok(command)
}
