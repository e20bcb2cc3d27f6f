//! The device key: made at first boot, kept twice on CONFIG, replaced by a key that it signs.
//!
//! ```text
//! block   "HALCYON-DEVKEY\0\0" | format, 16 bits | number of keys, 16 bits | 12 zero bytes
//!         | secret seed of the last key, 32 bytes
//!         | per key: public key, 32 bytes | its predecessor's signature, 64 bytes (zeros for the first)
//!         | … zeros … | SHA-256 of all before it, 32 bytes, at the end of the block
//! ```
//! Numbers are little-endian. The checksum finds corruption; it proves nothing. A box's id is made of its *first* public
//! key, so it outlives rotations: it names the set of keys, not the chassis.

use std::fmt;

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::layout::BLOCK;

const MAGIC: &[u8; 16] = b"HALCYON-DEVKEY\0\0";
const FORMAT: u16 = 1;
const CHECKSUM: usize = BLOCK as usize - 32;
const KEYS: usize = 64;
const PER_KEY: usize = 96;
/// Most keys that a set holds: a rotation a year outlives the hardware.
pub const MOST: usize = 32;
/// What a predecessor signs, before the new public key: no signature of a record can be taken for one of a key.
const DOMAIN: &[u8] = b"halcyon device key rotation 1\0";

/// A box's identity: the first 16 bytes of the SHA-256 of its first public key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub [u8; 16]);

/// A key's number: the first 16 bytes of the SHA-256 of its public half.
pub type KeyId = [u8; 16];

/// The device's keys: all public halves, and the secret one of the last.
#[derive(Clone)]
pub struct Keys {
    secret: SigningKey,
    chain: Vec<Link>,
}

/// What may be told of a device's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Public {
    /// Whose it is.
    pub device: DeviceId,
    /// How many keys the device has had, this one included; at most [`MOST`].
    pub number: usize,
    /// The public half, in hexadecimal digits.
    pub key: String,
    /// The same as a person can compare it: eight groups of four digits, of its SHA-256.
    pub fingerprint: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Link {
    public: VerifyingKey,
    /// By the predecessor; zeros for the first.
    vouched: [u8; 64],
}

/// Why a block holds no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoKeys {
    /// Nothing was ever written here.
    #[error("there is no device key")]
    Empty,
    /// It was written, and is not whole.
    #[error("the device key is damaged")]
    Damaged,
    /// A later version of Halcyon wrote it.
    #[error("the device key has format {0}, which this version does not read")]
    Format(u16),
    /// A key is not signed by the one before it.
    #[error("key {0} of the device is not vouched for by the one before it")]
    Unvouched(usize),
}

/// The device has as many keys as it can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this device has had {MOST} keys; a factory reset begins a new set")]
pub struct TooMany;

impl Keys {
    /// The first key of a device. `seed` must come from the kernel's generator.
    pub fn first(seed: [u8; 32]) -> Self {
        let secret = SigningKey::from_bytes(&seed);
        let public = secret.verifying_key();
        Self { secret, chain: vec![Link { public, vouched: [0; 64] }] }
    }

    /// The same device with a new key, which the present one vouches for. Records that earlier keys signed stay valid.
    ///
    /// # Errors
    /// After [`MOST`] keys.
    pub fn rotate(&self, seed: [u8; 32]) -> Result<Self, TooMany> {
        if self.chain.len() >= MOST {
            return Err(TooMany);
        }
        let secret = SigningKey::from_bytes(&seed);
        let public = secret.verifying_key();
        let vouched = self.secret.sign(&voucher(&public)).to_bytes();
        let mut chain = self.chain.clone();
        chain.push(Link { public, vouched });
        Ok(Self { secret, chain })
    }

    /// Whose keys they are.
    pub fn device(&self) -> DeviceId {
        DeviceId(key_id(&self.chain[0].public))
    }

    /// The number of the key that signs now.
    pub fn current(&self) -> KeyId {
        key_id(&self.secret.verifying_key())
    }

    /// How many keys the device has had.
    pub fn count(&self) -> usize {
        self.chain.len()
    }

    /// What may be told of the key that signs now.
    pub fn public(&self) -> Public {
        let id = hex(&self.current());
        let groups: Vec<&str> = (0..8).map(|n| &id[n * 4..n * 4 + 4]).collect();
        Public {
            device: self.device(),
            number: self.count(),
            key: hex(self.secret.verifying_key().as_bytes()),
            fingerprint: groups.join(" "),
        }
    }

