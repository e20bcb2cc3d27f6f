//! What can be written to an opened partition, and how that went. Decides nothing: the steps come from
//! `halcyon_core::store`.

use halcyon_core::store::commit::{Document, Store, Unwritable};
use halcyon_core::store::keys::Public;
use halcyon_core::store::record::{Origin, Term};

use super::medium::Medium;

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// A document.
    Commit(Document, Term),
    /// The confirmation of the trial in force.
    Confirm,
    /// The document of an earlier generation, as the next one.
    RollBack(u64),
    /// A new device key.
    Rotate,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// A record or its confirmation: of this generation.
    Generation(u64),
    /// A device key.
    Key(Public),
}

/// Why nothing was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was not tried; the disk is as good as before.
    Refused(String),
    /// The disk failed.
    Lost(String),
}

/// Writes what is ordered; what `store` says afterwards is true of the disk.
pub(super) fn carry_out(
    medium: &Medium,
    store: &mut Store,
    work: Work,
    origin: Origin,
) -> Result<Written, Failure> {
    let refused = |why: Unwritable| Failure::Refused(why.to_string());
    let change = match work {
        Work::Commit(document, term) => store.commit(document, term, origin),
        Work::Confirm => store.confirm(&origin),
        Work::RollBack(generation) => store.roll_back(generation, origin),
        Work::Rotate => {
            let (steps, rotated) = store.rotate(seed().map_err(Failure::Refused)?).map_err(refused)?;
            medium.carry_out(&steps).map_err(|error| Failure::Lost(error.to_string()))?;
            *store = rotated;
            return Ok(Written::Key(store.keys().public()));
        }
    };
    let change = change.map_err(refused)?;
    let generation = change.generation();
    match medium.carry_out(&change.steps) {
        Ok(()) => {
            store.done(change);
            Ok(Written::Generation(generation))
        }
        Err(error) => {
            store.failed(&change);
            Err(Failure::Lost(error.to_string()))
        }
    }
}

/// Of the kernel's generator; waits until it has been seeded, once after boot.
pub(super) fn seed() -> Result<[u8; 32], String> {
    let mut seed = [0; 32];
    match rustix::rand::getrandom(&mut seed, rustix::rand::GetRandomFlags::empty()) {
        Ok(32) => Ok(seed),
        Ok(_) => Err("the kernel's generator gave too little".to_owned()),
        Err(error) => Err(format!("the kernel's generator gave nothing: {error}")),
    }
}
