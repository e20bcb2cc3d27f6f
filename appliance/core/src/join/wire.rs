//! What the two boxes say to each other, byte by byte. Reads any bytes: what is not a message is refused, never guessed.
//!
//! ```text
//! datagram  "HALCYON-JOIN\0" | version, 8 bits | 'Q' or 'A' | nonce, 8 bytes
//! frame     length of what follows, 32 bits | kind, 8 bits | body
//! body      hello: version, 8 bits | SPAKE2's message; sealed: ciphertext; refused: text
//! sealed    kind, 8 bits | fields; each field: length, 32 bits | bytes
//! ```
//! Numbers are big-endian, texts UTF-8. An answer is as long as its query, so a first box amplifies nothing.

use std::net::IpAddr;

use crate::config::check::LARGEST;
use crate::config::types::{Cidr, Mac, MemberName};

use super::pake;

/// The version of this protocol.
const VERSION: u8 = 1;
const MAGIC: &[u8; 13] = b"HALCYON-JOIN\0";
/// Length of a datagram, bytes.
pub const DATAGRAM: usize = MAGIC.len() + 2 + 8;
/// The longest frame of a peer that has proved nothing, bytes without the length.
pub const SHORT: usize = 4096;
/// The longest frame of one that has: a document and its signature.
pub const LONG: usize = LARGEST + (64 << 10);
/// Bytes of a frame's length.
pub const LENGTH: usize = 4;
/// Most ports that a box tells of.
const PORTS: usize = 64;
/// The longest text for people, bytes.
const TEXT: usize = 1024;

/// A datagram of the discovery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// Who shows a code?
    Query([u8; 8]),
    /// The box that this comes from does; with the query's nonce.
    Answer([u8; 8]),
}

/// A frame in the open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// SPAKE2's message.
    Hello(Vec<u8>),
    /// A [`Said`], sealed.
    Sealed(Vec<u8>),
    /// The first box does not go on. Nothing proves that it was the first box who said so.
    Refused(String),
}

/// What is said under the seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Second to first: who wants to join.
    Offer(Offer),
    /// First to second: the document to take, on trial.
    Document(Given),
    /// First to second: it cannot join, and why.
    Not(String),
    /// Second to first: the document is on trial and the kernel as planned.
    Serving,
    /// Second to first: it does not work, and why.
    Failed(String),
    /// First to second: the document stays.
    Keep,
    /// Second to first: it does here, too.
    Kept,
}

/// What a second box tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// The member that it is to be, as typed there.
    pub name: Option<MemberName>,
    /// Its own address, as typed there.
    pub address: Option<Cidr>,
    /// The public half of its device key; `None`: it keeps nothing.
    pub key: Option<[u8; 32]>,
    /// Its DMI serial number.
    pub serial: Option<String>,
    /// Its ports' names and MACs; the first is the one that this was sent from.
    pub ports: Vec<(String, Mac)>,
}

/// A document on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// The member that the second box is in it.
    pub member: MemberName,
    /// Its exact bytes.
    pub document: Vec<u8>,
    /// Its provisioning signature; empty where it has none.
    pub signature: Vec<u8>,
}

/// It is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not of this protocol.
    #[error("that is not this protocol")]
    Foreign,
    /// Of another version.
    #[error(
        "the other box speaks version {0} of joining, this one version {VERSION}; run the same image on both"
    )]
    Version(u8),
    /// A field is too long, too short or not what it should be.
    #[error("a field of the message makes no sense")]
    Field,
}

impl Datagram {
    /// Its bytes.
    pub fn write(self) -> Vec<u8> {
        let (kind, nonce) = match self {
            Self::Query(nonce) => (b'Q', nonce),
            Self::Answer(nonce) => (b'A', nonce),
        };
        [&MAGIC[..], &[VERSION, kind], &nonce].concat()
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(Malformed::Foreign)?;
        match *rest {
            [VERSION, kind, ref nonce @ ..] => {
                let nonce = nonce.try_into().map_err(|_| Malformed::Field)?;
                match kind {
                    b'Q' => Ok(Self::Query(nonce)),
                    b'A' => Ok(Self::Answer(nonce)),
                    _ => Err(Malformed::Field),
                }
            }
            [version, ..] => Err(Malformed::Version(version)),
            [] => Err(Malformed::Field),
        }
    }
}

impl Frame {
    /// Its bytes, with the length before them.
    pub fn write(&self) -> Vec<u8> {
        let (kind, body) = match self {
            Self::Hello(message) => (b'H', [&[VERSION], &message[..]].concat()),
            Self::Sealed(sealed) => (b'S', sealed.clone()),
            Self::Refused(why) => (b'R', cut(why).as_bytes().to_vec()),
        };
        let length = u32::try_from(1 + body.len()).expect("no message is longer than LONG");
        [&length.to_be_bytes()[..], &[kind], &body].concat()
    }

    /// The length that a frame announces, if one of at most `longest` bytes may begin so.
    ///
    /// # Errors
    /// When it is longer, or empty.
    pub fn length(bytes: [u8; LENGTH], longest: usize) -> Result<usize, Malformed> {
        let length = usize::try_from(u32::from_be_bytes(bytes)).map_err(|_| Malformed::Field)?;
        if (1..=longest).contains(&length) { Ok(length) } else { Err(Malformed::Field) }
    }

