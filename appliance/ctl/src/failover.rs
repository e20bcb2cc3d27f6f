//! `failover`: asks the engine to hand over what this box is master of.

use std::io::Write;

use anyhow::Result;
use halcyon_core::control::{Request, Response};

use crate::engine::{ask, refusal};
use crate::terminal::clean;

pub(crate) fn run(out: &mut dyn Write) -> Result<()> {
    match ask(&Request::Failover)? {
        Response::Done(sentence) => Ok(writeln!(out, "{}", clean(&sentence))?),
        other => Err(refusal(other)),
    }
}
