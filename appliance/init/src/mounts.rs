//! What is mounted where, as a table, and mounting it.

use std::fs;
use std::path::Path;

use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// One line of the table.
struct Mount {
    source: &'static str,
    target: &'static str,
    kind: &'static str,
    flags: MountFlags,
    data: &'static str,
}

const NOTHING: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC).union(MountFlags::NODEV);
const DEVICES: MountFlags = MountFlags::NOSUID.union(MountFlags::NOEXEC);

/// Needed to find and mount the root; moved into it afterwards.
const EARLY: &[Mount] = &[
    Mount { source: "proc", target: "/proc", kind: "proc", flags: NOTHING, data: "" },
    Mount { source: "sysfs", target: "/sys", kind: "sysfs", flags: NOTHING, data: "" },
    Mount { source: "devtmpfs", target: "/dev", kind: "devtmpfs", flags: DEVICES, data: "mode=755" },
];

/// Mounted in the root. Sizes are caps, not reservations: a program that fills one does not fill the machine.
const LATE: &[Mount] = &[
    Mount {
        source: "devpts",
        target: "/dev/pts",
        kind: "devpts",
        flags: DEVICES,
        data: "mode=620,ptmxmode=000",
    },
    Mount { source: "tmpfs", target: "/dev/shm", kind: "tmpfs", flags: NOTHING, data: "mode=1777,size=25%" },
    Mount { source: "tmpfs", target: "/run", kind: "tmpfs", flags: NOTHING, data: "mode=755,size=20%" },
    Mount { source: "tmpfs", target: "/tmp", kind: "tmpfs", flags: NOTHING, data: "mode=1777,size=20%" },
    Mount {
        source: "cgroup2",
        target: "/sys/fs/cgroup",
        kind: "cgroup2",
        flags: NOTHING,
        data: "nsdelegate,memory_recursiveprot",
    },
];

/// Mounts what the first stage needs.
pub(crate) fn early() -> Result<(), String> {
    mount_all(EARLY)
}

/// Moves the first stage's mounts below the new root.
pub(crate) fn move_below(root: &str) -> Result<(), String> {
    for line in EARLY {
        let target = format!("{root}{}", line.target);
        rustix::mount::mount_move(line.target, &target)
            .map_err(|error| format!("{} cannot be moved to {target}: {error}", line.target))?;
    }
    Ok(())
}

/// Mounts the rest. Every line is tried; the problems, one sentence each.
pub(crate) fn late() -> Vec<String> {
    LATE.iter().filter_map(|line| mount_all(std::slice::from_ref(line)).err()).collect()
}

fn mount_all(table: &[Mount]) -> Result<(), String> {
    for line in table {
        if !Path::new(line.target).is_dir() {
            fs::create_dir_all(line.target)
                .map_err(|error| format!("cannot make {}: {error}", line.target))?;
        }
        let data = std::ffi::CString::new(line.data).expect("the table has no NUL");
        match mount(line.source, line.target, line.kind, line.flags, Some(data.as_c_str())) {
            Ok(()) | Err(Errno::BUSY) => {}
            Err(error) => return Err(format!("{} cannot be mounted on {}: {error}", line.kind, line.target)),
        }
    }
    Ok(())
}

/// Unmounts everything that lies on a disk, deepest first; what is still in use is made read-only.
pub(crate) fn unmount_disks() {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let on_disk = |line: &str| {
        let mut words = line.split(' ');
        let source = words.next()?;
        let target = words.next()?;
        (source.starts_with("/dev/") && target != "/").then(|| target.to_owned())
    };
    let mut targets: Vec<String> = table.lines().filter_map(on_disk).collect();
    targets.reverse();
    for target in targets {
        if unmount(&target, UnmountFlags::empty()).is_err() {
            // Best effort: a busy filesystem is at least clean.
            let _ = rustix::mount::mount_remount(&target, MountFlags::RDONLY, "");
        }
    }
}
