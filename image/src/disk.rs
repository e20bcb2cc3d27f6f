//! The disk image: its partitions, and what is on them when it leaves the build.
//!
//! The layout is for life: a flashed disk cannot be repartitioned. GUIDs are fixed so that two builds agree; installing onto a
//! disk writes fresh ones. [`crate::boot_loader`] makes what starts from it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use gpt::mbr::ProtectiveMBR;
use gpt::partition::Partition;
use gpt::partition_types::{BIOS, EFI, LINUX_FS, OperatingSystem, Type};
use uuid::{Uuid, uuid};

use crate::boot_loader::{self, SECTOR};
use crate::fat::Fat;
use crate::tool::{output, tool};

const MIB: u64 = 1024 * 1024;

/// Partitions begin and end at whole mebibytes; the first and the last hold the partition tables.
const ALIGNMENT: u64 = MIB;

const DISK_GUID: Uuid = uuid!("4f1cb3a6-2ef4-4bb0-9d0a-5d3c3a0c7e11");

/// One partition of the layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Planned {
    /// The GPT name, by which the running system finds it on its own disk.
    pub(crate) name: &'static str,
    guid: Uuid,
    kind: Kind,
    mebibytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    BiosBoot,
    EfiSystem,
    Slot,
    /// Records without a filesystem, 31 generations of a megabyte each: a type of its own keeps other systems from offering to format it.
    Config,
    State,
}

const CONFIG_TYPE: Uuid = uuid!("c0f16a7e-7d8b-4a54-8e43-1d1b8f5a6e02");

/// In the order of their numbers, from 1.
pub(crate) const LAYOUT: [Planned; 6] = [
    planned("bios", uuid!("0c1f6c5a-94a1-4c52-8a33-6a1a3e7d9b01"), Kind::BiosBoot, 1),
    planned("esp", uuid!("0c1f6c5a-94a1-4c52-8a33-6a1a3e7d9b02"), Kind::EfiSystem, 32),
    planned("boot-a", uuid!("0c1f6c5a-94a1-4c52-8a33-6a1a3e7d9b03"), Kind::Slot, 256),
    planned("boot-b", uuid!("0c1f6c5a-94a1-4c52-8a33-6a1a3e7d9b04"), Kind::Slot, 256),
    planned("config", uuid!("0c1f6c5a-94a1-4c52-8a33-6a1a3e7d9b05"), Kind::Config, 32),
    // Made at first boot, as large as the disk allows.
    planned("state", uuid!("0c1f6c5a-94a1-4c52-8a33-6a1a3e7d9b06"), Kind::State, 64),
];

const fn planned(name: &'static str, guid: Uuid, kind: Kind, mebibytes: u64) -> Planned {
    Planned { name, guid, kind, mebibytes }
}

/// Where a partition lies, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    offset: u64,
    size: u64,
}

/// Each partition's place, by number.
fn extents() -> BTreeMap<u32, (Planned, Extent)> {
    let mut offset = ALIGNMENT;
    let mut extents = BTreeMap::new();
    for (number, planned) in (1..).zip(LAYOUT) {
        let size = planned.mebibytes * MIB;
        extents.insert(number, (planned, Extent { offset, size }));
        offset += size;
    }
    extents
}

/// The size of the whole image, bytes.
pub(crate) fn size() -> u64 {
    LAYOUT.iter().map(|planned| planned.mebibytes * MIB).sum::<u64>() + 2 * ALIGNMENT
}

/// A slot's files and the time on them, seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Slot<'a> {
    pub(crate) vmlinuz: &'a Path,
    pub(crate) initramfs: &'a Path,
    pub(crate) time: u64,
}

/// Writes the disk image with `slot` as its slot A to `path`; `work` is a directory for passing files.
pub(crate) fn write(path: &Path, slot: Slot<'_>, work: &Path) -> Result<()> {
    fs::create_dir_all(work).with_context(|| format!("cannot make {}", work.display()))?;
    // Made anew, so that what is not written reads as zero and takes no room.
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.set_len(size())?;
    let places = extents();
    let place = |number| places[&number].1;
    let loaders = boot_loader::loaders(place(1).offset / SECTOR as u64, work)?;
    if loaders.core.len() as u64 > place(1).size {
        bail!("GRUB's core image does not fit the BIOS boot partition");
    }
    partition(&mut file, &places, loaders.mbr)
        .with_context(|| format!("cannot partition {}", path.display()))?;
    file.seek(SeekFrom::Start(place(1).offset))?;
    file.write_all(&loaders.core)?;
    drop(file);

    let fat = |number, label, cluster| {
        let Extent { offset, size } = place(number);
        Fat {
            image: path.to_owned(),
            offset,
            size,
            label,
            id: 0x4861_6c00 + number,
            cluster,
            time: slot.time,
        }
    };
    let esp = fat(2, "HC-ESP", 1);
    esp.format()?;
    for directory in ["/EFI", "/EFI/BOOT", "/grub"] {
        esp.directory(directory)?;
    }
    esp.write(&loaders.efi, "/EFI/BOOT/BOOTX64.EFI", work)?;
    esp.write(boot_loader::configuration().as_bytes(), "/grub/grub.cfg", work)?;
    esp.write(&halcyon_core::disk::install::environment(), "/grub/grubenv", work)?;
    let a = fat(3, "HC-BOOT-A", 64);
    a.format()?;
    a.copy(slot.vmlinuz, "/vmlinuz")?;
    a.copy(slot.initramfs, "/initramfs")?;
    fat(4, "HC-BOOT-B", 64).format()
}

