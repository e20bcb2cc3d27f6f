//! The VRRP message: [`Advert`] ⇄ bytes. Total in both directions: any bytes parse to an advert or to the reason why
//! not, any advert has bytes.
//!
//! Decides only whether bytes are a VRRP advertisement. Whether an advertisement fits this box's settings is decided
//! in [`statistics`](super::statistics) and what follows from it in [`machine`](super::machine). The two layouts are
//! in `v2` and `v3`; wire units (seconds, centiseconds) stay in there.

mod v2;
mod v3;

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::config::VrrpVersion;
use crate::config::types::{Family, Vrid};

/// IP protocol number (RFC 9568 §5.1.1.4).
pub const PROTOCOL: u8 = 112;
/// IPv4 multicast group (RFC 9568 §5.1.1.2).
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// IPv6 multicast group (RFC 9568 §5.1.2.2).
pub const GROUP6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// The only TTL or hop limit that is accepted: the packet has not crossed a router (RFC 9568 §5.1.1.3, §5.1.2.3).
pub const TTL: u8 = 255;
/// Octets of the longest message: version 3 with 255 IPv6 addresses.
pub const MAX_MESSAGE: usize = HEADER + 255 * 16;
/// The priority of a router that leaves (RFC 9568 §5.2.4).
pub const LEAVING: u8 = 0;
/// The priority of the owner of the address (RFC 9568 §5.2.4).
pub const OWNER: u8 = 255;

/// Octets before the addresses, in both versions.
const HEADER: usize = 8;
/// The only type that exists (RFC 9568 §5.2.2).
const ADVERTISEMENT: u8 = 1;

/// One VRRP advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    /// The virtual router.
    pub vrid: Vrid,
    /// The sender's priority: [`LEAVING`], 1..=254 or [`OWNER`].
    pub priority: u8,
    /// Time between the sender's advertisements. On the wire version 2 has whole seconds 1..=255 and version 3
    /// centiseconds 1..=4095; emitting rounds down and then into that range.
    pub interval: Duration,
    /// The virtual addresses.
    pub addresses: Addresses,
    /// What only one of the versions has.
    pub form: Form,
}

/// The version of a message with what only that version has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// RFC 3768.
    V2 {
        /// RFC 2338 §5.3.6.
        authentication: Authentication,
    },
    /// RFC 9568.
    V3 {
        /// What the checksum covers.
        checksum: Coverage,
    },
}

/// Authentication of version 2.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Authentication {
    /// Type 0: none.
    None,
    /// Type 1: a simple text password, zero-padded. It is sent in clear and keeps out accidents, not attackers.
    Password([u8; 8]),
}

/// What the checksum of a version 3 message covers. Over IPv6 there is no choice: always a pseudo-header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coverage {
    /// The message alone (RFC 9568 §5.2.8).
    Message,
    /// A pseudo-header before the message, as RFC 5798 §5.2.8 was read by keepalived and others.
    PseudoHeader,
}

/// One to 255 virtual addresses of one family, in the order they were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses(Vec<IpAddr>);

impl Addresses {
    /// `None` for no address, for more than 255 and for addresses of both families.
    pub fn new<A: Into<IpAddr>>(addresses: Vec<A>) -> Option<Self> {
        let addresses: Vec<IpAddr> = addresses.into_iter().map(Into::into).collect();
        let family = Family::of(*addresses.first()?);
        let fit = addresses.len() <= 255 && addresses.iter().all(|address| Family::of(*address) == family);
        fit.then_some(Self(addresses))
    }

    /// In the order they were given.
    pub fn as_slice(&self) -> &[IpAddr] {
        &self.0
    }

    /// The family of all of them.
    pub fn family(&self) -> Family {
        Family::of(self.0[0])
    }

    /// Whether both name the same addresses; order means nothing (RFC 9568 §5.2.9).
    pub fn same_set(&self, other: &Self) -> bool {
        let sorted = |addresses: &[IpAddr]| {
            let mut sorted = addresses.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            sorted
        };
        sorted(&self.0) == sorted(&other.0)
    }

