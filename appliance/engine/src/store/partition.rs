//! Finds the CONFIG partition: on the disk that the box was started from, and on no other. The boot loader says which
//! that is; a twin of that disk, with the same GUIDs, is told apart by the time of this start, which the boot loader left
//! on the disk that it was loaded from. Reads; never writes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fatfs::{FileSystem, FsOptions};

use crate::volume::ReadOnly;

/// The partition's GPT name.
const CONFIG: &str = "config";

/// What the boot loader says of the disk that it was loaded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The GUID of its EFI system partition.
    system: String,
    /// What was left in its `grubenv`; `None`: it could not be.
    stamp: Option<String>,
}

impl Origin {
    /// Reads the kernel's parameters. `None`: the box was not started from a disk.
    pub fn of(parameters: &str) -> Option<Self> {
        let value = |key| parameters.split_whitespace().find_map(|word| word.strip_prefix(key));
        let system = value("halcyon.disk=")?.to_ascii_lowercase();
        let stamp = value("halcyon.stamp=").filter(|stamp| *stamp != "0").map(ToOwned::to_owned);
        Some(Self { system, stamp })
    }

    /// The CONFIG partition's device.
    ///
    /// # Errors
    /// Why there is none, in words; it may appear later.
    pub fn find(&self) -> Result<PathBuf, String> {
        let partitions = partitions(Path::new("/sys/class/block"));
        let stamp = |device: &str| stamp(&Path::new("/dev").join(device));
        self.choose(&partitions, stamp).map(|device| Path::new("/dev").join(device))
    }

