//! What a start makes of the two copies of the device key: whether the device has its keys, whether it is new, and what
//! has to be written before anything counts. Decides; whoever asks reads and writes.
//!
//! ```text
//! first copy   second copy
//! whole        whole          the set that came further counts, and both become it
//! whole        other          the second becomes the first again
//! other        whole          the first becomes the second again
//! empty        empty          a new device
//! empty        damaged        the same: only a first start or a reset that was cut off leaves this behind
//! damaged      not whole      nothing is read and nothing is written
//! ```
//! The last row but one is what a power cut can do: a new key reaches the second copy first, a reset wipes the first copy
//! first, and either is flushed before the other is touched ([`commit`](super::commit)).

use super::commit::{self, Step};
use super::keys::{Keys, NoKeys};
use super::layout;

/// What has to be done before slots are read.
#[derive(Clone, Debug)]
pub enum Opening {
    /// The device has its keys.
    Known {
        /// They are.
        keys: Box<Keys>,
        /// Steps that make both copies whole and equal; none as a rule.
        mend: Vec<Step>,
    },
    /// The device needs its first key; [`commit::write_keys`] puts it there once these steps are done.
    New {
        /// Steps that finish a reset that was cut off; none at a true first start.
        wipe: Vec<Step>,
    },
}

/// Judges the two copies on a partition of `size` bytes. `used`: something lies in a slot.
///
/// # Errors
/// When the keys were there and cannot be read any more, or belong to a later version: nothing may be written over.
pub fn open(copies: [&[u8]; 2], used: bool, size: u64) -> Result<Opening, NoKeys> {
    let first_is_empty = copies[0].iter().all(|byte| *byte == 0);
    match Keys::of_copies(copies) {
        Ok(keys) => {
            let block = keys.write();
            let apart = layout::KEY_COPIES.into_iter().zip(copies).filter(|(_, copy)| **copy != block);
            let mend = apart.flat_map(|(at, _)| commit::proven(at, block.clone())).collect();
            Ok(Opening::Known { keys: Box::new(keys), mend })
        }
        Err(NoKeys::Empty) => Ok(Opening::New { wipe: rest_of_reset(used, size) }),
        Err(NoKeys::Damaged) if first_is_empty => Ok(Opening::New { wipe: rest_of_reset(used, size) }),
        Err(why) => Err(why),
    }
}

/// Steps that change nothing and fail where nothing can be written: the second copy of the key once more.
pub fn probe(keys: &Keys) -> Vec<Step> {
    let [_, second] = layout::KEY_COPIES;
    commit::proven(second, keys.write()).into()
}

/// Records without a key are what a reset that was cut off leaves; no key will ever fit them.
fn rest_of_reset(used: bool, size: u64) -> Vec<Step> {
    if used { commit::reset(size) } else { Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 4 << 20;

    /// `known` with the offsets that are mended, `new` with whether slots are wiped, or why not.
    fn judged(first: &[u8], second: &[u8], used: bool) -> String {
        match open([first, second], used, SIZE) {
            Ok(Opening::Known { keys, mend }) => {
                let at = mend.iter().filter_map(|step| match step {
                    Step::Write { at, .. } => Some(at.to_string()),
                    _ => None,
                });
                format!("known {} {}", keys.count(), at.collect::<Vec<_>>().join(" ")).trim_end().to_owned()
            }
            Ok(Opening::New { wipe }) => format!("new {}", !wipe.is_empty()),
            Err(why) => why.to_string(),
        }
    }

    #[test]
    fn every_pair_of_copies_is_judged() {
        let keys = Keys::first([1; 32]);
        let (old, new) = (keys.write(), keys.rotate([2; 32]).expect("the second of many").write());
        let empty = vec![0; layout::BLOCK as usize];
        let torn = [&new[..512], &empty[512..]].concat();
        let mut later = new.clone();
        later[16] = 2;
        let damaged = "the device key is damaged";
        for (first, second, used, expected) in [
            (&old, &old, true, "known 1"),
            (&old, &new, true, "known 2 0"),
            (&new, &old, true, "known 2 524288"),
            (&old, &torn, true, "known 1 524288"),
            (&torn, &old, true, "known 1 0"),
            (&old, &empty, true, "known 1 524288"),
            (&empty, &old, true, "known 1 0"),
            (&empty, &empty, false, "new false"),
            (&empty, &empty, true, "new true"),
            (&empty, &torn, false, "new false"),
            (&empty, &torn, true, "new true"),
            (&torn, &empty, true, damaged),
            (&torn, &torn, true, damaged),
        ] {
            assert_eq!(judged(first, second, used), expected, "used: {used}");
        }
        assert!(judged(&later, &later, false).contains("damaged"), "a checksum comes before a format");
    }

    #[test]
    fn keys_of_a_later_version_are_left_alone() {
        use sha2::{Digest as _, Sha256};
        let mut later = Keys::first([1; 32]).write();
        later[16] = 2;
        let end = later.len() - 32;
        let checksum = Sha256::digest(&later[..end]);
        later[end..].copy_from_slice(&checksum);
        let empty = vec![0; layout::BLOCK as usize];
        for copies in [[&later, &later], [&empty, &later]] {
            assert!(judged(copies[0], copies[1], true).contains("format 2"));
        }
    }
}