    fn count(&self) -> u8 {
        u8::try_from(self.0.len()).expect("at most 255 by construction")
    }
}

/// A message with what the IP header says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The sender's primary address; over IPv6 its link-local one.
    pub source: IpAddr,
    /// Where it was sent to, in the same family.
    pub destination: IpAddr,
    /// Time to live or hop limit as received.
    pub ttl: u8,
    /// The VRRP message.
    pub message: &'a [u8],
}

/// Why bytes are not a VRRP advertisement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The IP header is cut off, of another version, or contradicts the length of the datagram.
    #[error("the IP header is broken")]
    IpHeader,
    /// Not addressed to the group of its family.
    #[error("it was sent to {0} instead of VRRP's multicast group")]
    Destination(IpAddr),
    /// The packet has crossed a router, or claims so (RFC 9568 §7.1).
    #[error("its TTL is {0} instead of 255: it comes from beyond a router")]
    Ttl(u8),
    /// Over IPv6, from another address than a link-local one (RFC 9568 §5.1.2.1).
    #[error("it comes from {0}, which is not link-local")]
    Source(Ipv6Addr),
    /// Shorter than a header.
    #[error("its {0} octets are fewer than a VRRP header")]
    Short(usize),
    /// Neither 2 nor 3.
    #[error("VRRP version {0} is unknown")]
    Version(u8),
    /// Not an advertisement.
    #[error("VRRP type {0} is unknown")]
    Type(u8),
    /// An advertisement that lists no address (RFC 9568 §5.2.5).
    #[error("it lists no virtual address")]
    NoAddress,
    /// Too short for the addresses that it announces.
    #[error("its {have} octets are fewer than the {need} that its address count asks for")]
    Length {
        /// Octets received.
        have: usize,
        /// Octets needed.
        need: usize,
    },
    /// The checksum does not fit, neither with nor without a pseudo-header.
    #[error("its checksum {0:#06x} is wrong")]
    Checksum(u16),
    /// VRID 0.
    #[error("its VRID is 0")]
    Vrid,
    /// An advertisement interval of 0.
    #[error("its advertisement interval is 0")]
    Interval,
    /// Neither none nor a password (RFC 2338 §5.3.6).
    #[error("authentication type {0} is unknown")]
    AuthenticationType(u8),
}

impl<'a> Packet<'a> {
    /// Splits an IPv4 datagram as a raw socket delivers it: header first, options skipped, octets after the total
    /// length (link padding) cut off.
    ///
    /// # Errors
    /// [`Malformed::IpHeader`].
    pub fn from_ip(datagram: &'a [u8]) -> Result<Self, Malformed> {
        let Some(header) = datagram.first_chunk::<20>() else { return Err(Malformed::IpHeader) };
        let header_length = usize::from(header[0] & 0x0f) * 4;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] >> 4 != 4 || header_length < 20 {
            return Err(Malformed::IpHeader);
        }
        let message = datagram.get(header_length..total).ok_or(Malformed::IpHeader)?;
        Ok(Self {
            source: [header[12], header[13], header[14], header[15]].into(),
            destination: [header[16], header[17], header[18], header[19]].into(),
            ttl: header[8],
            message,
        })
    }

    /// The VRID that the message claims, for finding its instance before it is parsed.
    pub fn vrid(&self) -> Option<Vrid> {
        Vrid::new(*self.message.get(1)?)
    }
}