    /// The one CONFIG partition that lies beside the system partition that is meant.
    fn choose(&self, all: &[Partition], stamp: impl Fn(&str) -> Option<String>) -> Result<String, String> {
        let named = all.iter().filter(|partition| partition.guid == self.system);
        let ours: Vec<&Partition> =
            named.filter(|system| self.stamp.is_none() || stamp(&system.device) == self.stamp).collect();
        let [system] = ours[..] else {
            return Err(match ours.len() {
                0 => "the disk that the box was started from is not there".to_owned(),
                n => format!(
                    "{n} disks look like the one that the box was started from, so none is written to; \
                     unplug the copies and start again"
                ),
            });
        };
        all.iter()
            .find(|partition| partition.disk == system.disk && partition.name == CONFIG)
            .map(|partition| partition.device.clone())
            .ok_or_else(|| "the disk that the box was started from has no CONFIG partition".to_owned())
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Partition {
    device: String,
    disk: PathBuf,
    name: String,
    guid: String,
}

fn partitions(class: &Path) -> Vec<Partition> {
    let Ok(entries) = fs::read_dir(class) else { return Vec::new() };
    entries.flatten().filter_map(|entry| partition(&entry.path())).collect()
}

/// What the kernel says of a partition (`part_uevent` in `block/partitions/core.c`), and its GUID, which only kernels
/// later than 6.12 tell, from the disk's table.
fn partition(directory: &Path) -> Option<Partition> {
    let text = fs::read_to_string(directory.join("uevent")).ok()?;
    let facts: BTreeMap<&str, &str> = text.lines().filter_map(|line| line.split_once('=')).collect();
    let name = (*facts.get("PARTNAME")?).to_owned();
    let disk = fs::canonicalize(directory).ok()?.parent()?.to_owned();
    let sector = fs::read_to_string(disk.join("queue/logical_block_size")).ok()?.trim().parse().ok()?;
    let table = File::open(Path::new("/dev").join(disk.file_name()?)).ok()?;
    let guid = guid(&table, sector, facts.get("PARTN")?.parse().ok()?)?;
    Some(Partition { device: (*facts.get("DEVNAME")?).to_owned(), disk, name, guid })
}

/// The GUID of a partition, by its number, in a GUID partition table (UEFI 2.10, 5.3).
fn guid(disk: &File, sector: u64, number: u64) -> Option<String> {
    let mut header = [0; 92];
    disk.read_exact_at(&mut header, sector).ok()?;
    let field = |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    let (entries, count, size) = (u64::from(field(72)), u64::from(field(80)), u64::from(field(84)));
    if !header.starts_with(b"EFI PART") || number == 0 || number > count {
        return None;
    }
    let mut guid = [0; 16];
    let entry = entries.checked_mul(sector)?.checked_add((number - 1).checked_mul(size)?)?;
    disk.read_exact_at(&mut guid, entry.checked_add(16)?).ok()?;
    // The first three groups are stored as little-endian numbers.
    let [a, b, c, d, e, f, g, h, rest @ ..] = guid;
    let bytes: Vec<String> =
        [d, c, b, a, f, e, h, g].iter().chain(&rest).map(|b| format!("{b:02x}")).collect();
    let group = |range: std::ops::Range<usize>| bytes[range].concat();
    Some([group(0..4), group(4..6), group(6..8), group(8..10), group(10..16)].join("-"))
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
    use super::*;

    const GUID: &str = "0c1f6c5a-94a1-4c52-8a33-6a1a3e7d9b02";

    fn disk(name: &str, guid: &str) -> [Partition; 2] {
        let part = |number: u8, label: &str, guid: &str| Partition {
            device: format!("{name}{number}"),
            disk: PathBuf::from("/sys/devices").join(name),
            name: label.to_owned(),
            guid: guid.to_owned(),
        };
        [part(2, "esp", guid), part(5, CONFIG, "0c1f6c5a-94a1-4c52-8a33-6a1a3e7d9b05")]
    }

    fn origin(more: &str) -> Origin {
        Origin::of(&format!("quiet halcyon.disk={GUID} {more}")).unwrap()
    }

    #[test]
    fn a_box_that_was_not_started_from_a_disk_has_no_config() {
        assert_eq!(Origin::of("console=ttyS0 halcyon.slot=A"), None);
    }

    #[test]
    fn config_lies_on_the_disk_of_the_start_and_a_twin_is_told_by_its_stamp() {
        let all = [disk("vda", GUID), disk("sda", "other"), disk("vdb", GUID)].concat();
        let stamps = |device: &str| Some(if device == "vdb2" { "now" } else { "earlier" }.to_owned());
        assert_eq!(origin("halcyon.stamp=now").choose(&all, stamps), Ok("vdb5".to_owned()));
        assert!(origin("halcyon.stamp=0").choose(&all, stamps).unwrap_err().contains("2 disks look like"));
        assert_eq!(origin("").choose(&all[..4], stamps), Ok("vda5".to_owned()));
    }

    #[test]
    fn a_guid_is_read_from_the_table_as_it_is_written_elsewhere() {
        let path = std::env::temp_dir().join(format!("halcyon-table-{}", std::process::id()));
        let mut table = vec![0; 4096];
        table[512..520].copy_from_slice(b"EFI PART");
        table[512 + 72] = 2;
        table[512 + 80] = 128;
        table[512 + 84] = 128;
        let stored = *b"\x5a\x6c\x1f\x0c\xa1\x94\x52\x4c\x8a\x33\x6a\x1a\x3e\x7d\x9b\x02";
        table[1024 + 128 + 16..][..16].copy_from_slice(&stored);
        fs::write(&path, &table).unwrap();
        let file = File::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(guid(&file, 512, 2).as_deref(), Some(GUID));
        assert_eq!(guid(&file, 512, 129), None);
        assert_eq!(guid(&file, 4096, 2), None);
    }

    #[test]
    fn a_twin_never_takes_the_place_of_a_disk_that_is_gone() {
        let all = disk("vda", GUID);
        let why = origin("halcyon.stamp=now").choose(&all, |_| Some("earlier".to_owned())).unwrap_err();
        assert!(why.contains("is not there"), "{why}");
        assert!(origin("").choose(&all[..1], |_| None).unwrap_err().contains("no CONFIG partition"));
    }
}
