//! Finds the CONFIG partition: on the disk that the box was started from, and on no other. Which of the disks that is, and
//! how a twin is told from it, is decided in `halcyon_core::disk::origin`. Reads; never writes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use fatfs::{FileSystem, FsOptions};
use halcyon_core::disk::gpt::{self, Table};
use halcyon_core::disk::origin::Origin;

use crate::volume::ReadOnly;

/// GPT names of the two partitions that are asked for.
const SYSTEM: &str = "esp";
const CONFIG: &str = "config";

/// The CONFIG partition's device.
///
/// # Errors
/// Why there is none, in words; it may appear later.
pub fn find(origin: &Origin) -> Result<PathBuf, String> {
    let disks = disks(Path::new("/sys/class/block"));
    let table = |disk: &String| {
        let device = File::open(node(disk)).ok()?;
        gpt::primary(|at, room| device.read_exact_at(room, at).is_ok()).ok().map(|placed| placed.table)
    };
    let tables = disks.keys().filter_map(|disk| Some((disk.clone(), table(disk)?))).collect();
    let device = node(&choose(origin, &disks, &tables, |device| stamp(&node(device)))?);
    handed_over(&device, nix::unistd::geteuid().as_raw())?;
    Ok(device)
}

/// The engine may read every file, yet CONFIG counts only once PID 1 has made it this user's: before, it may be about to
/// be wiped, and writing to it would fail.
fn handed_over(device: &Path, user: u32) -> Result<(), String> {
    match fs::metadata(device) {
        Ok(facts) if facts.uid() == user => Ok(()),
        Ok(_) => Err(format!("{} has not been handed over to the engine yet", device.display())),
        Err(error) => Err(format!("{}: {error}", device.display())),
    }
}

/// Partitions' device names by number.
type Partitions = BTreeMap<u32, String>;

fn choose(
    origin: &Origin,
    disks: &BTreeMap<String, Partitions>,
    tables: &BTreeMap<String, Table>,
    stamp: impl Fn(&str) -> Option<String>,
) -> Result<String, String> {
    let device = |disk: &str, name: &str| {
        let (number, _) = tables[disk].partitions.iter().find(|(_, partition)| partition.name == name)?;
        disks[disk].get(number)
    };
    let disk = origin
        .choose(tables, |disk| device(disk, SYSTEM).and_then(|system| stamp(system)))
        .map_err(|unknown| unknown.to_string())?;
    device(disk, CONFIG)
        .cloned()
        .ok_or_else(|| "the disk that the box was started from has no CONFIG partition".to_owned())
}

/// The disks that have partitions, with these, by what the kernel says of each (`part_uevent`, block/partitions/core.c).
fn disks(class: &Path) -> BTreeMap<String, Partitions> {
    let mut disks: BTreeMap<String, Partitions> = BTreeMap::new();
    for entry in fs::read_dir(class).into_iter().flatten().flatten() {
        if let Some((disk, number, device)) = partition(&entry.path()) {
            disks.entry(disk).or_default().insert(number, device);
        }
    }
    disks
}

fn partition(directory: &Path) -> Option<(String, u32, String)> {
    let number = fs::read_to_string(directory.join("partition")).ok()?.trim().parse().ok()?;
    let directory = fs::canonicalize(directory).ok()?;
    let name = |path: &Path| Some(path.file_name()?.to_str()?.to_owned());
    Some((name(directory.parent()?)?, number, name(&directory)?))
}

fn node(device: &str) -> PathBuf {
    Path::new("/dev").join(device)
}

/// The time that the boot loader left in `grubenv` on a system partition.
fn stamp(device: &Path) -> Option<String> {
    let disk = ReadOnly(File::open(device).ok()?);
    let filesystem = FileSystem::new(disk, FsOptions::new().update_accessed_date(false)).ok()?;
    let mut text = String::new();
    filesystem.root_dir().open_file("grub/grubenv").ok()?.take(1024).read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| line.strip_prefix("stamp=")).map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use halcyon_core::disk::gpt::{Guid, Partition};

    use super::*;

    /// As `halcyon.disk=` writes the bytes of [`system`].
    const GUID: &str = "0c1f6c5a-94a1-4c52-8a33-6a1a3e7d9b02";

    fn system() -> Guid {
        Guid(*b"\x5a\x6c\x1f\x0c\xa1\x94\x52\x4c\x8a\x33\x6a\x1a\x3e\x7d\x9b\x02")
    }

    fn table(system: Guid) -> Table {
        let partition = |name: &str, guid| Partition {
            kind: Guid([1; 16]),
            guid,
            first: 2048,
            last: 4095,
            attributes: 0,
            name: name.to_owned(),
        };
        let partitions = [(2, partition(SYSTEM, system)), (5, partition(CONFIG, Guid([5; 16])))];
        Table { guid: Guid([9; 16]), partitions: partitions.into() }
    }

    /// What is chosen among disks with these names and system partitions.
    fn chosen(more: &str, all: &[(&str, Guid)], parts: &[u32], stamped: &str) -> Result<String, String> {
        let origin = Origin::of(&format!("quiet halcyon.disk={GUID} {more}")).unwrap();
        let devices = |disk: &str| parts.iter().map(|number| (*number, format!("{disk}{number}"))).collect();
        let disks = all.iter().map(|(disk, _)| ((*disk).to_owned(), devices(disk))).collect();
        let tables = all.iter().map(|(disk, system)| ((*disk).to_owned(), table(*system))).collect();
        let stamp = |device: &str| Some(if device == stamped { "now" } else { "earlier" }.to_owned());
        choose(&origin, &disks, &tables, stamp)
    }

    #[test]
    fn config_lies_on_the_disk_of_the_start_and_a_twin_is_told_by_its_stamp() {
        let all = [("sda", Guid([7; 16])), ("vda", system()), ("vdb", system())];
        assert_eq!(chosen("halcyon.stamp=now", &all, &[2, 5], "vdb2"), Ok("vdb5".to_owned()));
        let why = chosen("halcyon.stamp=0", &all, &[2, 5], "vdb2").unwrap_err();
        assert!(why.contains("2 disks look like"), "{why}");
        assert_eq!(chosen("", &all[..2], &[2, 5], ""), Ok("vda5".to_owned()));
    }

    #[test]
    fn what_belongs_to_another_user_is_not_opened() {
        let path = std::env::temp_dir().join(format!("halcyon-handed-over-{}", std::process::id()));
        fs::write(&path, "").unwrap();
        let owner = fs::metadata(&path).unwrap().uid();
        assert_eq!(handed_over(&path, owner), Ok(()));
        assert!(handed_over(&path, owner + 1).unwrap_err().contains("handed over"));
        fs::remove_file(&path).unwrap();
        assert!(handed_over(&path, owner).is_err());
    }

    #[test]
    fn a_twin_never_takes_the_place_of_a_disk_that_is_gone() {
        let all = [("vda", system())];
        let why = chosen("halcyon.stamp=now", &all, &[2, 5], "").unwrap_err();
        assert!(why.contains("is not there"), "{why}");
        let why = chosen("", &all, &[2], "").unwrap_err();
        assert!(why.contains("no CONFIG partition"), "{why}");
    }
}
