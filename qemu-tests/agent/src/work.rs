//! What can be asked of the agent, done.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use halcyon_test_agent::Request;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Does it; the text for the harness.
pub(crate) fn work(request: &Request) -> Result<String> {
    match request {
        Request::Read { path } => read(path),
        Request::List { path } => list(path),
        Request::Write { path, text } => {
            std::fs::write(path, text).with_context(|| format!("writing {path}"))?;
            Ok(String::new())
        }
        Request::Kill { pid, signal } => {
            let signal = Signal::try_from(*signal).context("the signal")?;
            kill(Pid::from_raw(*pid), signal).with_context(|| format!("signalling {pid}"))?;
            Ok(String::new())
        }
        Request::Run { words, input } => run(words, input),
        Request::Process { pid } => process(*pid),
    }
}

fn read(path: &str) -> Result<String> {
    let bytes = std::fs::read(path).with_context(|| format!("reading {path}"))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn list(path: &str) -> Result<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(path).with_context(|| format!("listing {path}"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join("\n"))
}

fn run(words: &[String], input: &str) -> Result<String> {
    let [program, arguments @ ..] = words else { bail!("no program") };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("starting {program}"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that does not read its input closes it.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        bail!("{}: {}: {said}{}", words.join(" "), output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(said)
}

fn process(pid: i32) -> Result<String> {
    let base = format!("/proc/{pid}");
    let mut text = String::new();
    for file in ["status", "cgroup", "limits"] {
        let _ = writeln!(text, "[{file}]\n{}", read(&format!("{base}/{file}"))?);
    }
    text.push_str("[fd]\n");
    for number in list(&format!("{base}/fd"))?.lines() {
        // One that was closed since it was listed is not open.
        let Ok(target) = std::fs::read_link(format!("{base}/fd/{number}")) else { continue };
        let _ = writeln!(text, "{number} {}", target.display());
    }
    Ok(text)
}
