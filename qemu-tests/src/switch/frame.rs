//! What the switch needs to know of a frame: who to whom, and which kind of traffic.
//!
//! Decodes with etherparse, never with the product's own parsers, so that both cannot be wrong in the same way.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

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
    /// A neighbour advertisement (RFC 4861 §4.4), which is IPv6's ARP reply and announcement.
    Neighbour(Packet, NeighbourAdvert),
    /// IPv4 and IPv6.
    Ip(Packet),
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

/// A neighbour advertisement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeighbourAdvert {
    /// Who claims `target`.
    pub mac: Mac,
    /// The claimed address.
    pub target: Ipv6Addr,
    /// Somebody asked for it; an announcement is unsolicited.
    pub solicited: bool,
}

/// What tells one IP packet from all others, and its time to live, which changes at each hop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// Identity.
    pub id: PacketId,
    /// Time to live (IPv6: hop limit) as seen on this wire.
    pub ttl: u8,
}

/// The identity of a packet: it stays the same while directors pass the packet on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// IPv4's identification or IPv6's flow label; the harness's own clients count it up per packet.
    pub identification: u32,
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

    /// Where it comes from: IP protocol, address and port.
    pub fn sender(&self) -> (u8, IpAddr, u16) {
        (self.protocol, self.source, self.source_port)
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
    let (source, destination, protocol, identification, ttl) = match packet.net.as_ref()? {
        NetSlice::Ipv4(ip) => {
            let header = ip.header();
            let (source, destination) = (header.source_addr().into(), header.destination_addr().into());
            (source, destination, header.protocol().0, u32::from(header.identification()), header.ttl())
        }
        NetSlice::Ipv6(ip) => {
            let header = ip.header();
            let (source, destination) = (header.source_addr().into(), header.destination_addr().into());
            (source, destination, ip.payload().ip_number.0, header.flow_label().value(), header.hop_limit())
        }
        NetSlice::Arp(arp) => {
            return Some(Kind::Arp(Arp {
                operation: arp.operation().0,
                sender: Mac(arp.sender_hw_addr().try_into().ok()?),
                sender_ip: Ipv4Addr::from(<[u8; 4]>::try_from(arp.sender_protocol_addr()).ok()?),
                target_ip: Ipv4Addr::from(<[u8; 4]>::try_from(arp.target_protocol_addr()).ok()?),
            }));
        }
    };
    let (source_port, destination_port, sequence) = match &packet.transport {
        Some(TransportSlice::Tcp(tcp)) => (tcp.source_port(), tcp.destination_port(), tcp.sequence_number()),
        Some(TransportSlice::Udp(udp)) => (udp.source_port(), udp.destination_port(), 0),
        _ => (0, 0, 0),
    };
    let id =
        PacketId { source, destination, protocol, identification, source_port, destination_port, sequence };
    let whole = Packet { id, ttl };
    let advert = match &packet.transport {
        Some(TransportSlice::Icmpv6(message)) => neighbour_advert(message.slice()),
        _ => None,
    };
    Some(match advert {
        Some(advert) => Kind::Neighbour(whole, advert),
        None => Kind::Ip(whole),
    })
}

/// RFC 4861 §4.4 and §4.6.1; `None` for another message, and for one that names no hardware address.
fn neighbour_advert(message: &[u8]) -> Option<NeighbourAdvert> {
    const SOLICITED: u8 = 0x40;
    if *message.first()? != 136 {
        return None;
    }
    let target = Ipv6Addr::from(<[u8; 16]>::try_from(message.get(8..24)?).ok()?);
    let mut options = message.get(24..)?;
    // Type, length in units of eight bytes, content.
    while let [kind, length, ..] = *options {
        let length = usize::from(length) * 8;
        if kind == 2 && length == 8 {
            let mac = Mac(options.get(2..8)?.try_into().ok()?);
            return Some(NeighbourAdvert { mac, target, solicited: message[4] & SOLICITED != 0 });
        }
        options = options.get(length.max(8)..)?;
    }
    None
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
            Kind::Ip(packet) => packet,
            other => panic!("{other:?}"),
        };
        assert_eq!(packet(64, 9).id, packet(63, 9).id);
        assert_ne!(packet(64, 9).id, packet(64, 10).id);
        assert_eq!(packet(63, 9).ttl, 63);
    }

    /// A neighbour advertisement to all nodes, with its flags.
    pub(crate) fn advert(mac: Mac, target: Ipv6Addr, flags: u8) -> Vec<u8> {
        let all_nodes: Ipv6Addr = "ff02::1".parse().expect("an address");
        let message = [
            &[136, 0, 0, 0, flags, 0, 0, 0][..],
            &target.octets(),
            &[14, 1, 1, 2, 3, 4, 5, 6],
            &[2, 1],
            &mac.0,
        ]
        .concat();
        let head = [0x60, 0, 0, 0, 0, message.len() as u8, 58, 255];
        let addresses = [target.octets(), all_nodes.octets()].concat();
        [&[0x33, 0x33, 0, 0, 0, 1][..], &mac.0, &[0x86, 0xdd], &head, &addresses, &message].concat()
    }

    #[test]
    fn an_ipv6_announcement_is_told_from_an_answer() {
        let (mac, target) = (Mac([2, 0, 0, 0, 0, 1]), "fd00::9".parse().expect("an address"));
        for (flags, solicited) in [(0x20, false), (0x60, true)] {
            let kind = summarise(&advert(mac, target, flags)).expect("a frame").kind;
            let Kind::Neighbour(packet, seen) = kind else { panic!("{kind:?}") };
            assert_eq!(seen, NeighbourAdvert { mac, target, solicited });
            assert_eq!((packet.id.protocol, packet.ttl), (58, 255));
        }
    }

    #[test]
    fn an_ipv6_packet_is_told_by_its_flow_label() {
        let (mac, ip) = (Mac([2, 0, 0, 0, 0, 1]), |last: u16| Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
        let frame = |label: u32, hop_limit| {
            let header = etherparse::Ipv6Header {
                flow_label: etherparse::Ipv6FlowLabel::try_new(label).expect("20 bits"),
                hop_limit,
                source: ip(1).octets(),
                destination: ip(2).octets(),
                next_header: etherparse::ip_number::UDP,
                ..Default::default()
            };
            let ip = etherparse::IpHeaders::Ipv6(header, Default::default());
            let builder = etherparse::PacketBuilder::ethernet2(mac.0, mac.0).ip(ip).udp(4000, 4001);
            let mut frame = Vec::with_capacity(builder.size(2));
            builder.write(&mut frame, b"hi").expect("a vector takes every byte");
            match summarise(&frame).expect("a frame").kind {
                Kind::Ip(packet) => packet,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(frame(0xf_fff0, 64).id, frame(0xf_fff0, 63).id);
        assert_ne!(frame(0xf_fff0, 64).id, frame(0xf_fff1, 64).id);
        assert_eq!((frame(1, 63).ttl, frame(1, 63).id.service()), (63, (17, 4001)));
    }

    #[test]
    fn runts_and_strangers_do_no_harm() {
        assert_eq!(summarise(&[0; 13]), None);
        assert_eq!(summarise(&[0xff; 60]).expect("a frame").kind, Kind::Other);
    }
}
