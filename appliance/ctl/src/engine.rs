//! Asks a program on this box one thing over its unix socket: a line of JSON there, a line of JSON back. The engine and
//! PID 1 speak the same form.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use halcyon_core::control::{self, Request, Response};
use halcyon_core::status::Status;

/// The longest answer that is read, in bytes.
const LONGEST: u64 = 16 << 20;

/// Asks the engine. It answers within ten seconds, if only that it is busy.
pub(crate) fn ask(request: &Request) -> Result<Response> {
    let patience = Duration::from_secs(12);
    let request = serde_json::to_string(request)?;
    exchange(Path::new(control::SOCKET), &request, patience).context("the engine does not answer")
}

/// The status, for as long as an operator at a console does not notice the wait.
pub(crate) fn glance() -> Option<Status> {
    let request = serde_json::to_string(&Request::Status).ok()?;
    match exchange(Path::new(control::SOCKET), &request, Duration::from_millis(500)) {
        Ok(Response::Status(status)) => Some(*status),
        _ => None,
    }
}

/// One question and its answer on `socket`, each within `patience`.
pub(crate) fn exchange(socket: &Path, request: &str, patience: Duration) -> Result<Response> {
    let mut stream = UnixStream::connect(socket).with_context(|| socket.display().to_string())?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    let mut line = String::new();
    BufReader::new(stream.take(LONGEST)).read_line(&mut line)?;
    if line.is_empty() {
        bail!("{} was closed without an answer", socket.display());
    }
    serde_json::from_str(&line)
        .with_context(|| format!("{} answered what is not understood", socket.display()))
}

/// What there is to say about an answer that the verb did not expect; a refusal is one.
pub(crate) fn refusal(response: Response) -> anyhow::Error {
    match response {
        Response::Refused(why) => anyhow::anyhow!("refused: {why}"),
        other => anyhow::anyhow!("an answer to another question: {other:?}"),
    }
}
