//! Writing: which steps a commit, a confirmation, a rollback, a new key and a reset take. Decides the bytes and their
//! order; whoever carries the steps out stops at the first that fails, and then nothing has changed.
//!
//! ```text
//! commit    body, header → flush → read back         into a slot that neither is in force nor stays
//! confirm   confirmation → flush → read back         into the trial's slot
//! new key   second copy → flush → read back → first copy → flush → read back
//! reset     first copy → flush → second copy → flush → every slot → flush
//! ```
//! No step depends on the order of writes between two flushes: a record counts only if its signature fits, and that
//! covers all of it.

use super::keys::{Keys, TooMany};
use super::layout::{self, BLOCK};
use super::record::{Origin, Record, Refusal, Term, TooLong, confirmation};
use super::slots::{Content, Kept, Slots};

/// One thing to do to the partition, in order; the first that fails ends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write these whole blocks at this offset.
    Write {
        /// Offset in bytes.
        at: u64,
        /// What to write.
        bytes: Vec<u8>,
    },
    /// Everything written so far is on the medium before anything after it.
    Flush,
    /// Read this range back from the medium and compare.
    Expect {
        /// Offset in bytes.
        at: u64,
        /// What must be there.
        bytes: Vec<u8>,
    },
}

/// Why something cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unwritable {
    /// It does not fit.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// No slot is free.
    #[error("the CONFIG partition has fewer than {} slots", layout::FEWEST)]
    TooSmall,
    /// There is no trial to confirm.
    #[error("no trial is running: there is nothing to confirm")]
    NoTrial,
    /// Not kept, or never confirmed.
    #[error("generation {0} is not kept here; `config history` lists those that are")]
    NoGeneration(u64),
    /// Too many rotations.
    #[error(transparent)]
    TooMany(#[from] TooMany),
}

/// A document to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its exact bytes.
    pub bytes: Vec<u8>,
    /// The text of its provisioning signature; empty without one.
    pub seal: Vec<u8>,
    /// Its schema.
    pub schema: u32,
}

/// The steps of one change, and what is true once all of them are done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What to do.
    pub steps: Vec<Step>,
    slot: usize,
    kept: Kept,
}

impl Change {
    /// Of which generation.
    pub fn generation(&self) -> u64 {
        self.kept.record.generation
    }
}

/// What is known of the partition: its keys, its slots, and what is in force.
#[derive(Clone, Debug)]
pub struct Store {
    keys: Keys,
    slots: Slots,
    in_force: Option<usize>,
}

impl Store {
    /// After a start: the newest record that stays is in force.
    pub fn at_start(keys: Keys, slots: Slots) -> Self {
        let (in_force, _) = slots.at_start();
        Self { keys, slots, in_force }
    }

    /// The slots.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    /// The keys.
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The record in force.
    pub fn in_force(&self) -> Option<&Kept> {
        self.slots.get(self.in_force?)
    }

    /// The record of this generation is in force although a newer one stays, which this version refuses.
    pub fn adopt(&mut self, generation: u64) {
        let slot = self.slots.slot_of(generation);
        self.in_force = slot.or(self.in_force);
    }

    /// The record in force is a trial that waits for its confirmation.
    pub fn on_trial(&self) -> bool {
        self.in_force().is_some_and(|kept| !kept.stays())
    }

    /// Writes a document as the next generation.
    ///
    /// # Errors
    /// [`Unwritable`] says why not; then nothing is to be done.
    pub fn commit(&self, document: Document, term: Term, origin: Origin) -> Result<Change, Unwritable> {
        let slot = self.slots.target(self.in_force).ok_or(Unwritable::TooSmall)?;
        let record = Record {
            generation: self.slots.next_generation(),
            parent: self.in_force().map_or([0; 32], |kept| kept.digest),
            term,
            schema: document.schema,
            origin,
            document: document.bytes,
            seal: document.seal,
        };
        let written = record.write(&self.keys)?;
        let at = layout::slot(slot);
        let body = padded(written.body);
        let steps = vec![
            Step::Write { at: at + layout::BODY, bytes: body.clone() },
            Step::Write { at, bytes: written.header.clone() },
            Step::Flush,
            Step::Expect { at, bytes: written.header },
            Step::Expect { at: at + layout::BODY, bytes: body },
        ];
        let kept = Kept { record, digest: written.digest, confirmed: None };
        Ok(Change { steps, slot, kept })
    }

