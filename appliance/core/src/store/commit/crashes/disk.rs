//! A disk that keeps what was flushed, and of the rest whatever it likes.

use std::collections::BTreeMap;

use super::super::super::slots::Raw;
use super::super::*;
use crate::store::opening::{self, Opening};

const SECTOR: u64 = 512;
/// Room for the fewest slots, so that every slot is reused soon.
pub(super) const SIZE: u64 = 1024 * 1024 * (1 + layout::FEWEST as u64);

type Sector = [u8; SECTOR as usize];
const EMPTY: Sector = [0; SECTOR as usize];

/// What is on the medium, and what was written since the last flush, in order.
#[derive(Clone, Default)]
pub(super) struct Disk {
    durable: BTreeMap<u64, Sector>,
    pending: Vec<(u64, Sector)>,
}

impl Disk {
    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Write { at, bytes } => {
                for (n, sector) in (at / SECTOR..).zip(bytes.chunks_exact(SECTOR as usize)) {
                    let sector = sector.try_into().expect("chunks of a sector");
                    if sector != EMPTY || !self.is_empty(n) {
                        self.pending.push((n, sector));
                    }
                }
            }
            Step::Flush => self.durable.extend(self.pending.drain(..)),
            Step::Expect { at, bytes } => assert_eq!(self.cut(|_| true).bytes(*at, bytes.len()), *bytes),
        }
    }

    /// Zeros over zeros change nothing, whether they are lost or not; a reset writes megabytes of them.
    fn is_empty(&self, sector: u64) -> bool {
        self.durable.get(&sector).is_none_or(|there| *there == EMPTY)
            && self.pending.iter().all(|(n, _)| *n != sector)
    }

    /// Sectors that a power cut may lose.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// The power goes; of the pending sectors only those that `kept` names reached the medium.
    pub(super) fn cut(&self, kept: impl Fn(usize) -> bool) -> Self {
        let mut durable = self.durable.clone();
        durable.extend(self.pending.iter().enumerate().filter(|(n, _)| kept(*n)).map(|(_, sector)| *sector));
        Self { durable, pending: Vec::new() }
    }

    /// The power goes while the `torn`-th pending sector is written: those before it are there, of it the first half.
    pub(super) fn torn(&self, torn: usize) -> Self {
        let mut disk = self.cut(|n| n < torn);
        if let Some((at, new)) = self.pending.get(torn) {
            let half = SECTOR as usize / 2;
            disk.durable.entry(*at).or_insert(EMPTY)[..half].copy_from_slice(&new[..half]);
        }
        disk
    }

    fn bytes(&self, at: u64, length: usize) -> Vec<u8> {
        let sectors = at / SECTOR..(at + length as u64).div_ceil(SECTOR);
        let mut bytes: Vec<u8> =
            sectors.flat_map(|n| self.durable.get(&n).copied().unwrap_or(EMPTY)).collect();
        bytes.truncate(length);
        bytes
    }

    fn slot(&self, at: u64) -> Raw {
        let header = self.bytes(at, BLOCK as usize);
        let body = Record::body_length(&header).unwrap_or(0);
        Raw {
            confirmation: self.bytes(at + layout::CONFIRMATION, BLOCK as usize),
            body: self.bytes(at + layout::BODY, body),
            header,
        }
    }

    fn slots(&self) -> Vec<Raw> {
        (0..layout::count(SIZE)).map(|slot| self.slot(layout::slot(slot))).collect()
    }

    /// What a start has to write before anything counts, and the keys that there are then; `Err`: the store says that it
    /// can never be used again.
    pub(super) fn opening(&self, seed: [u8; 32]) -> Result<(Vec<Step>, Keys), String> {
        let copies = layout::KEY_COPIES.map(|at| self.bytes(at, BLOCK as usize));
        let used = (0..layout::count(SIZE))
            .any(|slot| self.bytes(layout::slot(slot), BLOCK as usize).iter().any(|byte| *byte != 0));
        match opening::open([&copies[0], &copies[1]], used, SIZE).map_err(|why| why.to_string())? {
            Opening::Known { keys, mend } => Ok((mend, *keys)),
            Opening::New { wipe } => {
                let keys = Keys::first(seed);
                Ok(([wipe, write_keys(&keys)].concat(), keys))
            }
        }
    }

    /// The store of a box that started and wrote what [`Disk::opening`] asks for, which changes no valid record.
    pub(super) fn store(&self, keys: &Keys) -> Store {
        Store::at_start(keys.clone(), Slots::read(&self.slots(), keys))
    }
}
