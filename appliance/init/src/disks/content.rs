//! What is on a disk, in words that make somebody think before it is overwritten. Pure.

use halcyon_core::disk::NAMES;
use halcyon_core::disk::gpt::Table;

/// Signatures of filesystems and containers on a disk without partitions: offset, bytes, name.
const SIGNATURES: &[(usize, &[u8], &str)] = &[
    (0, b"XFSB", "an XFS filesystem"),
    (0, b"LUKS\xba\xbe", "an encrypted volume (LUKS)"),
    (0, b"hsqs", "a squashfs filesystem"),
    (3, b"NTFS", "an NTFS filesystem"),
    (3, b"EXFAT", "an exFAT filesystem"),
    (54, b"FAT", "a FAT filesystem"),
    (82, b"FAT", "a FAT filesystem"),
    (512, b"LABELONE", "an LVM volume"),
    (1080, b"\x53\xef", "an ext filesystem"),
    (4096, b"\xfc\x4e\x2b\xa9", "a RAID member (md)"),
    (4086, b"SWAPSPACE2", "a swap area"),
    (32769, b"CD001", "an ISO 9660 filesystem"),
    (65600, b"_BHRfS_M", "a Btrfs filesystem"),
];

/// What its first bytes and its partition table say; `None`: nothing at all.
pub(super) fn of(head: &[u8], table: Option<&Table>) -> Option<String> {
    if let Some(table) = table {
        let names: Vec<_> = table.partitions.values().map(|partition| partition.name.as_str()).collect();
        return Some(match names[..] {
            [] => "an empty partition table".to_owned(),
            _ if names == NAMES => "a Halcyon".to_owned(),
            _ => format!("{} partitions: {}", names.len(), names.join(", ")),
        });
    }
    let known =
        SIGNATURES.iter().find(|(at, bytes, _)| head.get(*at..).is_some_and(|rest| rest.starts_with(bytes)));
    if let Some((_, _, name)) = known {
        return Some((*name).to_owned());
    }
    if head.get(510..512) == Some(&[0x55, 0xaa]) {
        let used = head[446..510].chunks_exact(16).filter(|entry| entry[4] != 0).count();
        return Some(format!("{used} partitions (MBR)"));
    }
    head.iter().any(|byte| *byte != 0).then(|| "data of an unknown kind".to_owned())
}

#[cfg(test)]
mod tests {
    use halcyon_core::disk::gpt::{Guid, Partition};

    use super::*;

    fn head(at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut head = vec![0; 68 * 1024];
        head[at..at + bytes.len()].copy_from_slice(bytes);
        head
    }

    #[test]
    fn what_is_there_is_named_and_nothing_is_nothing() {
        assert_eq!(of(&head(0, b""), None), None);
        for (at, bytes, name) in SIGNATURES {
            assert_eq!(of(&head(*at, bytes), None).as_deref(), Some(*name));
        }
        assert_eq!(of(&head(510, b"\x55\xaa"), None).as_deref(), Some("0 partitions (MBR)"));
        assert_eq!(of(&head(7777, b"x"), None).as_deref(), Some("data of an unknown kind"));
        assert_eq!(of(&[], None), None);
    }

    #[test]
    fn a_partition_table_is_told_by_its_names() {
        let part = |name: &str| Partition {
            kind: Guid([1; 16]),
            guid: Guid([2; 16]),
            first: 1,
            last: 2,
            attributes: 0,
            name: name.to_owned(),
        };
        let table = |names: &[&str]| Table {
            guid: Guid([3; 16]),
            partitions: (1..).zip(names.iter().map(|name| part(name))).collect(),
        };
        assert_eq!(of(&[], Some(&table(&NAMES))).as_deref(), Some("a Halcyon"));
        assert_eq!(of(&[], Some(&table(&["root", "home"]))).as_deref(), Some("2 partitions: root, home"));
        assert_eq!(of(&[], Some(&table(&[]))).as_deref(), Some("an empty partition table"));
    }
}
