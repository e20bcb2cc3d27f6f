//! The packet under examination and the frame that carries it at the moment.

use std::fmt;
use std::net::SocketAddr;

use crate::config::Protocol;
use crate::config::types::{LinkName, Mac};

/// What a client sends to a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Packet {
    /// Source address and port.
    pub client: SocketAddr,
    /// The virtual service's address and port.
    pub service: SocketAddr,
    /// Which packet of a conversation it is.
    pub segment: Segment,
    /// As the client sends it, 1..=255.
    pub ttl: u8,
}

/// A packet's place in its conversation, as far as the kernel tells the places apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// TCP, SYN alone.
    Syn,
    /// TCP in mid-stream: ACK alone, perhaps with data.
    Middle,
    /// TCP with RST.
    Reset,
    /// UDP.
    Datagram,
    /// An ICMP error that quotes a packet of the conversation, which the service had sent: "fragmentation needed", say.
    Error(Protocol),
}

/// Who put the frame on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sender {
    /// A machine that is no member, or a router.
    Client,
    /// The member with this number, for itself: an application on it is the client.
    Member(usize),
}

/// A packet on its way into a box.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub packet: Packet,
    /// The receiving box's link.
    pub link: LinkName,
    /// Source MAC.
    pub source: Mac,
    pub ttl: u8,
}

impl Segment {
    /// All segments of one transport.
    pub fn of(protocol: Protocol) -> &'static [Self] {
        match protocol {
            Protocol::Tcp => &[Self::Syn, Self::Middle, Self::Reset, Self::Error(Protocol::Tcp)],
            Protocol::Udp => &[Self::Datagram, Self::Error(Protocol::Udp)],
            Protocol::Sctp => &[],
        }
    }

    /// The transport of its conversation.
    pub fn protocol(self) -> Protocol {
        match self {
            Self::Syn | Self::Middle | Self::Reset => Protocol::Tcp,
            Self::Datagram => Protocol::Udp,
            Self::Error(protocol) => protocol,
        }
    }

    /// Its own transport; an error has none.
    pub(super) fn transport(self) -> Option<Protocol> {
        Some(self.protocol()).filter(|_| !matches!(self, Self::Error(_)))
    }

    /// The flags of a TCP segment as on the wire.
    pub(super) fn flags(self) -> Option<u8> {
        match self {
            Self::Syn => Some(0x02),
            Self::Middle => Some(0x10),
            Self::Reset => Some(0x04),
            Self::Datagram | Self::Error(_) => None,
        }
    }
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.segment {
            Segment::Syn => "SYN",
            Segment::Middle => "segment in mid-stream",
            Segment::Reset => "RST",
            Segment::Datagram => "datagram",
            Segment::Error(_) => "ICMP error about",
        };
        write!(f, "{what} {} > {}", self.client, self.service)
    }
}
