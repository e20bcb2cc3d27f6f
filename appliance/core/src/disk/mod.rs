//! Disks: their partition table ([`gpt`]), how it grows to a larger disk ([`grow`]), which disk the box was started from
//! ([`origin`]), how much of a filesystem there is to copy ([`fat`]), what an installation writes and refuses ([`install`]), and the form in which all that is asked for
//! ([`control`]). Pure: says what to read and write; somebody else does it.

pub mod gpt;
pub mod grow;
pub mod fat;
pub mod install;
pub mod origin;
pub mod control;

/// Bytes of a sector: the image's, and the only size that BIOS starts from.
pub const SECTOR: u64 = 512;

/// Partitions begin and end at whole mebibytes, so many sectors.
pub const ALIGNMENT: u64 = (1 << 20) / SECTOR;

/// GPT names of the image's partitions, in the order of their numbers from 1.
pub const NAMES: [&str; 6] = ["bios", "esp", "boot-a", "boot-b", "config", "state"];

/// One thing to do to a disk, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write these whole sectors.
    Write {
        /// From this sector on.
        sector: u64,
        /// A multiple of [`SECTOR`] bytes.
        bytes: Vec<u8>,
    },
    /// Wait until everything before is on the disk.
    Flush,
}
