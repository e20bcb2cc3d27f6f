//! STATE, the ext4 volume for logs and workload data: grown to its disk, mounted, made anew when it is missing or damaged.
//!
//! Whatever was on a volume that had to be made anew is lost, which is why nothing that matters is kept there. An empty
//! volume lies in the root image, so no program that makes or mends filesystems is needed: the kernel replays the journal
//! and checks what it reads, and a volume on which it ever found a mistake counts as damaged.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use halcyon_core::disk::gpt::Partition;
use halcyon_core::disk::grow::grow;
use halcyon_core::disk::{SECTOR, Step};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use super::survey::{node, partition, sectors, table};
use crate::ioctl;

/// Where it is mounted.
pub(super) const MOUNTED: &str = "/state";

/// An empty volume, without what it has to grow by.
const BLANK: &str = "/usr/lib/halcyon/state.ext4";

/// Whoever leaves this file wants the volume made anew at the next start.
pub(super) const DISCARD: &str = "/state/.discard";

/// Bytes of a block of the filesystem.
const BLOCK: u64 = 4096;

/// Bytes written at once.
const CHUNK: usize = 1 << 20;

/// What becomes of what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keep {
    /// Used, if it is whole.
    Yes,
    /// Made anew.
    No,
}

/// Grows and mounts the volume of the disk; what was done that somebody should know.
pub(super) fn open(disk: &str, keep: Keep) -> Result<Vec<String>, String> {
    let mut news = Vec::new();
    let (number, state) = place(disk, &mut news)?;
    let name = partition(disk, number).ok_or_else(|| format!("{disk} shows no partition {number}"))?;
    let device = node(&name);
    let why = match keep {
        Keep::No => Some("as it was asked for".to_owned()),
        Keep::Yes => damage(&device)?.map(ToOwned::to_owned),
    };
    if let Some(why) = why {
        news.push(format!("STATE is made anew: {why}"));
        make(&device)?;
    }
    let again = match attach(&device) {
        Ok(()) if Path::new(DISCARD).exists() => {
            unmount(MOUNTED, UnmountFlags::empty())
                .map_err(|error| format!("it cannot be unmounted: {error}"))?;
            Some("as it was asked for".to_owned())
        }
        Ok(()) => None,
        Err(Errno::ROFS | Errno::ACCESS) => return Err(format!("{name} is write-protected")),
        // What a filesystem says that does not hold together (fs/ext4/super.c); the disk itself says EIO.
        Err(error @ (Errno::INVAL | Errno::UCLEAN | Errno::BADMSG | Errno::NODATA | Errno::IO)) => {
            Some(format!("it cannot be mounted ({error})"))
        }
        Err(error) => return Err(format!("{name} cannot be mounted: {error}")),
    };
    if let Some(why) = again {
        news.push(format!("STATE is made anew: {why}"));
        make(&device)?;
        attach(&device).map_err(|error| format!("{name} cannot be mounted, new as it is: {error}"))?;
    }
    let root = File::open(MOUNTED);
    if let Err(error) = root.and_then(|root| Ok(ioctl::ext4_resize(root, state.size() / BLOCK)?)) {
        news.push(format!("STATE stays at its size: {error}"));
    }
    Ok(news)
}

/// The last partition, after it was extended to the disk's end.
fn place(disk: &str, news: &mut Vec<String>) -> Result<(u32, Partition), String> {
    let device = File::options().read(true).write(true).open(node(disk));
    let device = device.map_err(|error| format!("{disk} cannot be written to: {error}"))?;
    let placed = table(&device).map_err(|error| format!("{disk}: {error}"))?;
    let mut table = placed.table.clone();
    if let Some((steps, grown)) = grow(&placed, sectors(disk)) {
        carry_out(&device, &steps)
            .map_err(|error| format!("{disk}: its table cannot be written: {error}"))?;
        table = grown;
    }
    let (number, last) = table.partitions.pop_last().ok_or("the disk has no partitions")?;
    // The kernel still has the size that it read at the start.
    let told = partition(disk, number).map(|name| sectors(&format!("{disk}/{name}")) * SECTOR);
    if told != Some(last.size()) {
        let resized = ioctl::resize_partition(&device, number, last.first * SECTOR, last.size());
        resized
            .map_err(|error| format!("{disk}: the kernel does not take the new size of STATE: {error}"))?;
        news.push(format!("STATE was extended to {} MiB", last.size() >> 20));
    }
    Ok((number, last))
}

