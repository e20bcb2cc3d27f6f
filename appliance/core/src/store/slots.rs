//! All slots of a partition, read and verified, and which of them counts. Decides what is in force after a start, what
//! is history and where the next record may go; never writes.

use super::keys::Keys;
use super::layout;
use super::record::{self, Digest, Origin, Record, Refusal, Term};

/// A slot's bytes as they lie on the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// The first block.
    pub header: Vec<u8>,
    /// The second block.
    pub confirmation: Vec<u8>,
    /// What follows, at least as much as [`Record::body_length`] says.
    pub body: Vec<u8>,
}

/// What lies in a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A valid record of this device.
    Record(Box<Kept>),
    /// Anything else.
    Refused(Refusal),
}

/// A valid record of this device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The record.
    pub record: Record,
    /// Its digest.
    pub digest: Digest,
    /// By whom and when a trial was confirmed.
    pub confirmed: Option<Origin>,
}

impl Kept {
    /// Whether it may be in force after a start.
    pub fn stays(&self) -> bool {
        self.record.term == Term::Permanent || self.confirmed.is_some()
    }
}

/// A slot that might have counted and did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Which slot.
    pub slot: usize,
    /// Its generation, if that is known.
    pub generation: Option<u64>,
    /// Why, for people.
    pub why: String,
}

/// All slots of a partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    contents: Vec<Content>,
}

impl Slots {
    /// Verifies what was read.
    pub fn read(raw: &[Raw], keys: &Keys) -> Self {
        Self { contents: raw.iter().map(|slot| content(slot, keys)).collect() }
    }

    /// The newest record that stays, and what was newer or unreadable and is passed over. Confirmed or permanent, the
    /// highest generation wins; a trial that nobody confirmed never does.
    pub fn at_start(&self) -> (Option<usize>, Vec<PassedOver>) {
        let chosen = self.newest(Kept::stays);
        let floor = chosen.and_then(|slot| self.get(slot)).map_or(0, |kept| kept.record.generation);
        let passed = self.contents.iter().enumerate().filter_map(|(slot, content)| match content {
            Content::Record(kept) if kept.record.generation > floor => Some(PassedOver {
                slot,
                generation: Some(kept.record.generation),
                why: "it was on trial and was not confirmed".to_owned(),
            }),
            Content::Record(_) | Content::Refused(Refusal::Empty) => None,
            Content::Refused(refusal) => {
                Some(PassedOver { slot, generation: None, why: refusal.to_string() })
            }
        });
        (chosen, passed.collect())
    }

    /// The record in a slot.
    pub fn get(&self, slot: usize) -> Option<&Kept> {
        match self.contents.get(slot) {
            Some(Content::Record(kept)) => Some(kept),
            _ => None,
        }
    }

    /// The record of a generation, if it stays.
    pub fn find(&self, generation: u64) -> Option<&Kept> {
        self.get(self.slot_of(generation)?)
    }

    /// Where the record of a generation lies, if it stays.
    pub(super) fn slot_of(&self, generation: u64) -> Option<usize> {
        self.newest(|kept| kept.record.generation == generation && kept.stays())
    }

    /// Every record, the newest first.
    pub fn history(&self) -> Vec<&Kept> {
        let mut records: Vec<&Kept> = (0..self.contents.len()).filter_map(|slot| self.get(slot)).collect();
        records.sort_by_key(|kept| std::cmp::Reverse(kept.record.generation));
        records
    }

    /// The number of the next generation: higher than anything that lies here.
    pub fn next_generation(&self) -> u64 {
        self.history().first().map_or(1, |kept| kept.record.generation.saturating_add(1))
    }

    /// Where the next record goes: a slot without a record first, else the oldest, but never `in_force` nor the newest
    /// that stays. `None`: the partition has too few slots.
    pub fn target(&self, in_force: Option<usize>) -> Option<usize> {
        if self.contents.len() < layout::FEWEST {
            return None;
        }
        let last = self.newest(Kept::stays);
        (0..self.contents.len())
            .filter(|slot| Some(*slot) != in_force && Some(*slot) != last)
            .min_by_key(|slot| self.get(*slot).map(|kept| kept.record.generation))
    }

    pub(super) fn set(&mut self, slot: usize, content: Content) {
        self.contents[slot] = content;
    }

    fn newest(&self, counts: impl Fn(&Kept) -> bool) -> Option<usize> {
        (0..self.contents.len())
            .filter_map(|slot| Some((slot, self.get(slot)?)))
            .filter(|(_, kept)| counts(kept))
            .max_by_key(|(_, kept)| kept.record.generation)
            .map(|(slot, _)| slot)
    }
}

fn content(raw: &Raw, keys: &Keys) -> Content {
    match Record::read(&raw.header, &raw.body, keys) {
        Ok((record, digest)) => {
            let confirmed = record::confirms(&raw.confirmation, record.generation, &digest, keys).ok();
            Content::Record(Box::new(Kept { record, digest, confirmed }))
        }
        Err(refusal) => Content::Refused(refusal),
    }
}

#[cfg(test)]
mod tests;
