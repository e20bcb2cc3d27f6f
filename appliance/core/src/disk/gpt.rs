//! The GUID partition table (UEFI 2.10, chapter 5): read with its checksums, and written.
//!
//! Only the form that the image has: sectors of 512 bytes, 128 entries of 128 bytes. The array of entries may lie anywhere
//! before the first partition; its place is part of what is read.

use std::collections::BTreeMap;
use std::fmt;

use super::SECTOR;

const SIGNATURE: &[u8; 8] = b"EFI PART";
const REVISION: u32 = 0x0001_0000;
const HEADER: usize = 92;
const ENTRY: usize = 128;
/// Entries of a table.
const ENTRIES: usize = 128;
/// Bytes of the array of entries.
pub const ARRAY: usize = ENTRY * ENTRIES;
/// Sectors of the array of entries.
pub const ARRAY_SECTORS: u64 = ARRAY as u64 / SECTOR;
/// Where the array of the primary table lies by custom.
pub const USUAL_ARRAY: u64 = 2;

/// A GUID as it lies on the disk: the first three groups are little-endian.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Guid(pub [u8; 16]);

impl Guid {
    /// A random one (RFC 9562 §5.4) of 16 random bytes.
    pub fn random(mut bytes: [u8; 16]) -> Self {
        bytes[7] = bytes[7] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        Self(bytes)
    }
}

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g, h, i, rest @ ..] = self.0;
        for (at, byte) in [d, c, b, a, g, e, i, h].into_iter().chain(rest).enumerate() {
            write!(f, "{}{byte:02x}", if [4, 6, 8, 10].contains(&at) { "-" } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// What it is for.
    pub kind: Guid,
    /// Its own.
    pub guid: Guid,
    /// Its first sector.
    pub first: u64,
    /// Its last sector.
    pub last: u64,
    /// Attribute bits.
    pub attributes: u64,
    /// At most 36 UTF-16 units.
    pub name: String,
}

impl Partition {
    /// Bytes.
    pub fn size(&self) -> u64 {
        (self.last - self.first + 1) * SECTOR
    }
}

/// A partition table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The disk's GUID.
    pub guid: Guid,
    /// By number, from 1.
    pub partitions: BTreeMap<u32, Partition>,
}

/// The primary table with its places on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The table.
    pub table: Table,
    /// First sector of the array of entries.
    pub array: u64,
    /// Sector of the other header.
    pub backup: u64,
}

/// Why there is no table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTable {
    /// Nothing of the kind.
    #[error("there is no GUID partition table")]
    Absent,
    /// A checksum does not fit, or a number makes no sense.
    #[error("the partition table is damaged")]
    Damaged,
    /// Not 128 entries of 128 bytes.
    #[error("the partition table has an unusual form")]
    Unusual,
}

/// What the primary header says of itself, before its array is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    guid: Guid,
    /// First sector of the array of entries, [`ARRAY_SECTORS`] long.
    pub array: u64,
    backup: u64,
    checksum: u32,
}

impl Header {
    /// Reads sector 1.
    ///
    /// # Errors
    /// [`NoTable`].
    pub fn read(sector: &[u8]) -> Result<Self, NoTable> {
        if sector.len() < SECTOR as usize || !sector.starts_with(SIGNATURE) {
            return Err(NoTable::Absent);
        }
        let mut own = sector[..HEADER].to_vec();
        own[16..20].fill(0);
        if word(sector, 12) as usize != HEADER || crc32(&own) != word(sector, 16) || long(sector, 24) != 1 {
            return Err(NoTable::Damaged);
        }
        if word(sector, 80) as usize != ENTRIES || word(sector, 84) as usize != ENTRY {
            return Err(NoTable::Unusual);
        }
        Ok(Self {
            guid: guid(sector, 56),
            array: long(sector, 72),
            backup: long(sector, 32),
            checksum: word(sector, 88),
        })
    }

    /// Reads the array that [`Header::array`] names.
    ///
    /// # Errors
    /// [`NoTable`].
    pub fn with_array(self, array: &[u8]) -> Result<Placed, NoTable> {
        if array.len() != ARRAY || crc32(array) != self.checksum {
            return Err(NoTable::Damaged);
        }
        let mut partitions = BTreeMap::new();
        for (number, entry) in (1..).zip(array.chunks_exact(ENTRY)) {
            let kind = guid(entry, 0);
            if kind == Guid::default() {
                continue;
            }
            let (first, last) = (long(entry, 32), long(entry, 40));
            if first > last || last >= u64::MAX / SECTOR {
                return Err(NoTable::Damaged);
            }
            let units = entry[56..].chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
            let name = char::decode_utf16(units.take_while(|unit| *unit != 0))
                .map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect();
            let partition =
                Partition { kind, guid: guid(entry, 16), first, last, attributes: long(entry, 48), name };
            partitions.insert(number, partition);
        }
        Ok(Placed { table: Table { guid: self.guid, partitions }, array: self.array, backup: self.backup })
    }
}

/// The primary table of a disk. `read` fills its room with the disk's bytes from an offset on, or says that it cannot.
///
/// # Errors
/// [`NoTable`].
pub fn primary(read: impl Fn(u64, &mut [u8]) -> bool) -> Result<Placed, NoTable> {
    let mut sector = [0; SECTOR as usize];
    if !read(SECTOR, &mut sector) {
        return Err(NoTable::Absent);
    }
    let header = Header::read(&sector)?;
    let mut array = vec![0; ARRAY];
    let at = header.array.checked_mul(SECTOR).ok_or(NoTable::Damaged)?;
    if !read(at, &mut array) {
        return Err(NoTable::Damaged);
    }
    header.with_array(&array)
}