/// The protective MBR with the BIOS loader's first stage, and both partition tables.
fn partition(file: &mut File, places: &BTreeMap<u32, (Planned, Extent)>, bootcode: [u8; 440]) -> Result<()> {
    let sectors = u32::try_from(size() / SECTOR as u64 - 1).unwrap_or(u32::MAX);
    let mut mbr = ProtectiveMBR::with_lb_size(sectors);
    mbr.set_bootcode(bootcode);
    mbr.overwrite_lba0(file)?;
    let partitions = places.iter().map(|(number, (planned, extent))| {
        let partition = Partition {
            part_type_guid: kind_guid(planned.kind),
            part_guid: planned.guid,
            first_lba: extent.offset / SECTOR as u64,
            last_lba: (extent.offset + extent.size) / SECTOR as u64 - 1,
            flags: 0,
            name: planned.name.to_owned(),
        };
        (*number, partition)
    });
    let mut disk = gpt::GptConfig::new().writable(true).create_from_device(file, Some(DISK_GUID))?;
    disk.update_partitions(partitions.collect())?;
    disk.write()?;
    Ok(())
}

fn kind_guid(kind: Kind) -> Type {
    match kind {
        Kind::BiosBoot => BIOS,
        Kind::EfiSystem => EFI,
        Kind::Slot | Kind::State => LINUX_FS,
        Kind::Config => Type { guid: CONFIG_TYPE, os: OperatingSystem::Custom("Halcyon".to_owned()) },
    }
}

/// An empty ext4 for logs and workload data, of the size that it has at least: the box writes it to STATE at the first start,
/// and again whenever it finds STATE damaged.
pub(crate) fn blank_state(to: &Path, time: u64) -> Result<()> {
    let Planned { guid, mebibytes, .. } = LAYOUT[5];
    let mut command = tool("mke2fs");
    // mke2fs takes the current time and random ids unless told.
    command.env("E2FSPROGS_FAKE_TIME", time.to_string());
    command.args(["-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-L", "state", "-U", &guid.to_string()]);
    // Checksums on all metadata, so that damage is noticed; what it takes to grow a thousandfold in place.
    command.args(["-O", "metadata_csum,64bit,resize_inode"]);
    command.args(["-E", &format!("hash_seed={guid},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0")]);
    command.arg(to).arg(format!("{mebibytes}M"));
    output(&mut command).map(drop).context("the state volume cannot be made")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_lie_side_by_side_within_the_disk() {
        let extents = extents();
        let mut end = ALIGNMENT;
        for (planned, extent) in extents.values() {
            assert_eq!(extent.offset, end, "{}", planned.name);
            assert_eq!(extent.offset % ALIGNMENT, 0);
            end = extent.offset + extent.size;
        }
        assert_eq!(end + ALIGNMENT, size());
    }

    #[test]
    fn names_and_guids_are_unique() {
        let names: std::collections::BTreeSet<_> = LAYOUT.iter().map(|planned| planned.name).collect();
        let guids: std::collections::BTreeSet<_> = LAYOUT.iter().map(|planned| planned.guid).collect();
        assert_eq!((names.len(), guids.len()), (LAYOUT.len(), LAYOUT.len()));
    }

    #[test]
    fn both_tables_are_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("disk");
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(size()).unwrap();
        partition(&mut file, &extents(), [7; 440]).unwrap();
        let disk = gpt::GptConfig::new().open(&path).unwrap();
        assert_eq!(*disk.guid(), DISK_GUID);
        assert!(disk.primary_header().is_ok() && disk.backup_header().is_ok());
        let names: Vec<_> = disk.partitions().values().map(|partition| partition.name.as_str()).collect();
        assert_eq!(names, ["bios", "esp", "boot-a", "boot-b", "config", "state"]);
        let first = fs::read(&path).unwrap();
        assert_eq!(&first[..440], &[7; 440]);
        assert_eq!(first[450], 0xee);
    }
}
