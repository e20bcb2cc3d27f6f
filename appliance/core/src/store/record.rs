//! One record: a document as it lies in a slot, and the block that confirms it.
//!
//! ```text
//! header, one block, numbers little-endian
//!   0  "HALCYON-RECORD\0\0"        16  format, 16 bits       18  1: trial, 0: permanent, 16 bits
//!  20  schema, 32 bits             24  generation, 64 bits   32  digest of the parent, 32 bytes
//!  64  device id, 16 bytes         80  key id, 16 bytes      96  length of the document, 32 bits
//! 100  length of the seal, 32 bits 104 clock, seconds since 1970, 64 bits
//! 112  uptime, milliseconds, 64 bits                         120 seconds a trial lasts, 32 bits   124 zeros
//! 128  who, 64 bytes               192 from where, 64 bytes  256 image version, 64 bytes
//! 320  zeros                       4032 signature, 64 bytes
//!
//! confirmation, one block
//!   0  "HALCYON-CONFIRM\0"         16  format, 16 bits       18  zeros
//!  24  generation, 64 bits         32  digest of the record, 32 bytes
//!  64  device id, 16 bytes         80  key id, 16 bytes      96  clock   104 uptime
//! 112  who, 64 bytes               176 from where, 64 bytes  240 zeros
//! 4032 signature, 64 bytes
//! ```
//! A record's signature is Ed25519 over its header up to the signature, the document and the seal (the text of the
//! document's provisioning signature, if it came with one). A record's digest is the SHA-256 of the same bytes. Texts are
//! UTF-8, padded with zeros. A confirmation signs its block up to the signature.

use sha2::{Digest as _, Sha256};

use super::keys::{DeviceId, KeyId, Keys};
use super::layout::{BLOCK, LONGEST_BODY};

const RECORD: &[u8; 16] = b"HALCYON-RECORD\0\0";
const CONFIRM: &[u8; 16] = b"HALCYON-CONFIRM\0";
const FORMAT: u16 = 1;
const SIGNATURE: usize = BLOCK as usize - 64;

/// SHA-256 of a record.
pub type Digest = [u8; 32];

/// Who wrote something and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Seconds since 1970 by the box's clock, which may be wrong.
    pub clock: u64,
    /// Milliseconds since the box's start.
    pub uptime: u64,
    /// Who: a program or an operator; at most 64 bytes are kept.
    pub who: String,
    /// From where: a console, a volume, a peer; at most 64 bytes are kept.
    pub from: String,
    /// The image's version; at most 64 bytes are kept.
    pub image: String,
}

/// Whether a document stays by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// In force once it is written.
    Permanent,
    /// Undone after this many seconds, and by any restart, unless it is confirmed.
    Trial(u32),
}

/// One document with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Counts up from 1 with every document of this box.
    pub generation: u64,
    /// The record that this one replaced; zeros for the first.
    pub parent: Digest,
    /// Whether it stays by itself.
    pub term: Term,
    /// The document's schema.
    pub schema: u32,
    /// Who wrote it and when.
    pub origin: Origin,
    /// The document, byte by byte as it was given.
    pub document: Vec<u8>,
    /// The text of its provisioning signature; empty when it had none.
    pub seal: Vec<u8>,
}

/// Why a slot's bytes are no record of this box.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing was ever written here.
    #[error("it is empty")]
    Empty,
    /// Something else lies here.
    #[error("it is no record")]
    Foreign,
    /// A later version of Halcyon wrote it.
    #[error("it has format {0}, which this version does not read")]
    Format(u16),
    /// Lengths that do not fit a slot.
    #[error("its lengths do not fit: {document} bytes of document and {seal} of signature")]
    Lengths {
        /// Of the document.
        document: u32,
        /// Of the seal.
        seal: u32,
    },
    /// Written by another box.
    #[error("it belongs to the device {0}")]
    Device(DeviceId),
    /// Signed by a key that this device never had.
    #[error("it is signed by a key that this device never had")]
    Key,
    /// Not what was signed: torn, damaged or changed.
    #[error("its signature does not fit: it is damaged, or was not written to the end")]
    Signature,
}

/// A document that cannot be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the document and its signature have {0} bytes; at most {LONGEST_BODY} can be stored")]
pub struct TooLong(pub usize);

/// A record as it lies on the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The first block of the slot.
    pub header: Vec<u8>,
    /// What follows the confirmation.
    pub body: Vec<u8>,
    /// The record's digest.
    pub digest: Digest,
}

impl Record {
    /// The bytes to store, signed with the current key.
    ///
    /// # Errors
    /// When they do not fit into a slot.
    pub fn write(&self, keys: &Keys) -> Result<Written, TooLong> {
        let body = [self.document.as_slice(), self.seal.as_slice()].concat();
        if body.len() as u64 > LONGEST_BODY {
            return Err(TooLong(body.len()));
        }
        let length = |part: &[u8]| u32::try_from(part.len()).expect("no longer than LONGEST_BODY");
        let (trial, lasts) = match self.term {
            Term::Permanent => (0_u16, 0),
            Term::Trial(seconds) => (1, seconds),
        };
        let mut header = Block::new(RECORD);
        header.put(18, &trial.to_le_bytes());
        header.put(20, &self.schema.to_le_bytes());
        header.put(24, &self.generation.to_le_bytes());
        header.put(32, &self.parent);
        header.put(64, &keys.device().0);
        header.put(80, &keys.current());
        header.put(96, &length(&self.document).to_le_bytes());
        header.put(100, &length(&self.seal).to_le_bytes());
        header.put(104, &self.origin.clock.to_le_bytes());
        header.put(112, &self.origin.uptime.to_le_bytes());
        header.put(120, &lasts.to_le_bytes());
        header.text(128, &self.origin.who);
        header.text(192, &self.origin.from);
        header.text(256, &self.origin.image);
        let signed = [&header.0[..SIGNATURE], &body].concat();
        header.put(SIGNATURE, &keys.sign(&signed));
        Ok(Written { header: header.0, body, digest: Sha256::digest(&signed).into() })
    }

