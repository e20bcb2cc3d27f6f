//! The first stage, in the initramfs: find the root image beside us, mount it, make it the root.
//!
//! `/modules/order` names the files to load, one a line, in order; `/rootfs.squashfs` is the root image. Everything
//! is in memory: no disk, no waiting, nothing to go wrong but a broken image, and then the machine starts again.
//!
//! The running program is not started anew from the image: its file is bound over its twin there. It need not be
//! unpacked a second time (a tenth of a second under emulation), and every role of it shares one copy in memory.
//!
//! After a network start `/install.img` may lie there, too: the beginning of a disk image, which the unit `disks` copies to
//! disks. Out of reach below the new root, it is put behind a loop device as well.

use std::fs::{self, File};
use std::path::Path;

use rustix::mount::{MountFlags, mount, mount_bind, mount_move};

use crate::ioctl;
use crate::modules::load::insert;
use crate::mounts;

/// The root image, where the first stage finds it.
pub(crate) const IMAGE: &str = "/rootfs.squashfs";

/// What a network start brings to be installed.
pub(crate) const MEDIUM: &str = "/install.img";

/// This program in the initramfs, and below the root.
const HERE: &str = "/init";
const THERE: &str = "/usr/lib/halcyon/bin/init";

const ROOT: &str = "/root";

/// Mounts the root image and enters it; the reason if that cannot be.
pub(crate) fn enter_root() -> Result<(), String> {
    mounts::early()?;
    let order = fs::read_to_string("/modules/order").unwrap_or_default();
    for file in order.lines().filter(|line| !line.is_empty()) {
        let path = Path::new("/modules").join(file);
        insert(&path, "").map_err(|error| format!("{} cannot be loaded: {error}", path.display()))?;
    }
    let device = attach(IMAGE)?;
    if Path::new(MEDIUM).exists() {
        // The box serves without it; `disks` says what is missing when it is asked to install.
        let _ = attach(MEDIUM);
    }
    mount(
        device.as_str(),
        ROOT,
        "squashfs",
        MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID,
        None,
    )
    .map_err(|error| format!("{IMAGE} is no root image: {error}"))?;
    mount_bind(HERE, format!("{ROOT}{THERE}"))
        .map_err(|error| format!("{HERE} cannot take the place of {THERE}: {error}"))?;
    mounts::move_below(ROOT)?;
    // The first stage's own files are of no more use; the image stays, the loop device reads it.
    let _ = fs::remove_dir_all("/modules");
    // 15 MB of microcode: the kernel took the update for this processor long before it started us.
    let _ = fs::remove_dir_all("/kernel");
    let _ = fs::remove_file(HERE);
    std::env::set_current_dir(ROOT).map_err(|error| format!("cannot enter {ROOT}: {error}"))?;
    mount_move(".", "/").map_err(|error| format!("{ROOT} cannot become the root: {error}"))?;
    rustix::process::chroot(".").map_err(|error| format!("cannot change to the root: {error}"))?;
    std::env::set_current_dir("/").map_err(|error| format!("cannot enter the root: {error}"))
}

/// Puts a file behind the first free loop device, to be read.
fn attach(file: &str) -> Result<String, String> {
    let image = File::open(file).map_err(|error| format!("{file}: {error}"))?;
    for number in 0..8 {
        let device = format!("/dev/loop{number}");
        let Ok(opened) = File::open(&device) else { continue };
        if ioctl::loop_set_fd(&opened, &image).is_ok() {
            return Ok(device);
        }
    }
    Err("no loop device is free".to_owned())
}
