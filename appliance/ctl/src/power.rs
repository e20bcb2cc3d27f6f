//! `reboot` and `poweroff`, which PID 1 does in order.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use halcyon_core::control::Response;

use crate::engine::{exchange, refusal};
use crate::terminal::clean;

/// Where PID 1 takes requests.
const SOCKET: &str = "/run/halcyon/init.sock";

/// Asks PID 1 for `verb`.
pub(crate) fn run(verb: &str, out: &mut dyn Write) -> Result<()> {
    let request = serde_json::json!({ "verb": verb }).to_string();
    let answer = exchange(Path::new(SOCKET), &request, Duration::from_secs(5));
    match answer.context("PID 1 does not answer")? {
        Response::Done(sentence) => Ok(writeln!(out, "{}", clean(&sentence))?),
        other => Err(refusal(other)),
    }
}
