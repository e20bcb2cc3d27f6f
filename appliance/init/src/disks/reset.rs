//! Factory reset: the keys, the history and STATE forgotten. The engine, CONFIG's only writer otherwise, does not run
//! then: it has ended, or was not given the partition yet.

use std::fs::File;
use std::os::unix::fs::FileExt;

use halcyon_core::disk::{NAMES, SECTOR};
use halcyon_core::store::{Step, commit};

use super::survey::{node, table};

/// Wipes CONFIG on the disk, through the disk's own node: the partition's belongs to the engine.
pub(super) fn forget(disk: &str) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| format!("{disk}: {error}");
    let device = File::options().read(true).write(true).open(node(disk)).map_err(|error| said(&error))?;
    let table = table(&device).map_err(|error| said(&error))?.table;
    let config = table.named(NAMES[4]).ok_or_else(|| format!("{disk} has no CONFIG partition"))?;
    for step in commit::reset(config.size()) {
        let done = match step {
            Step::Write { at, bytes } => device.write_all_at(&bytes, config.first * SECTOR + at),
            Step::Flush => device.sync_data(),
            // A reset proves nothing by reading.
            Step::Expect { .. } => Ok(()),
        };
        done.map_err(|error| said(&error))?;
    }
    Ok(())
}
