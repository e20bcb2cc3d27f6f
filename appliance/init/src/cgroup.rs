//! One cgroup (version 2) a unit, directly below the root: its limits, and killing everything in it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use halcyon_core::supervise::Unit;

const ROOT: &str = "/sys/fs/cgroup";

/// Processes a unit may have: far above what a server needs, far below what stops the machine.
const PIDS_MAX: &str = "4096";

/// Shares of the processor when all want it: an application in a loop must not make the engine late.
const WEIGHT_CRITICAL: &str = "2000";
const WEIGHT_ORDINARY: &str = "100";

/// Lets units have limits.
pub(crate) fn enable_controllers() -> io::Result<()> {
    fs::write(Path::new(ROOT).join("cgroup.subtree_control"), "+memory +pids +cpu")
}

/// Makes the unit's cgroup as its file says; returns the file that a process joins it by.
pub(crate) fn prepare(unit: &Unit) -> io::Result<File> {
    let directory = directory(&unit.name);
    fs::create_dir_all(&directory)?;
    if let Some(bytes) = unit.memory_max {
        fs::write(directory.join("memory.max"), bytes.to_string())?;
        // Half a unit is none: when one of its processes must die for memory, all do, and it starts again.
        fs::write(directory.join("memory.oom.group"), "1")?;
    }
    fs::write(directory.join("pids.max"), PIDS_MAX)?;
    fs::write(directory.join("cpu.weight"), if unit.critical { WEIGHT_CRITICAL } else { WEIGHT_ORDINARY })?;
    OpenOptions::new().write(true).open(directory.join("cgroup.procs"))
}

/// Kills every process of the unit, also those that left its session.
pub(crate) fn kill(unit: &str) -> io::Result<()> {
    fs::write(directory(unit).join("cgroup.kill"), "1")
}

/// The unit that a process belongs to, whatever it calls itself.
pub(crate) fn unit_of(pid: u32) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let unit = path.split('/').next()?;
    (!unit.is_empty()).then(|| unit.to_owned())
}

fn directory(unit: &str) -> PathBuf {
    Path::new(ROOT).join(unit)
}