    /// How many bytes of body the header speaks of, before anything is verified.
    ///
    /// # Errors
    /// Whatever is wrong with the header itself.
    pub fn body_length(header: &[u8]) -> Result<usize, Refusal> {
        let block = Block::read(header, RECORD)?;
        let (document, seal) = (block.u32(96), block.u32(100));
        let length = u64::from(document) + u64::from(seal);
        if length > LONGEST_BODY {
            return Err(Refusal::Lengths { document, seal });
        }
        Ok(usize::try_from(length).expect("no longer than a slot"))
    }

    /// Reads and verifies a record; `body` may be longer than the record's.
    ///
    /// # Errors
    /// [`Refusal`] says why, for the operator.
    pub fn read(header: &[u8], body: &[u8], keys: &Keys) -> Result<(Self, Digest), Refusal> {
        let length = Self::body_length(header)?;
        let block = Block::read(header, RECORD)?;
        let body = body.get(..length).ok_or(Refusal::Signature)?;
        let signed = [&block.0[..SIGNATURE], body].concat();
        block.verify(&signed, keys)?;
        let (document, seal) = body.split_at(block.u32(96) as usize);
        let record = Self {
            generation: block.u64(24),
            parent: block.array(32),
            term: if block.u16(18) == 1 { Term::Trial(block.u32(120)) } else { Term::Permanent },
            schema: block.u32(20),
            origin: Origin {
                clock: block.u64(104),
                uptime: block.u64(112),
                who: block.string(128),
                from: block.string(192),
                image: block.string(256),
            },
            document: document.to_vec(),
            seal: seal.to_vec(),
        };
        Ok((record, Sha256::digest(&signed).into()))
    }
}

/// The block that confirms the record with `digest`, signed with the current key.
pub fn confirmation(generation: u64, digest: &Digest, origin: &Origin, keys: &Keys) -> Vec<u8> {
    let mut block = Block::new(CONFIRM);
    block.put(24, &generation.to_le_bytes());
    block.put(32, digest);
    block.put(64, &keys.device().0);
    block.put(80, &keys.current());
    block.put(96, &origin.clock.to_le_bytes());
    block.put(104, &origin.uptime.to_le_bytes());
    block.text(112, &origin.who);
    block.text(176, &origin.from);
    let signature = keys.sign(&block.0[..SIGNATURE]);
    block.put(SIGNATURE, &signature);
    block.0
}

/// Who confirmed the record of `generation` with `digest` by this `block`; the image's version is not in it.
///
/// # Errors
/// [`Refusal`] says why it confirms nothing.
pub fn confirms(block: &[u8], generation: u64, digest: &Digest, keys: &Keys) -> Result<Origin, Refusal> {
    let block = Block::read(block, CONFIRM)?;
    block.verify(&block.0[..SIGNATURE], keys)?;
    // A confirmation of what lay in this slot before confirms nothing.
    if block.u64(24) != generation || block.array::<32>(32) != *digest {
        return Err(Refusal::Foreign);
    }
    Ok(Origin {
        clock: block.u64(96),
        uptime: block.u64(104),
        who: block.string(112),
        from: block.string(176),
        image: String::new(),
    })
}

/// A block with its fields at offsets.
struct Block(Vec<u8>);

impl Block {
    fn new(magic: &[u8; 16]) -> Self {
        let mut block = Self(vec![0; BLOCK as usize]);
        block.put(0, magic);
        block.put(16, &FORMAT.to_le_bytes());
        block
    }

    fn read(bytes: &[u8], magic: &[u8; 16]) -> Result<Self, Refusal> {
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(Refusal::Empty);
        }
        if bytes.len() != BLOCK as usize || !bytes.starts_with(magic) {
            return Err(Refusal::Foreign);
        }
        let block = Self(bytes.to_vec());
        match block.u16(16) {
            FORMAT => Ok(block),
            other => Err(Refusal::Format(other)),
        }
    }

    /// Whether this device signed `message`, by what the block says of device, key and signature.
    fn verify(&self, message: &[u8], keys: &Keys) -> Result<(), Refusal> {
        let device = DeviceId(self.array(64));
        if device != keys.device() {
            return Err(Refusal::Device(device));
        }
        let key: KeyId = self.array(80);
        match keys.verify(key, message, &self.array(SIGNATURE)) {
            Some(true) => Ok(()),
            Some(false) => Err(Refusal::Signature),
            None => Err(Refusal::Key),
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// At most 64 bytes, cut between characters.
    fn text(&mut self, at: usize, text: &str) {
        self.put(at, &text.as_bytes()[..text.floor_char_boundary(64)]);
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0[at..at + N].try_into().expect("a slice of N bytes")
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.array(at))
    }

    fn string(&self, at: usize) -> String {
        let bytes = &self.0[at..at + 64];
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }
}

#[cfg(test)]
mod tests;
