//! `failover`: asks the engine to hand over what this box is master of. Such a box holds back until another one is gone, or
//! until `failover release`.

use std::io::Write;

use anyhow::Result;
use halcyon_core::control::{Request, Response};

use crate::engine::{ask, refusal};
use crate::terminal::clean;

/// Something else than a hand-over.
#[derive(Clone, Copy, clap::Subcommand)]
pub(crate) enum Instead {
    /// Let this box take over again after a hand-over
    Release,
}

pub(crate) fn run(instead: Option<Instead>, out: &mut dyn Write) -> Result<()> {
    let request = match instead {
        None => Request::Failover,
        Some(Instead::Release) => Request::Release,
    };
    match ask(&request)? {
        Response::Done(sentence) => Ok(writeln!(out, "{}", clean(&sentence))?),
        other => Err(refusal(other)),
    }
}
