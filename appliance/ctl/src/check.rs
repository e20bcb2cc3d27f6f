//! `check`: a document is fine, or all its problems, one a line. A document without a fault that cannot be made safe
//! from packets that loop is refused too, with the way of such a packet.

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result, bail};
use halcyon_core::config::Config;
use halcyon_core::config::check::check_bytes;
use halcyon_core::config::seal::digest;
use halcyon_core::plan::storm::document::judge;

pub(crate) fn run(file: &Path, out: &mut dyn Write) -> Result<()> {
    let document = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let config = checked(file, &document, out)?;
    writeln!(
        out,
        "{} is fine: {} revision {}, {} members, {} virtual routers, {} services, sha256 {}",
        file.display(),
        config.cluster.name,
        config.cluster.revision,
        config.members.len(),
        config.vrrp.len(),
        config.services.len(),
        digest(&document),
    )?;
    Ok(())
}

/// The configuration; or an error after every problem was written to `problems_to`.
pub(crate) fn checked(file: &Path, document: &[u8], problems_to: &mut dyn Write) -> Result<Config> {
    let problems = match check_bytes(document) {
        Ok(config) => match judge(&config) {
            loops if loops.is_empty() => return Ok(config),
            loops => loops,
        },
        Err(problems) => problems,
    };
    for problem in &problems {
        writeln!(problems_to, "{problem}")?;
    }
    bail!("{} has {} problem{}", file.display(), problems.len(), if problems.len() == 1 { "" } else { "s" })
}
