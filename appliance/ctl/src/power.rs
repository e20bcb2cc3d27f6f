//! `reboot` and `poweroff`, which PID 1 does in order.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use halcyon_core::control::Response;
use halcyon_core::supervise::control::{Request, SOCKET};

use crate::engine::{exchange, refusal};
use crate::terminal::clean;

/// Asks PID 1, whose answers to these have the engine's form.
pub(crate) fn run(request: &Request, out: &mut dyn Write) -> Result<()> {
    let request = serde_json::to_string(request)?;
    let answer = exchange(Path::new(SOCKET), &request, Duration::from_secs(5));
    match answer.context("PID 1 does not answer")? {
        Response::Done(sentence) => Ok(writeln!(out, "{}", clean(&sentence))?),
        other => Err(refusal(other)),
    }
}
