//! The configuration store: which bytes lie where on the CONFIG partition, what they prove, which document is in force
//! and in what order a new one is written. Pure: it says what to read and write ([`Step`]), somebody else does it.
//!
//! CONFIG is raw, without a filesystem ([`layout`]). Each document lies in a slot as a [`record`], signed by the device
//! key ([`keys`]) over its header and its exact bytes; a trial becomes permanent by a second small signed block in the
//! same slot. [`opening`] begins, [`slots`] reads them all and chooses, [`commit`] writes. Nothing is ever changed in
//! place: a new record goes to a slot that is neither in force nor the last confirmed one, so that whatever a power cut
//! leaves behind, the old document or the new one is there, whole.
//!
//! What the signatures prove: these bytes were written by a box that held this device key. They defend against
//! corruption, torn writes, a disk from another box and documents that nobody signed; not against someone who can rewrite
//! the whole disk, key included.

pub mod layout;
pub mod keys;
pub mod record;
pub mod slots;
pub mod commit;
pub mod opening;

pub use commit::Step;