    /// Makes the trial in force permanent.
    ///
    /// # Errors
    /// When there is none.
    pub fn confirm(&self, origin: &Origin) -> Result<Change, Unwritable> {
        let on_trial = self.in_force.and_then(|slot| Some((slot, self.slots.get(slot)?)));
        let (slot, kept) = on_trial.filter(|(_, kept)| !kept.stays()).ok_or(Unwritable::NoTrial)?;
        let block = confirmation(kept.record.generation, &kept.digest, origin, &self.keys);
        let at = layout::slot(slot) + layout::CONFIRMATION;
        let kept = Kept { confirmed: Some(origin.clone()), ..kept.clone() };
        Ok(Change { steps: proven(at, block).into(), slot, kept })
    }

    /// Writes the document of an earlier generation as the next one: history only grows.
    ///
    /// # Errors
    /// When that generation is not kept, or as for [`Store::commit`].
    pub fn roll_back(&self, generation: u64, origin: Origin) -> Result<Change, Unwritable> {
        let kept = self.slots.find(generation).ok_or(Unwritable::NoGeneration(generation))?;
        let Record { document, seal, schema, .. } = &kept.record;
        let document = Document { bytes: document.clone(), seal: seal.clone(), schema: *schema };
        self.commit(document, Term::Permanent, origin)
    }

    /// The steps of `change` are done: it is in force.
    pub fn done(&mut self, change: Change) {
        self.slots.set(change.slot, Content::Record(Box::new(change.kept)));
        self.in_force = Some(change.slot);
    }

    /// A step of `change` failed: its slot may hold anything now, and what was in force stays so.
    pub fn failed(&mut self, change: &Change) {
        if Some(change.slot) != self.in_force {
            self.slots.set(change.slot, Content::Refused(Refusal::Signature));
        }
    }

    /// The trial in force is over without a confirmation: what stays is in force again. Nothing is to be written.
    pub fn undo_trial(&mut self) {
        (self.in_force, _) = self.slots.at_start();
    }

    /// The steps towards a new device key, and the store that has it once they are done. `seed` must come from the
    /// kernel's generator.
    ///
    /// # Errors
    /// When this device has had too many.
    pub fn rotate(&self, seed: [u8; 32]) -> Result<(Vec<Step>, Self), Unwritable> {
        let keys = self.keys.rotate(seed)?;
        Ok((write_keys(&keys), Self { keys, ..self.clone() }))
    }
}

/// The steps that put `keys` onto a partition: the second copy first, so that one whole copy is there at any instant.
pub fn write_keys(keys: &Keys) -> Vec<Step> {
    let [first, second] = layout::KEY_COPIES;
    [proven(second, keys.write()), proven(first, keys.write())].concat()
}

/// Writes a block and makes sure that it is there before anything else is done.
pub(super) fn proven(at: u64, block: Vec<u8>) -> [Step; 3] {
    [Step::Write { at, bytes: block.clone() }, Step::Flush, Step::Expect { at, bytes: block }]
}

/// The steps that make a partition of `size` bytes as new. Without keys no record counts, so they go first; a start that
/// finds records without a key takes these steps again ([`open`](super::opening::open)).
pub fn reset(size: u64) -> Vec<Step> {
    let wipe =
        |at, length| Step::Write { at, bytes: vec![0; usize::try_from(length).expect("a slot at most")] };
    let mut steps = Vec::new();
    for at in layout::KEY_COPIES {
        steps.extend([wipe(at, BLOCK), Step::Flush]);
    }
    steps.extend((0..layout::count(size)).map(|slot| wipe(layout::slot(slot), layout::SLOT)));
    steps.push(Step::Flush);
    steps
}

/// To whole blocks.
fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(BLOCK as usize), 0);
    bytes
}

#[cfg(test)]
mod crashes;
#[cfg(test)]
mod tests;
