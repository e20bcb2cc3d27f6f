//! From the code to a channel: SPAKE2 (RFC 9382's predecessor as in the crate `spake2`: Ed25519's group, SHA-256), then
//! HKDF-SHA-256 (RFC 5869) to a key for each direction, then ChaCha20-Poly1305 (RFC 8439) with a counter as nonce.
//!
//! SPAKE2's key covers the code, both roles and both messages; the keys that follow from it cover the version of this
//! protocol. So whoever changes a byte of either greeting ends up with other keys, and nothing opens.

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng as _;
use chacha20poly1305::aead::{Aead as _, KeyInit as _};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use spake2::{Ed25519Group, Identity, Password, Spake2};

use super::code::Code;

/// Which of the two this box is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It shows the code.
    First,
    /// The code was typed here.
    Second,
}

/// Length of SPAKE2's message, bytes.
pub const MESSAGE: usize = 33;
/// What a seal adds, bytes.
pub const SEAL: usize = 16;

/// A greeting that was said and not yet answered.
#[derive(Debug)]
pub struct Greeting {
    role: Role,
    state: Spake2<Ed25519Group>,
}

/// What both share after the greetings, if both know the code.
pub struct Channel {
    ours: ChaCha20Poly1305,
    theirs: ChaCha20Poly1305,
    sent: u64,
    received: u64,
}

/// What came does not open: another code, another version, or somebody between the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it does not open")]
pub struct Closed;

impl Greeting {
    /// Begins; the message goes to the peer. `seed` must come from the kernel's generator and never be used again.
    pub fn begin(role: Role, code: &Code, seed: [u8; 32]) -> (Self, Vec<u8>) {
        let password = Password::new(code.password());
        let second = Identity::new(b"halcyon join 1 second");
        let first = Identity::new(b"halcyon join 1 first");
        let chance = ChaCha20Rng::from_seed(seed);
        let (state, message) = match role {
            Role::Second => Spake2::<Ed25519Group>::start_a_with_rng(&password, &second, &first, chance),
            Role::First => Spake2::<Ed25519Group>::start_b_with_rng(&password, &second, &first, chance),
        };
        (Self { role, state }, message)
    }

    /// Takes the peer's message.
    ///
    /// # Errors
    /// When it is none. That it was made with another code shows only when something sealed is opened.
    pub fn finish(self, message: &[u8]) -> Result<Channel, Closed> {
        let shared = self.state.finish(message).map_err(|_| Closed)?;
        let keys = Hkdf::<Sha256>::new(Some(b"halcyon join 1"), &shared);
        let key = |to: &[u8]| {
            let mut key = Key::default();
            keys.expand(to, &mut key).expect("32 bytes are less than 255 hashes");
            ChaCha20Poly1305::new(&key)
        };
        let (to_first, to_second) = (key(b"to first"), key(b"to second"));
        let (ours, theirs) = match self.role {
            Role::First => (to_second, to_first),
            Role::Second => (to_first, to_second),
        };
        Ok(Channel { ours, theirs, sent: 0, received: 0 })
    }
}

impl Channel {
    /// Seals what the peer is to be told.
    pub fn seal(&mut self, plain: &[u8]) -> Vec<u8> {
        let sealed = self.ours.encrypt(&nonce(self.sent), plain);
        self.sent += 1;
        sealed.expect("no message reaches the cipher's limit of 256 GiB")
    }

    /// Opens what the peer sealed, each message once and in order.
    ///
    /// # Errors
    /// When it is not the peer's next message.
    pub fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, Closed> {
        let plain = self.theirs.decrypt(&nonce(self.received), sealed).map_err(|_| Closed)?;
        self.received += 1;
        Ok(plain)
    }
}

/// The message's number; a channel ends long before 2^64 of them.
fn nonce(number: u64) -> Nonce {
    let mut nonce = Nonce::default();
    nonce[..8].copy_from_slice(&number.to_le_bytes());
    nonce
}

/// Without the keys.
impl std::fmt::Debug for Channel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Channel(sent {}, received {})", self.sent, self.received)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn channels(first: &Code, second: &Code) -> (Channel, Channel) {
        let (a, from_a) = Greeting::begin(Role::First, first, [1; 32]);
        let (b, from_b) = Greeting::begin(Role::Second, second, [2; 32]);
        assert_eq!((from_a.len(), from_b.len()), (MESSAGE, MESSAGE));
        (a.finish(&from_b).unwrap(), b.finish(&from_a).unwrap())
    }

    #[test]
    fn the_same_code_makes_a_channel_and_another_one_none() {
        let code = Code::of(&[7; 72]);
        let (mut a, mut b) = channels(&code, &code);
        for text in [&b"one"[..], b"", b"three"] {
            let sealed = a.seal(text);
            assert_eq!(sealed.len(), text.len() + SEAL);
            assert_eq!(b.open(&sealed).unwrap(), text);
            let back = b.seal(text);
            assert_eq!(a.open(&back).unwrap(), text);
        }
        let (mut a, mut b) = channels(&code, &Code::of(&[8; 72]));
        let sealed = b.seal(b"offer");
        assert_eq!(a.open(&sealed), Err(Closed));
        let sealed = a.seal(b"document");
        assert_eq!(b.open(&sealed), Err(Closed));
    }

    #[test]
    fn nothing_opens_twice_out_of_order_changed_or_at_its_own_sender() {
        let code = Code::of(&[7; 72]);
        let (mut a, mut b) = channels(&code, &code);
        let (one, two) = (a.seal(b"one"), a.seal(b"two"));
        assert_eq!(b.open(&two), Err(Closed));
        assert_eq!(b.open(&one).unwrap(), b"one");
        assert_eq!(b.open(&one), Err(Closed));
        assert_eq!(a.open(&one), Err(Closed));
        for at in 0..two.len() {
            let mut changed = two.clone();
            changed[at] ^= 1;
            assert_eq!(b.open(&changed), Err(Closed));
        }
        assert_eq!(b.open(&two).unwrap(), b"two");
    }

    #[test]
    fn a_changed_greeting_leaves_no_common_key_and_a_broken_one_is_refused() {
        let code = Code::of(&[7; 72]);
        let (_, from_a) = Greeting::begin(Role::First, &code, [1; 32]);
        let mirrored = Greeting::begin(Role::Second, &code, [2; 32]).1;
        for message in [&b""[..], &from_a[..32], &mirrored, &[0xff; 33]] {
            let (b, _) = Greeting::begin(Role::Second, &code, [2; 32]);
            assert!(b.finish(message).is_err(), "{message:?}");
        }
    }
}
