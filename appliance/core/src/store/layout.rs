//! Where things lie on the CONFIG partition.
//!
//! ```text
//! 0          first copy of the device key        one block
//! 512 KiB    second copy
//! 1 MiB      slot 0: record header               one block
//!            +4 KiB: confirmation                one block
//!            +8 KiB: document, then its provisioning signature
//! 2 MiB      slot 1 …
//! ```
//! A block is 4 KiB: the largest sector of disks today, so that writing one block never touches another.

/// Bytes that are written and torn together at most.
pub const BLOCK: u64 = 4096;
/// Offsets of the two copies of the device key, far apart so that one bad spot does not take both.
pub const KEY_COPIES: [u64; 2] = [0, 512 * 1024];
/// Offset of the first slot.
const FIRST_SLOT: u64 = 1024 * 1024;
/// Bytes of a slot.
pub const SLOT: u64 = 1024 * 1024;
/// Offset of the confirmation in a slot.
pub const CONFIRMATION: u64 = BLOCK;
/// Offset of the document in a slot.
pub const BODY: u64 = 2 * BLOCK;
/// Longest document and signature together, in bytes.
pub const LONGEST_BODY: u64 = SLOT - BODY;
/// Fewest slots that a partition must have room for: current, last confirmed and the next; history is what is beyond.
pub const FEWEST: usize = 3;

/// How many slots a partition of `size` bytes has.
pub fn count(size: u64) -> usize {
    usize::try_from(size.saturating_sub(FIRST_SLOT) / SLOT).unwrap_or(usize::MAX)
}

/// Offset of a slot on the partition.
pub fn slot(number: usize) -> u64 {
    FIRST_SLOT + number as u64 * SLOT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_of_32_mib_keeps_31_generations_and_slots_lie_within_it() {
        let size = 32 << 20;
        assert_eq!(count(size), 31);
        assert!(slot(count(size) - 1) + SLOT <= size);
        assert!(KEY_COPIES.iter().all(|at| at + BLOCK <= slot(0) && at % BLOCK == 0));
        for too_small in [0, 1, FIRST_SLOT, FIRST_SLOT + SLOT - 1] {
            assert_eq!(count(too_small), 0);
        }
    }
}