    /// Signs with the current key.
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.secret.sign(message).to_bytes()
    }

    /// Whether the key `id` of this device signed `message`; `None`: the device has no such key.
    pub fn verify(&self, id: KeyId, message: &[u8], signature: &[u8; 64]) -> Option<bool> {
        let link = self.chain.iter().find(|link| key_id(&link.public) == id)?;
        Some(link.public.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
    }

    /// One block.
    pub fn write(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(BLOCK as usize);
        block.extend(MAGIC);
        block.extend(FORMAT.to_le_bytes());
        block.extend(u16::try_from(self.chain.len()).expect("never more than MOST").to_le_bytes());
        block.resize(32, 0);
        block.extend(self.secret.to_bytes());
        for link in &self.chain {
            block.extend(link.public.as_bytes());
            block.extend(link.vouched);
        }
        block.resize(CHECKSUM, 0);
        let checksum = Sha256::digest(&block);
        block.extend(checksum);
        block
    }

    /// Reads a block.
    ///
    /// # Errors
    /// [`NoKeys`] tells an empty block from a damaged one: only the first may be written over.
    pub fn read(block: &[u8]) -> Result<Self, NoKeys> {
        if block.iter().all(|byte| *byte == 0) {
            return Err(NoKeys::Empty);
        }
        if block.len() != BLOCK as usize
            || !block.starts_with(MAGIC)
            || Sha256::digest(&block[..CHECKSUM])[..] != block[CHECKSUM..]
        {
            return Err(NoKeys::Damaged);
        }
        let number = |at: usize| u16::from_le_bytes([block[at], block[at + 1]]);
        if number(16) != FORMAT {
            return Err(NoKeys::Format(number(16)));
        }
        let count = usize::from(number(18));
        if count == 0 || count > MOST {
            return Err(NoKeys::Damaged);
        }
        let secret = SigningKey::from_bytes(&array(&block[32..64]));
        let mut chain: Vec<Link> = Vec::new();
        for n in 0..count {
            let at = KEYS + n * PER_KEY;
            let public =
                VerifyingKey::from_bytes(&array(&block[at..at + 32])).map_err(|_| NoKeys::Damaged)?;
            let vouched: [u8; 64] = array(&block[at + 32..at + PER_KEY]);
            if let Some(previous) = chain.last()
                && previous.public.verify_strict(&voucher(&public), &Signature::from_bytes(&vouched)).is_err()
            {
                return Err(NoKeys::Unvouched(n));
            }
            chain.push(Link { public, vouched });
        }
        match chain.last() {
            Some(last) if last.public == secret.verifying_key() => Ok(Self { secret, chain }),
            _ => Err(NoKeys::Damaged),
        }
    }

    /// The keys of the two copies: those that have come further, when both are whole. Copies of different devices
    /// cannot come of any order of writes; the first counts then.
    ///
    /// # Errors
    /// When neither is whole: [`NoKeys::Empty`] only if neither was ever written.
    pub fn of_copies(blocks: [&[u8]; 2]) -> Result<Self, NoKeys> {
        match blocks.map(Self::read) {
            [Ok(a), Ok(b)] if a.device() == b.device() && b.count() > a.count() => Ok(b),
            [Ok(a), _] => Ok(a),
            [_, Ok(b)] => Ok(b),
            [Err(NoKeys::Empty), Err(b)] => Err(b),
            [Err(a), Err(_)] => Err(a),
        }
    }
}

fn voucher(public: &VerifyingKey) -> Vec<u8> {
    [DOMAIN, public.as_bytes()].concat()
}

fn key_id(public: &VerifyingKey) -> KeyId {
    array(&Sha256::digest(public.as_bytes())[..16])
}

/// The first `N` bytes; the callers' slices are long enough.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes[..N].try_into().expect("the slice was cut to this length")
}

pub(super) fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every text");
        text
    })
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Without the secret.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({}, {} keys)", self.device(), self.count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back_and_a_rotation_keeps_the_device_and_its_earlier_signatures() {
        let old = Keys::first([7; 32]);
        let signature = old.sign(b"a document");
        let new = old.rotate([8; 32]).expect("the second of many");
        let read = Keys::read(&new.write()).expect("it was just written");
        assert_eq!(read.device(), old.device());
        assert_ne!(read.current(), old.current());
        assert_eq!(read.verify(old.current(), b"a document", &signature), Some(true));
        assert_eq!(read.verify(new.current(), b"a document", &signature), Some(false));
        assert_eq!(old.verify(new.current(), b"a document", &signature), None);
        assert_eq!(read.count(), 2);
        assert!(!format!("{read:?}").contains(&hex(&[8; 32])));
        let (told, before) = (read.public(), old.public());
        assert_eq!((told.device, told.number), (before.device, 2));
        assert_ne!((&told.key, &told.fingerprint), (&before.key, &before.fingerprint));
        assert_eq!(
            before.fingerprint.replace(' ', ""),
            before.device.to_string(),
            "its first key names a device"
        );
    }

    #[test]
    fn every_flipped_bit_of_a_block_is_found() {
        let block = Keys::first([1; 32]).rotate([2; 32]).expect("the second of many").write();
        for bit in 0..block.len() * 8 {
            let mut damaged = block.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Keys::read(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_key_that_its_predecessor_did_not_sign_is_refused() {
        let (mine, strange) = (Keys::first([1; 32]), Keys::first([9; 32]));
        let mut forged = mine.clone();
        forged.chain.push(strange.chain[0]);
        forged.secret = strange.secret.clone();
        assert_eq!(Keys::read(&forged.write()).unwrap_err(), NoKeys::Unvouched(1));
    }

    #[test]
    fn the_copy_that_came_further_counts_and_damage_is_not_emptiness() {
        let old = Keys::first([1; 32]);
        let new = old.rotate([2; 32]).expect("the second of many");
        let (a, b, empty) = (old.write(), new.write(), vec![0; BLOCK as usize]);
        let torn = [&b[..512], &empty[512..]].concat();
        let count = |x: &[u8], y: &[u8]| Keys::of_copies([x, y]).map(|k| k.count());
        assert_eq!(count(&a, &b), Ok(2));
        assert_eq!(count(&b, &a), Ok(2));
        assert_eq!(count(&torn, &a), Ok(1));
        assert_eq!(count(&a, &torn), Ok(1));
        assert_eq!(count(&empty, &empty), Err(NoKeys::Empty));
        assert_eq!(count(&empty, &torn), Err(NoKeys::Damaged));
        assert_eq!(count(&torn, &empty), Err(NoKeys::Damaged));
    }

    #[test]
    fn a_set_of_keys_is_finite() {
        let mut keys = Keys::first([0; 32]);
        for n in 1..MOST {
            keys = keys.rotate([u8::try_from(n).expect("MOST is small"); 32]).expect("there is room");
        }
        assert_eq!(Keys::read(&keys.write()).expect("it was just written").count(), MOST);
        assert_eq!(keys.rotate([99; 32]).unwrap_err(), TooMany);
    }
}