impl Advert {
    /// Reads an advertisement, in the order of RFC 9568 §7.1.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(packet: &Packet<'_>) -> Result<Self, Malformed> {
        if packet.ttl != TTL {
            return Err(Malformed::Ttl(packet.ttl));
        }
        if packet.destination != group(Family::of(packet.source)) {
            return Err(Malformed::Destination(packet.destination));
        }
        if let IpAddr::V6(source) = packet.source
            && !source.is_unicast_link_local()
        {
            return Err(Malformed::Source(source));
        }
        let Some(header) = packet.message.first_chunk::<HEADER>() else {
            return Err(Malformed::Short(packet.message.len()));
        };
        let version = match header[0] >> 4 {
            // Version 2 exists over IPv4 only.
            2 if packet.source.is_ipv4() => VrrpVersion::V2,
            3 => VrrpVersion::V3,
            other => return Err(Malformed::Version(other)),
        };
        if header[0] & 0x0f != ADVERTISEMENT {
            return Err(Malformed::Type(header[0] & 0x0f));
        }
        match version {
            VrrpVersion::V2 => v2::parse(packet, *header),
            VrrpVersion::V3 => v3::parse(packet, *header),
        }
    }

    /// The message as sent from `source`, of the addresses' family, to the group.
    pub fn emit(&self, source: IpAddr) -> Vec<u8> {
        match self.form {
            Form::V2 { authentication } => v2::emit(self, authentication),
            Form::V3 { checksum } => v3::emit(self, checksum, source),
        }
    }

    /// The version of the message.
    pub fn version(&self) -> VrrpVersion {
        match self.form {
            Form::V2 { .. } => VrrpVersion::V2,
            Form::V3 { .. } => VrrpVersion::V3,
        }
    }
}

impl Authentication {
    /// A password: its first 8 octets, zero-padded (RFC 2338 §5.3.6.1).
    pub fn password(text: &str) -> Self {
        let mut padded = [0; 8];
        padded.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
        Self::Password(padded)
    }
}

impl fmt::Debug for Authentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Password(_) => "Password(…)",
        })
    }
}

/// VRRP's multicast group in `family`.
pub fn group(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => GROUP.into(),
        Family::Ipv6 => GROUP6.into(),
    }
}

/// A message up to its addresses, without a checksum yet; `field` is what stands behind the count of addresses, in each
/// version something else.
fn unsealed(version: u8, advert: &Advert, field: [u8; 2]) -> Vec<u8> {
    let (vrid, count) = (advert.vrid.get(), advert.addresses.count());
    let mut message =
        vec![version << 4 | ADVERTISEMENT, vrid, advert.priority, count, field[0], field[1], 0, 0];
    for address in advert.addresses.as_slice() {
        match address {
            IpAddr::V4(address) => message.extend(address.octets()),
            IpAddr::V6(address) => message.extend(address.octets()),
        }
    }
    message
}

/// Writes the checksum of a message into it; `start` is the sum of what it covers besides.
fn seal(message: &mut [u8], start: u64) {
    let checksum = fold(sum(message, start));
    message[6..8].copy_from_slice(&checksum.to_be_bytes());
}

/// The addresses behind the header, `count` of them; `after` octets must follow them.
fn addresses(message: &[u8], family: Family, count: u8, after: usize) -> Result<Addresses, Malformed> {
    let width = match family {
        Family::Ipv4 => 4,
        Family::Ipv6 => 16,
    };
    let end = HEADER + usize::from(count) * width;
    let need = end + after;
    if message.len() < need {
        return Err(Malformed::Length { have: message.len(), need });
    }
    let octets = &message[HEADER..end];
    let addresses = match family {
        Family::Ipv4 => Addresses::new(octets.as_chunks::<4>().0.to_vec()),
        Family::Ipv6 => Addresses::new(octets.as_chunks::<16>().0.to_vec()),
    };
    addresses.ok_or(Malformed::NoAddress)
}

/// The one's complement sum of 16-bit words that RFC 1071 defines, starting from `start`; an odd octet is padded.
fn sum(octets: &[u8], start: u64) -> u64 {
    let (pairs, odd) = octets.as_chunks::<2>();
    let whole = pairs.iter().fold(start, |sum, pair| sum + u64::from(u16::from_be_bytes(*pair)));
    whole + odd.first().map_or(0, |last| u64::from(*last) << 8)
}

/// Folds a [`sum`] to the checksum; 0 for a message whose checksum field is right.
fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}
