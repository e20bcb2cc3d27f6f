//! The first stage, in the initramfs: find the root image beside us, mount it, continue as the `init` that lies in it.
//!
//! `/modules/order` names the files to load, one a line, in order; `/rootfs.squashfs` is the root image. Everything
//! is in memory: no disk, no waiting, nothing to go wrong but a broken image, and then the machine starts again.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::mount::{MountFlags, mount, mount_move};

use crate::ioctl;
use crate::modules::load::insert;
use crate::mounts;

/// The root image, where the first stage finds it.
pub(crate) const IMAGE: &str = "/rootfs.squashfs";

/// Tells the second stage when the first began: nanoseconds on the boot clock.
pub(crate) const STARTED: &str = "HALCYON_STARTED";

const INIT: &str = "/usr/lib/halcyon/bin/init";
const ROOT: &str = "/root";

/// Hands over to the second stage; returns only on failure, with the reason.
pub(crate) fn run(started: Duration) -> String {
    if let Err(why) = prepare() {
        return why;
    }
    let error = Command::new(INIT).env_clear().env(STARTED, started.as_nanos().to_string()).exec();
    format!("{INIT} in the root image cannot be started: {error}")
}

fn prepare() -> Result<(), String> {
    mounts::early()?;
    let order = fs::read_to_string("/modules/order").unwrap_or_default();
    for file in order.lines().filter(|line| !line.is_empty()) {
        let path = Path::new("/modules").join(file);
        insert(&path, "").map_err(|error| format!("{} cannot be loaded: {error}", path.display()))?;
    }
    let device = attach_image()?;
    mount(
        device.as_str(),
        ROOT,
        "squashfs",
        MountFlags::RDONLY | MountFlags::NODEV | MountFlags::NOSUID,
        None,
    )
    .map_err(|error| format!("{IMAGE} is no root image: {error}"))?;
    mounts::move_below(ROOT)?;
    // The first stage's own files are of no more use; the image stays, the loop device reads it.
    let _ = fs::remove_dir_all("/modules");
    let _ = fs::remove_file("/init");
    std::env::set_current_dir(ROOT).map_err(|error| format!("cannot enter {ROOT}: {error}"))?;
    mount_move(".", "/").map_err(|error| format!("{ROOT} cannot become the root: {error}"))?;
    rustix::process::chroot(".").map_err(|error| format!("cannot change to the root: {error}"))?;
    std::env::set_current_dir("/").map_err(|error| format!("cannot enter the root: {error}"))
}

/// Puts the image behind the first free loop device.
fn attach_image() -> Result<String, String> {
    let image = File::open(IMAGE).map_err(|error| format!("{IMAGE}: {error}"))?;
    for number in 0..8 {
        let device = format!("/dev/loop{number}");
        let Ok(opened) = File::open(&device) else { continue };
        if ioctl::loop_set_fd(&opened, &image).is_ok() {
            return Ok(device);
        }
    }
    Err("no loop device is free".to_owned())
}