/// Carries steps out, in order.
pub(super) fn carry_out(device: &File, steps: &[Step]) -> io::Result<()> {
    for step in steps {
        match step {
            Step::Write { sector, bytes } => device.write_all_at(bytes, sector * SECTOR)?,
            Step::Flush => device.sync_data()?,
        }
    }
    Ok(())
}

/// Why the volume cannot be used; `None`: it can be tried.
fn damage(device: &Path) -> Result<Option<&'static str>, String> {
    let mut block = vec![0; 4096];
    let read = File::open(device).and_then(|file| file.read_exact_at(&mut block, 0));
    read.map_err(|error| format!("{} cannot be read: {error}", device.display()))?;
    Ok(superblock_damage(&block))
}

/// What the superblock says (`Documentation/filesystems/ext4/super.rst`): magic number and state, at 1024 + 0x38.
fn superblock_damage(block: &[u8]) -> Option<&'static str> {
    const ERRORS: u8 = 2;
    if block.iter().all(|byte| *byte == 0) {
        return Some("it is empty");
    }
    if block[0x438..0x43a] != [0x53, 0xef] {
        return Some("there is no filesystem");
    }
    (block[0x43a] & ERRORS != 0).then_some("the kernel found mistakes in it")
}

/// Writes an empty volume. Its beginning comes last: half a volume is none.
fn make(device: &Path) -> Result<(), String> {
    let said = |error: io::Error| format!("{} cannot be written: {error}", device.display());
    let blank = File::open(BLANK).map_err(|error| format!("{BLANK}: {error}"))?;
    let length = blank.metadata().map_err(|error| format!("{BLANK}: {error}"))?.len();
    let exclusive = i32::try_from(OFlags::EXCL.bits()).expect("open flags are an int");
    let device = File::options().write(true).custom_flags(exclusive).open(device).map_err(said)?;
    device.write_all_at(&[0; 4096], 0).and_then(|()| device.sync_data()).map_err(said)?;
    let mut buffer = vec![0; CHUNK];
    let mut copy = |from: u64| {
        let wanted = usize::try_from(length - from).unwrap_or(CHUNK).min(CHUNK);
        blank.read_exact_at(&mut buffer[..wanted], from)?;
        device.write_all_at(&buffer[..wanted], from)
    };
    (CHUNK as u64..length).step_by(CHUNK).try_for_each(&mut copy).map_err(said)?;
    device.sync_data().map_err(said)?;
    copy(0).and_then(|()| device.sync_data()).map_err(said)
}

fn attach(device: &Path) -> rustix::io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
    // A mistake makes it read-only, and is remembered in the superblock.
    let options = CString::new("errors=remount-ro").expect("there is no NUL in it");
    mount(device, MOUNTED, "ext4", flags, Some(options.as_c_str()))
}

/// Whether something is mounted.
pub(super) fn is_open() -> bool {
    let mut table = String::new();
    let read = File::open("/proc/self/mounts").and_then(|mut file| file.read_to_string(&mut table));
    read.is_ok() && table.lines().any(|line| line.split(' ').nth(1) == Some(MOUNTED))
}

/// Whether the kernel still has the device of what is mounted.
pub(super) fn is_there() -> bool {
    let device = fs::metadata(MOUNTED).map(|root| root.dev());
    let place =
        |device| format!("/sys/dev/block/{}:{}", rustix::fs::major(device), rustix::fs::minor(device));
    device.is_ok_and(|device| Path::new(&place(device)).exists())
}

/// Unmounts it, whoever has files open there: what they write is lost, and they are to open them anew.
pub(super) fn let_go() {
    // It fails when nothing is mounted.
    let _ = unmount(MOUNTED, UnmountFlags::DETACH);
}

/// A directory on the volume for a unit's user.
pub(super) fn directory(name: &str, user: u32) -> Result<(), String> {
    let path = Path::new(MOUNTED).join(name);
    let made = fs::create_dir_all(&path);
    let given = made.and_then(|()| std::os::unix::fs::chown(&path, Some(user), Some(user)));
    given.map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superblock_is_judged() {
        let block = |state: u8| {
            let mut block = vec![0; 4096];
            block[0x438..0x43b].copy_from_slice(&[0x53, 0xef, state]);
            block
        };
        assert_eq!(superblock_damage(&block(1)), None);
        assert_eq!(superblock_damage(&block(0)), None, "not unmounted: the journal is replayed");
        assert_eq!(superblock_damage(&block(3)), Some("the kernel found mistakes in it"));
        assert_eq!(superblock_damage(&vec![0; 4096]), Some("it is empty"));
        assert_eq!(superblock_damage(&vec![7; 4096]), Some("there is no filesystem"));
    }
}
