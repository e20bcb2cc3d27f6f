//! Installing: which disk may be overwritten, what is written where, and the new disk's partition table. The copy is the
//! medium that the box was started from, with GUIDs of its own, the running slot as slot A, slot B empty.

use serde::{Deserialize, Serialize};

use super::gpt::{Guid, Partition, Table};
use super::grow::state_end;
use super::{ALIGNMENT, NAMES, SECTOR};

/// Fewest sectors of STATE.
const LEAST_STATE: u64 = 64 * ALIGNMENT;

/// What [`Copy::what`] calls CONFIG.
pub const CONFIGURATION: &str = "configuration";

/// A disk as a person tells it from others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// The kernel's name, e.g. `sda`.
    pub name: String,
    /// Maker and model; empty when it tells none.
    pub model: String,
    /// Serial number; empty when it tells none.
    pub serial: String,
    /// Size in bytes.
    pub bytes: u64,
    /// Bytes of a logical sector.
    pub sector: u64,
    /// What is on it, in words; `None`: it is empty.
    pub holds: Option<String>,
    /// Whether it holds a Halcyon already.
    pub halcyon: bool,
    /// Whether it can only be read.
    pub read_only: bool,
    /// Whether something on it is mounted or held.
    pub busy: bool,
    /// Whether the box was started from it.
    pub origin: bool,
}

/// A part of the medium and where it goes on the disk, in sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// First sector on the medium.
    pub from: u64,
    /// First sector on the disk.
    pub to: u64,
    /// How many.
    pub sectors: u64,
    /// What it is, for people.
    pub what: &'static str,
}

/// The disk that `word` means: its name, with or without `/dev/`, or its serial number.
pub fn find<'a>(disks: &'a [Disk], word: &str) -> Option<&'a Disk> {
    let name = word.strip_prefix("/dev/").unwrap_or(word);
    let by_serial = || disks.iter().find(|disk| !disk.serial.is_empty() && disk.serial == word);
    disks.iter().find(|disk| disk.name == name).or_else(by_serial)
}

/// Why nothing can be installed from this medium; `None`: it is the image's layout.
pub fn unfit_medium(table: &Table) -> Option<&'static str> {
    let is_ours = table.partitions.len() == NAMES.len()
        && (1..).zip(NAMES).all(|(number, name)| {
            table.partitions.get(&number).is_some_and(|partition| partition.name == name)
        });
    (!is_ours).then_some("the medium that the box was started from does not have the image's partitions; write the image to it again")
}

/// Why the disk cannot be installed to; `None`: it can.
pub fn unfit(disk: &Disk, medium: &Table) -> Option<String> {
    let name = &disk.name;
    let least = medium.partitions.values().map(|partition| partition.first).max().unwrap_or(0)
        + LEAST_STATE
        + ALIGNMENT;
    if disk.origin {
        Some(format!("the box was started from {name}; start it from another medium to write to this disk"))
    } else if disk.read_only {
        Some(format!("{name} is write-protected"))
    } else if disk.busy {
        Some(format!("{name} is in use"))
    } else if disk.sector != SECTOR {
        Some(format!(
            "{name} has sectors of {} bytes; disks with sectors of {SECTOR} bytes are needed",
            disk.sector
        ))
    } else if disk.bytes < least * SECTOR {
        Some(format!(
            "{name} has {} MiB; at least {} MiB are needed",
            disk.bytes >> 20,
            (least * SECTOR).div_ceil(1 << 20)
        ))
    } else {
        None
    }
}

/// The table of the new disk with `sectors`: the medium's partitions with fresh GUIDs, the last one up to the end.
pub fn table(medium: &Table, sectors: u64, mut fresh: impl FnMut() -> Guid) -> Table {
    let last = medium.partitions.keys().next_back().copied();
    let renewed = |(number, partition): (&u32, &Partition)| {
        let end = if Some(*number) == last { state_end(sectors) } else { partition.last };
        (*number, Partition { guid: fresh(), last: end, ..partition.clone() })
    };
    let partitions = medium.partitions.iter().map(renewed).collect();
    Table { guid: fresh(), partitions }
}

/// What is copied, CONFIG last: it may change meanwhile.
pub fn copies(medium: &Table, slot: &str) -> Vec<Copy> {
    let copy = |from: &str, to: &str, what| {
        let (from, to) = (medium.named(from)?, medium.named(to)?);
        let sectors = (from.last - from.first).min(to.last - to.first) + 1;
        Some(Copy { from: from.first, to: to.first, sectors, what })
    };
    let parts = [
        copy("bios", "bios", "boot loader (BIOS)"),
        copy("esp", "esp", "boot loader (UEFI)"),
        copy(slot, "boot-a", "system"),
        copy("config", "config", CONFIGURATION),
    ];
    parts.into_iter().flatten().collect()
}

