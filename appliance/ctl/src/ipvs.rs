//! `ipvs`: the table as the kernel has it, rendered by the engine.

use std::io::Write;

use anyhow::Result;
use halcyon_core::control::{Request, Response};

use crate::engine::{ask, refusal};
use crate::terminal::clean;

pub(crate) fn run(out: &mut dyn Write) -> Result<()> {
    let table = match ask(&Request::Ipvs)? {
        Response::Text(table) => table,
        other => return Err(refusal(other)),
    };
    for line in table.lines() {
        writeln!(out, "{}", clean(line))?;
    }
    Ok(())
}
