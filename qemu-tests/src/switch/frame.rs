//! What the switch needs to know of a frame: who to whom, and which kind of traffic.
//!
//! Decodes with etherparse, never with the product's own parsers, so that both cannot be wrong in the same way.

use std::fmt;
use std::net::Ipv4Addr;

use etherparse::{NetSlice, SlicedPacket, TransportSlice};

/// The IP protocol number of VRRP (RFC 9568 §5.1.1.4).
pub const PROTOCOL_VRRP: u8 = 112;

/// An Ethernet hardware address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// True for broadcast and multicast addresses.
    pub fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A frame's addresses and kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Destination address.
    pub to: Mac,
    /// Source address.
    pub from: Mac,
    /// The rest, as far as the switch understands it.
    pub kind: Kind,
}

/// The kinds of traffic that the switch tells apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// ARP over Ethernet and IPv4.
    Arp(Arp),
    /// IPv4.
    Ipv4(Packet),
    /// Everything else.
    Other,
}

/// An ARP message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arp {
    /// 1 request, 2 reply.
    pub operation: u16,
    /// Who claims `sender_ip`.
    pub sender: Mac,
    /// The claimed address; 0.0.0.0 in a probe (RFC 5227 §1.1), which claims nothing.
    pub sender_ip: Ipv4Addr,
    /// The address asked for or answered to.
    pub target_ip: Ipv4Addr,
}

impl Arp {
    /// True for an announcement (gratuitous ARP): it names its own address as the target.
    pub fn is_announcement(&self) -> bool {
        self.sender_ip == self.target_ip
    }
}

/// What tells one IPv4 packet from all others, and its time to live, which changes at each hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Identity.
    pub id: PacketId,
    /// Time to live as seen on this wire.
    pub ttl: u8,
}

/// The identity of a packet: it stays the same while directors pass the packet on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId {
    /// Source address.
    pub source: Ipv4Addr,
    /// Destination address.
    pub destination: Ipv4Addr,
    /// IP protocol number.
    pub protocol: u8,
    /// IP identification; the harness's own clients count it up per packet.
    pub identification: u16,
    /// Source port, 0 without one.
    pub source_port: u16,
    /// Destination port, 0 without one.
    pub destination_port: u16,
    /// TCP sequence number, 0 for other protocols.
    pub sequence: u32,
}

impl PacketId {
    /// What it is sent to, apart from the address: IP protocol and destination port.
    pub fn service(&self) -> (u8, u16) {
        (self.protocol, self.destination_port)
    }
}

/// Decodes `frame`; `None` when it is shorter than an Ethernet header.
pub fn summarise(frame: &[u8]) -> Option<Summary> {
    let to = Mac(frame.get(0..6)?.try_into().expect("six bytes"));
    let from = Mac(frame.get(6..12)?.try_into().expect("six bytes"));
    frame.get(12..14)?;
    let kind =
        SlicedPacket::from_ethernet(frame).ok().and_then(|packet| kind_of(&packet)).unwrap_or(Kind::Other);
    Some(Summary { to, from, kind })
}

fn kind_of(packet: &SlicedPacket<'_>) -> Option<Kind> {
    match packet.net.as_ref()? {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            let (source_port, destination_port, sequence) = match &packet.transport {
                Some(TransportSlice::Tcp(tcp)) => {
                    (tcp.source_port(), tcp.destination_port(), tcp.sequence_number())
                }
                Some(TransportSlice::Udp(udp)) => (udp.source_port(), udp.destination_port(), 0),
                _ => (0, 0, 0),
            };
            let id = PacketId {
                source: header.source_addr(),
                destination: header.destination_addr(),
                protocol: header.protocol().0,
                identification: header.identification(),
                source_port,
                destination_port,
                sequence,
            };
            Some(Kind::Ipv4(Packet { id, ttl: header.ttl() }))
        }
        NetSlice::Arp(arp) => Some(Kind::Arp(Arp {
            operation: arp.operation().0,
            sender: Mac(arp.sender_hw_addr().try_into().ok()?),
            sender_ip: Ipv4Addr::from(<[u8; 4]>::try_from(arp.sender_protocol_addr()).ok()?),
            target_ip: Ipv4Addr::from(<[u8; 4]>::try_from(arp.target_protocol_addr()).ok()?),
        })),
        NetSlice::Ipv6(_) => None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An ARP frame, to everybody.
    pub(crate) fn arp(operation: u16, sender: Mac, sender_ip: Ipv4Addr, target_ip: Ipv4Addr) -> Vec<u8> {
        let mut frame = [&Mac::BROADCAST.0[..], &sender.0, &[8, 6, 0, 1, 8, 0, 6, 4]].concat();
        frame.extend(operation.to_be_bytes());
        frame.extend([&sender.0[..], &sender_ip.octets(), &[0; 6], &target_ip.octets()].concat());
        frame
    }

    /// A UDP frame with the given identification and time to live.
    pub(crate) fn udp(
        from: Mac,
        to: Mac,
        source: Ipv4Addr,
        destination: Ipv4Addr,
        id: u16,
        ttl: u8,
    ) -> Vec<u8> {
        let builder = etherparse::PacketBuilder::ethernet2(from.0, to.0)
            .ip(etherparse::IpHeaders::Ipv4(
                etherparse::Ipv4Header {
                    identification: id,
                    time_to_live: ttl,
                    source: source.octets(),
                    destination: destination.octets(),
                    protocol: etherparse::ip_number::UDP,
                    ..Default::default()
                },
                Default::default(),
            ))
            .udp(4000, 4001);
        let mut frame = Vec::with_capacity(builder.size(2));
        builder.write(&mut frame, b"hi").expect("a vector takes every byte");
        frame
    }

    #[test]
    fn an_announcement_is_told_from_a_question() {
        let (mac, me, other) =
            (Mac([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let kind = |frame: Vec<u8>| summarise(&frame).expect("a frame").kind;
        assert!(
            matches!(kind(arp(1, mac, me, me)), Kind::Arp(arp) if arp.is_announcement() && arp.sender == mac)
        );
        assert!(matches!(kind(arp(1, mac, me, other)), Kind::Arp(arp) if !arp.is_announcement()));
    }

    #[test]
    fn a_packet_keeps_its_identity_when_its_ttl_falls() {
        let (a, b) = (Mac([2, 0, 0, 0, 0, 1]), Mac([2, 0, 0, 0, 0, 2]));
        let (from, to) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let packet = |ttl, id| match summarise(&udp(a, b, from, to, id, ttl)).expect("a frame").kind {
            Kind::Ipv4(packet) => packet,
            other => panic!("{other:?}"),
        };
        assert_eq!(packet(64, 9).id, packet(63, 9).id);
        assert_ne!(packet(64, 9).id, packet(64, 10).id);
        assert_eq!(packet(63, 9).ttl, 63);
    }

    #[test]
    fn runts_and_strangers_do_no_harm() {
        assert_eq!(summarise(&[0; 13]), None);
        assert_eq!(summarise(&[0xff; 60]).expect("a frame").kind, Kind::Other);
    }
}