/// Sector 0: the boot code of the medium's, and a partition that covers the whole disk, for systems that know no other
/// table (UEFI 2.10 §5.2.3).
pub fn first_sector(medium: &[u8], sectors: u64) -> Vec<u8> {
    const CODE: usize = 440;
    let mut sector = vec![0; SECTOR as usize];
    let code = medium.len().min(CODE);
    sector[..code].copy_from_slice(&medium[..code]);
    sector[446..454].copy_from_slice(&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff]);
    sector[454..458].copy_from_slice(&1_u32.to_le_bytes());
    sector[458..462].copy_from_slice(&u32::try_from(sectors - 1).unwrap_or(u32::MAX).to_le_bytes());
    sector[510..].copy_from_slice(&[0x55, 0xaa]);
    sector
}

/// `grubenv` of a fresh disk: slot A is good, B is empty.
///
/// GRUB demands exactly 1024 bytes, a first line and padding by `#`. The variables fit the first sector, so the disk
/// writes them whole or not at all.
pub fn environment() -> Vec<u8> {
    let text =
        "# GRUB Environment Block\norder_a=1\ngood_a=1\ntries_a=0\norder_b=0\ngood_b=0\ntries_b=0\nstamp=0\n";
    let mut block = text.as_bytes().to_vec();
    block.resize(1024, b'#');
    block
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::gpt::tests;
    use super::*;

    fn disk(name: &str) -> Disk {
        Disk { name: name.to_owned(), bytes: 1 << 30, sector: 512, ..Disk::default() }
    }

    #[test]
    fn a_disk_is_meant_by_its_name_or_its_serial_number() {
        let disks = [disk("sda"), Disk { serial: "S3".to_owned(), ..disk("nvme0n1") }];
        let found = |word| find(&disks, word).map(|disk| disk.name.as_str());
        assert_eq!(found("/dev/sda"), Some("sda"));
        assert_eq!(found("S3"), Some("nvme0n1"));
        assert_eq!(found(""), None);
        assert_eq!(found("/dev/"), None);
        assert_eq!(found("sda1"), None);
    }

    #[test]
    fn disks_that_would_be_missed_or_cannot_work_are_refused() {
        let medium = tests::table(20479);
        assert_eq!(unfit(&disk("sda"), &medium), None);
        for (wrong, why) in [
            (Disk { origin: true, ..disk("sda") }, "started from sda"),
            (Disk { busy: true, ..disk("sda") }, "in use"),
            (Disk { read_only: true, ..disk("sda") }, "write-protected"),
            (Disk { sector: 4096, ..disk("sda") }, "sectors of 4096 bytes"),
            (Disk { bytes: 70 << 20, ..disk("sda") }, "sda has 70 MiB; at least 71 MiB"),
        ] {
            let told = unfit(&wrong, &medium).unwrap();
            assert!(told.contains(why), "{told}");
        }
        assert_eq!(unfit(&Disk { bytes: 71 << 20, ..disk("sda") }, &medium), None);
    }

    #[test]
    fn the_new_disk_has_the_layout_guids_of_its_own_and_all_the_room() {
        let medium = tests::table(20479);
        let mut next = 0;
        let new = table(&medium, 2 << 20, || {
            next += 1;
            Guid([next; 16])
        });
        let guids: BTreeSet<_> =
            new.partitions.values().map(|partition| partition.guid).chain([new.guid]).collect();
        assert_eq!(guids.len(), 7);
        assert_eq!(new.partitions[&6].last, (2 << 20) - 2048 - 1);
        assert_eq!(unfit_medium(&new), None);
        let names: Vec<_> =
            new.partitions.values().map(|partition| (partition.first, &partition.kind)).collect();
        assert_eq!(
            names,
            medium
                .partitions
                .values()
                .map(|partition| (partition.first, &partition.kind))
                .collect::<Vec<_>>()
        );
    }

    #[test]
    fn the_running_slot_becomes_slot_a_and_config_comes_last() {
        let medium = tests::table(20479);
        let copies = copies(&medium, "boot-b");
        assert_eq!((copies[2].from, copies[2].to, copies[2].sectors), (8192, 6144, 2048));
        assert_eq!(
            copies.last().map(|copy| (copy.from, copy.to, copy.what)),
            Some((10240, 10240, CONFIGURATION))
        );
        let mut other = medium;
        other.partitions.remove(&4);
        assert!(unfit_medium(&other).is_some());
    }

    #[test]
    fn the_environment_block_has_its_size_and_fits_a_sector() {
        let block = environment();
        assert_eq!(block.len(), 1024);
        assert!(block.windows(2).position(|pair| pair == b"\n#").is_some_and(|at| at < 512));
    }
}
