//! Running the build host's own programs: what they print when they fail becomes one sentence.
//!
//! Every tool runs with a fixed locale and time zone, so that its output cannot depend on the host's.

use std::ffi::OsStr;
use std::io::ErrorKind;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// A host program with the environment that every build step uses.
pub(crate) fn tool(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env("LC_ALL", "C.UTF-8").env("TZ", "UTC").stdin(Stdio::null());
    command
}

/// Runs `command` to its end and returns its standard output.
///
/// # Errors
/// The program is not installed, or it failed: then the last line it wrote to standard error that says why.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let program = command.get_program().to_string_lossy().into_owned();
    let result = match command.output() {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            bail!("{program} is not installed; run image/host-packages to install what the build needs")
        }
        other => other.with_context(|| format!("{program} cannot be started"))?,
    };
    if !result.status.success() {
        bail!("{program} failed ({}): {}", result.status, reason(&result.stderr));
    }
    Ok(result.stdout)
}

/// The line of a tool's standard error that tells most: the first that says error, else the last.
pub(crate) fn reason(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    let telling = |line: &&str| {
        let lower = line.to_ascii_lowercase();
        lower.starts_with("e:") || lower.contains("error") || lower.contains("fatal")
    };
    lines().find(telling).or_else(|| lines().next_back()).unwrap_or("no reason given").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_says_how_to_get_it() {
        let error = output(&mut tool("no-such-program-here")).unwrap_err().to_string();
        assert_eq!(
            error,
            "no-such-program-here is not installed; run image/host-packages to install what the build needs"
        );
    }

    #[test]
    fn the_telling_line_is_chosen() {
        assert_eq!(
            reason(b"W: noise\nE: Unable to locate package x\nW: more\n"),
            "E: Unable to locate package x"
        );
        assert_eq!(reason(b"first\nlast\n\n"), "last");
        assert_eq!(reason(b""), "no reason given");
    }

    #[test]
    fn failure_carries_the_reason() {
        let error = output(tool("sh").args(["-c", "echo 'E: broken' >&2; exit 3"])).unwrap_err().to_string();
        assert_eq!(error, "sh failed (exit status: 3): E: broken");
    }
}