impl Table {
    /// The partition of this name.
    pub fn named(&self, name: &str) -> Option<&Partition> {
        self.partitions.values().find(|partition| partition.name == name)
    }

    /// The array of entries.
    pub fn array(&self) -> Vec<u8> {
        let mut array = vec![0; ARRAY];
        for (number, partition) in &self.partitions {
            let Some(entry) = array.chunks_exact_mut(ENTRY).nth(*number as usize - 1) else { continue };
            entry[..16].copy_from_slice(&partition.kind.0);
            entry[16..32].copy_from_slice(&partition.guid.0);
            entry[32..40].copy_from_slice(&partition.first.to_le_bytes());
            entry[40..48].copy_from_slice(&partition.last.to_le_bytes());
            entry[48..56].copy_from_slice(&partition.attributes.to_le_bytes());
            for (place, unit) in entry[56..].chunks_exact_mut(2).zip(partition.name.encode_utf16()) {
                place.copy_from_slice(&unit.to_le_bytes());
            }
        }
        array
    }

    /// The primary header, sector 1 of a disk with `sectors`, with the array at `array`.
    pub fn primary(&self, sectors: u64, array: u64) -> Vec<u8> {
        self.header([1, sectors - 1], array, sectors)
    }

    /// The other header, the last sector, with its array right before it.
    pub fn backup(&self, sectors: u64) -> Vec<u8> {
        self.header([sectors - 1, 1], backup_array(sectors), sectors)
    }

    fn header(&self, [own, other]: [u64; 2], array: u64, sectors: u64) -> Vec<u8> {
        // Behind the usual place of the array, and behind its place in passing.
        let first_usable = USUAL_ARRAY.max(if own == 1 { array } else { 0 }) + ARRAY_SECTORS;
        let mut sector = Vec::with_capacity(SECTOR as usize);
        sector.extend(SIGNATURE);
        sector.extend(REVISION.to_le_bytes());
        sector.extend((HEADER as u32).to_le_bytes());
        sector.extend([0; 8]);
        for number in [own, other, first_usable, backup_array(sectors) - 1] {
            sector.extend(number.to_le_bytes());
        }
        sector.extend(self.guid.0);
        sector.extend(array.to_le_bytes());
        for number in [ENTRIES as u32, ENTRY as u32, crc32(&self.array())] {
            sector.extend(number.to_le_bytes());
        }
        let checksum = crc32(&sector);
        sector[16..20].copy_from_slice(&checksum.to_le_bytes());
        sector.resize(SECTOR as usize, 0);
        sector
    }
}

/// First sector of the other table's array on a disk with `sectors`.
pub fn backup_array(sectors: u64) -> u64 {
    sectors - 1 - ARRAY_SECTORS
}

fn guid(bytes: &[u8], at: usize) -> Guid {
    Guid(bytes[at..at + 16].try_into().expect("sixteen bytes"))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// CRC-32 as Ethernet has it (UEFI 2.10 §4.2).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| sum >> 1 ^ if sum & 1 == 1 { 0xedb8_8320 } else { 0 })
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The image's layout in small, on a disk with so many sectors.
    pub(in crate::disk) fn table(last: u64) -> Table {
        let part = |number: u8, name: &str, first: u64, last: u64| {
            let (kind, guid) = (Guid([number; 16]), Guid([number + 100; 16]));
            (u32::from(number), Partition { kind, guid, first, last, attributes: 0, name: name.to_owned() })
        };
        let partitions = [
            part(1, "bios", 2048, 4095),
            part(2, "esp", 4096, 6143),
            part(3, "boot-a", 6144, 8191),
            part(4, "boot-b", 8192, 10239),
            part(5, "config", 10240, 12287),
            part(6, "state", 12288, last),
        ];
        Table { guid: Guid([0xdd; 16]), partitions: partitions.into() }
    }

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_table_is_read_back_from_both_places() {
        let table = table(20479);
        for array in [USUAL_ARRAY, 34] {
            let header = Header::read(&table.primary(24576, array)).unwrap();
            assert_eq!(header.array, array);
            let placed = header.with_array(&table.array()).unwrap();
            assert_eq!(placed, Placed { table: table.clone(), array, backup: 24575 });
        }
    }

    #[test]
    fn every_flipped_bit_is_found() {
        let table = table(20479);
        let (header, array) = (table.primary(24576, 2), table.array());
        for bit in 0..HEADER * 8 {
            let mut damaged = header.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::read(&damaged).is_err(), "bit {bit} of the header");
        }
        for bit in (0..ARRAY * 8).step_by(97) {
            let mut damaged = array.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let read = Header::read(&header).and_then(|header| header.with_array(&damaged));
            assert_eq!(read, Err(NoTable::Damaged), "bit {bit} of the array");
        }
        assert_eq!(Header::read(&[0; 512]), Err(NoTable::Absent));
        assert_eq!(Header::read(&[]), Err(NoTable::Absent));
    }

    #[test]
    fn a_guid_is_shown_as_people_write_it() {
        let bytes =
            [0x5a, 0x6c, 0x1f, 0x0c, 0xa1, 0x94, 0x52, 0x4c, 0x8a, 0x33, 0x6a, 0x1a, 0x3e, 0x7d, 0x9b, 0x02];
        assert_eq!(Guid(bytes).to_string(), "0c1f6c5a-94a1-4c52-8a33-6a1a3e7d9b02");
        let random = Guid::random([0xff; 16]).to_string();
        assert_eq!((&random[14..15], &random[19..20]), ("4", "b"));
    }
}
