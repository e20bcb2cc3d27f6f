//! How much of a FAT filesystem is in use: so much has to be copied, and a slot fills its partition by a quarter. Reads the
//! boot sector and the table of clusters (Microsoft's FAT specification 1.03); anything unexpected counts as full.

use super::SECTOR;

/// Where the table of clusters lies and what it describes, in sectors from the partition's first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// First sector of the table.
    pub table: u64,
    /// Sectors of the table.
    pub table_sectors: u64,
    data: u64,
    cluster: u64,
    clusters: u64,
    /// Bytes of an entry, 2 or 4.
    entry: usize,
}

impl Layout {
    /// Reads the boot sector. `None`: it is no FAT16 or FAT32 with sectors of 512 bytes.
    pub fn read(boot: &[u8]) -> Option<Self> {
        let byte = |at: usize| boot.get(at).copied().map(u64::from);
        let half = |at: usize| Some(byte(at)? | byte(at + 1)? << 8);
        let word = |at: usize| Some(half(at)? | half(at + 2)? << 16);
        let either = |short: u64, long: u64| if short > 0 { short } else { long };
        let (cluster, reserved, tables) = (byte(13)?, half(14)?, byte(16)?);
        let total = either(half(19)?, word(32)?);
        let table_sectors = either(half(22)?, word(36)?);
        if half(11)? != SECTOR || half(510)? != 0xaa55 || cluster == 0 {
            return None;
        }
        let data = reserved + tables * table_sectors + (half(17)? * 32).div_ceil(SECTOR);
        let clusters = total.checked_sub(data)? / cluster;
        let entry = match clusters {
            0..4085 => return None,
            4085..65525 => 2,
            _ => 4,
        };
        Some(Self { table: reserved, table_sectors, data, cluster, clusters, entry })
    }

    /// Sectors from the partition's first to the end of the last cluster in use.
    pub fn used(&self, table: &[u8]) -> u64 {
        let entries = table.chunks_exact(self.entry).take(self.clusters as usize + 2);
        let mut in_use = entries.skip(2).enumerate().filter(|(_, entry)| entry.iter().any(|byte| *byte != 0));
        self.data + in_use.next_back().map_or(0, |(number, _)| (number as u64 + 1) * self.cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(clusters: u32) -> Vec<u8> {
        let mut boot = vec![0; 512];
        boot[11..13].copy_from_slice(&512_u16.to_le_bytes());
        (boot[13], boot[14], boot[16]) = (8, 4, 2);
        boot[17..19].copy_from_slice(&512_u16.to_le_bytes());
        boot[22] = 100;
        boot[32..36].copy_from_slice(&(4 + 200 + 32 + clusters * 8).to_le_bytes());
        boot[510..].copy_from_slice(&[0x55, 0xaa]);
        boot
    }

    #[test]
    fn the_last_cluster_in_use_is_the_end() {
        for (clusters, entry) in [(5000, 2), (70_000, 4)] {
            let layout = Layout::read(&boot(clusters)).unwrap();
            assert_eq!((layout.table, layout.table_sectors), (4, 100));
            let mut table = vec![0; (clusters as usize + 2) * entry];
            table[..2 * entry].fill(0xff);
            assert_eq!(layout.used(&table), 236, "nothing but directories");
            table[2 * entry] = 3;
            assert_eq!(layout.used(&table), 236 + 8);
            let last = table.len() - 1;
            table[last] = 0x0f;
            assert_eq!(layout.used(&table), 236 + u64::from(clusters) * 8);
            table.extend([0xff; 64]);
            assert_eq!(layout.used(&table), 236 + u64::from(clusters) * 8, "beyond the clusters that exist");
        }
    }

    #[test]
    fn what_is_not_understood_is_no_layout() {
        assert_eq!(Layout::read(&boot(100)), None, "FAT12");
        assert_eq!(Layout::read(&[0; 512]), None);
        assert_eq!(Layout::read(&[0xff; 512]), None);
        assert_eq!(Layout::read(&[]), None);
    }
}