    /// Reads what follows the length.
    ///
    /// # Errors
    /// When it is no frame.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        match *bytes {
            [b'H', VERSION, ref message @ ..] if message.len() == pake::MESSAGE => {
                Ok(Self::Hello(message.to_vec()))
            }
            [b'H', version, ..] if version != VERSION => Err(Malformed::Version(version)),
            [b'S', ref sealed @ ..] if sealed.len() > pake::SEAL => Ok(Self::Sealed(sealed.to_vec())),
            [b'R', ref why @ ..] if why.len() <= TEXT => {
                Ok(Self::Refused(String::from_utf8_lossy(why).into_owned()))
            }
            [b'H' | b'S' | b'R', ..] => Err(Malformed::Field),
            _ => Err(Malformed::Foreign),
        }
    }
}

impl Said {
    /// Its bytes.
    pub fn write(&self) -> Vec<u8> {
        match self {
            Self::Offer(offer) => {
                let text = |text: Option<String>| text.unwrap_or_default();
                let mut fields = Fields::new(b'o');
                fields.put(text(offer.name.as_ref().map(ToString::to_string)).as_bytes());
                fields.put(text(offer.address.map(|address| address.to_string())).as_bytes());
                fields.put(offer.key.as_ref().map_or(&[][..], |key| key));
                fields.put(text(offer.serial.clone()).as_bytes());
                for (name, mac) in offer.ports.iter().take(PORTS) {
                    fields.put(&[&mac.0[..], name.as_bytes()].concat());
                }
                fields.0
            }
            Self::Document(given) => {
                let mut fields = Fields::new(b'd');
                fields.put(given.member.as_str().as_bytes());
                fields.put(&given.document);
                fields.put(&given.signature);
                fields.0
            }
            Self::Not(why) => Fields::of(b'n', why),
            Self::Failed(why) => Fields::of(b'f', why),
            Self::Serving => vec![b's'],
            Self::Keep => vec![b'k'],
            Self::Kept => vec![b'K'],
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let (kind, rest) = bytes.split_first().ok_or(Malformed::Field)?;
        let mut rest = Rest(rest);
        let said = match kind {
            b'o' => Self::Offer(rest.offer()?),
            b'd' => Self::Document(Given {
                member: rest.text(TEXT)?.parse().map_err(|_| Malformed::Field)?,
                document: rest.field(LARGEST)?.to_vec(),
                signature: rest.field(LONG - LARGEST)?.to_vec(),
            }),
            b'n' => Self::Not(rest.text(TEXT)?.to_owned()),
            b'f' => Self::Failed(rest.text(TEXT)?.to_owned()),
            b's' => Self::Serving,
            b'k' => Self::Keep,
            b'K' => Self::Kept,
            _ => return Err(Malformed::Field),
        };
        if rest.0.is_empty() { Ok(said) } else { Err(Malformed::Field) }
    }
}

/// Fields with their lengths.
struct Fields(Vec<u8>);

impl Fields {
    fn new(kind: u8) -> Self {
        Self(vec![kind])
    }

    fn of(kind: u8, text: &str) -> Vec<u8> {
        let mut fields = Self::new(kind);
        fields.put(cut(text).as_bytes());
        fields.0
    }

    fn put(&mut self, field: &[u8]) {
        let length = u32::try_from(field.len()).expect("no field is longer than a document");
        self.0.extend(length.to_be_bytes());
        self.0.extend(field);
    }
}

/// Fields that are not read yet.
struct Rest<'b>(&'b [u8]);

impl<'b> Rest<'b> {
    fn field(&mut self, longest: usize) -> Result<&'b [u8], Malformed> {
        let (length, rest) = self.0.split_first_chunk().ok_or(Malformed::Field)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| Malformed::Field)?;
        if length > longest {
            return Err(Malformed::Field);
        }
        let (field, rest) = rest.split_at_checked(length).ok_or(Malformed::Field)?;
        self.0 = rest;
        Ok(field)
    }

    fn text(&mut self, longest: usize) -> Result<&'b str, Malformed> {
        std::str::from_utf8(self.field(longest)?).map_err(|_| Malformed::Field)
    }

    fn offer(&mut self) -> Result<Offer, Malformed> {
        let optional = |text: &'b str| (!text.is_empty()).then_some(text);
        let name = optional(self.text(TEXT)?).map(str::parse).transpose().map_err(|_| Malformed::Field)?;
        let address = optional(self.text(TEXT)?).map(str::parse::<Cidr>).transpose();
        let key = self.field(32)?;
        let key = if key.is_empty() { None } else { Some(key.try_into().map_err(|_| Malformed::Field)?) };
        let serial = optional(self.text(TEXT)?).map(str::to_owned);
        let mut ports = Vec::new();
        while !self.0.is_empty() {
            let (mac, name) = self.field(TEXT)?.split_first_chunk().ok_or(Malformed::Field)?;
            let name = std::str::from_utf8(name).map_err(|_| Malformed::Field)?;
            ports.push((name.to_owned(), Mac(*mac)));
            if ports.len() > PORTS {
                return Err(Malformed::Field);
            }
        }
        Ok(Offer { name, address: address.map_err(|_| Malformed::Field)?, key, serial, ports })
    }
}

/// A text for people, cut between characters.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT)]
}

impl Offer {
    /// The address alone.
    pub fn host(&self) -> Option<IpAddr> {
        self.address.map(Cidr::address)
    }
}
