#![expect(unsafe_code, reason = "nix can address a packet socket only from a C struct")]
//! Tells the segment where an address lives now: gratuitous ARP (RFC 5227 §3) and unsolicited neighbour advertisements
//! (RFC 4861 §7.2.6). Frames are built by a pure function and sent as they are; when and how often is the engine's to
//! say.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use halcyon_core::config::types::Mac;
use nix::libc;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, sendto, socket};

const BROADCAST: [u8; 6] = [0xff; 6];
const ETHERTYPE_ARP: [u8; 2] = [0x08, 0x06];
const ETHERTYPE_IPV6: [u8; 2] = [0x86, 0xdd];
/// Shortest Ethernet frame without its checksum (IEEE 802.3 §3.2.8); not every driver pads.
const SHORTEST: usize = 60;
const ICMPV6: u8 = 58;

/// Announces on the link with `index`, whose hardware address is `mac`, that each of `addresses` is there.
///
/// Every address is tried; the first failure is returned.
pub fn send(index: u32, mac: Mac, addresses: &[IpAddr]) -> io::Result<()> {
    // Protocol 0: the socket receives nothing.
    let fd = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)?;
    let mut result = Ok(());
    for frame in addresses.iter().flat_map(|address| frames(mac, *address)) {
        let sent = link_address(index, &frame)
            .and_then(|to| Ok(sendto(fd.as_raw_fd(), &frame, &to, MsgFlags::empty())?));
        if result.is_ok() {
            result = sent.map(drop);
        }
    }
    result
}

/// The frames that announce `address` at `mac`, ready to be sent.
///
/// IPv4 gets both forms, as stations differ in which they take: the ARP announcement, a request for the own address
/// (RFC 5227 §3), and the unasked-for reply that older ones listen to.
pub fn frames(mac: Mac, address: IpAddr) -> Vec<Vec<u8>> {
    match address {
        IpAddr::V4(address) => vec![arp(mac, address, 1), arp(mac, address, 2)],
        IpAddr::V6(address) => vec![advertisement(mac, address)],
    }
}

/// RFC 826; sender and target address are the same.
fn arp(mac: Mac, address: Ipv4Addr, operation: u8) -> Vec<u8> {
    let mut frame = ethernet(BROADCAST, mac, ETHERTYPE_ARP);
    frame.extend([0, 1, 0x08, 0x00, 6, 4, 0, operation]);
    frame.extend(mac.0);
    frame.extend(address.octets());
    // RFC 5227 §1.1: the target hardware address of a request is ignored and ought to be 0; a reply's is the sender's.
    frame.extend(if operation == 1 { [0; 6] } else { mac.0 });
    frame.extend(address.octets());
    frame.resize(SHORTEST, 0);
    frame
}

/// RFC 4861 §4.4: override flag, target link-layer address, to all nodes.
fn advertisement(mac: Mac, address: Ipv6Addr) -> Vec<u8> {
    let all_nodes = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let mut message = vec![136, 0, 0, 0, 0x20, 0, 0, 0];
    message.extend(address.octets());
    message.extend([2, 1]);
    message.extend(mac.0);

    let mut pseudo = Vec::from(address.octets());
    pseudo.extend(all_nodes.octets());
    pseudo.extend([0, 0, 0, 32, 0, 0, 0, ICMPV6]);
    pseudo.extend(&message);
    message[2..4].copy_from_slice(&checksum(&pseudo).to_be_bytes());

    let mut frame = ethernet([0x33, 0x33, 0, 0, 0, 1], mac, ETHERTYPE_IPV6);
    // Hop limit 255, or nobody believes it (RFC 4861 §7.1.2).
    frame.extend([0x60, 0, 0, 0, 0, 32, ICMPV6, 255]);
    frame.extend(address.octets());
    frame.extend(all_nodes.octets());
    frame.extend(message);
    frame
}

fn ethernet(to: [u8; 6], from: Mac, kind: [u8; 2]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(86);
    frame.extend(to);
    frame.extend(from.0);
    frame.extend(kind);
    frame
}

/// RFC 1071, over an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks_exact(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or(0)
}

/// Where `frame` goes, as `struct sockaddr_ll` (packet(7)).
pub(crate) fn link_address(index: u32, frame: &[u8]) -> io::Result<LinkAddr> {
    let mut to = [0; 8];
    to[..6].copy_from_slice(&frame[..6]);
    let raw = libc::sockaddr_ll {
        sll_family: u16::try_from(libc::AF_PACKET).expect("17 fits"),
        sll_protocol: u16::from_ne_bytes([frame[12], frame[13]]),
        sll_ifindex: i32::try_from(index).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 6,
        sll_addr: to,
    };
    let length = libc::socklen_t::try_from(size_of_val(&raw)).expect("20 fits");
    // SAFETY: `raw` is a valid `sockaddr_ll` that outlives the call, `length` is its size, and `from_raw` copies it.
    let address = unsafe { LinkAddr::from_raw((&raw const raw).cast(), Some(length)) };
    address.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))
}

#[cfg(test)]
mod tests {
    use etherparse::{EtherType, Ethernet2Slice, Icmpv6Type, NetSlice, SlicedPacket, TransportSlice};

    use super::*;

    const MAC: Mac = Mac([0x52, 0x54, 0, 0, 0, 0x0a]);
    const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 100);

    #[test]
    fn both_forms_of_gratuitous_arp_are_exact() {
        let [request, reply]: [Vec<u8>; 2] = frames(MAC, VIP.into()).try_into().unwrap();
        #[rustfmt::skip]
        let mut expected = vec![
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff,  0x52, 0x54, 0, 0, 0, 0x0a,  0x08, 0x06,
            0, 1,  0x08, 0,  6, 4,  0, 1,
            0x52, 0x54, 0, 0, 0, 0x0a,  192, 0, 2, 100,
            0, 0, 0, 0, 0, 0,  192, 0, 2, 100,
        ];
        expected.resize(60, 0);
        assert_eq!(request, expected);
        expected[21] = 2;
        expected[32..38].copy_from_slice(&MAC.0);
        assert_eq!(reply, expected);
    }

    #[test]
    fn an_independent_decoder_agrees_on_arp() {
        for (frame, operation) in frames(MAC, VIP.into()).iter().zip([1, 2]) {
            let packet = SlicedPacket::from_ethernet(frame).unwrap();
            let Some(NetSlice::Arp(arp)) = packet.net else { panic!("{frame:?} is no ARP") };
            assert_eq!(arp.operation().0, operation);
            assert_eq!(arp.sender_hw_addr(), MAC.0);
            assert_eq!(arp.sender_protocol_addr(), VIP.octets());
            assert_eq!(arp.target_protocol_addr(), VIP.octets());
        }
    }

    #[test]
    fn an_independent_decoder_agrees_on_neighbour_advertisements() {
        let vip: Ipv6Addr = "2001:db8::100".parse().unwrap();
        let [frame]: [Vec<u8>; 1] = frames(MAC, vip.into()).try_into().unwrap();
        let ethernet = Ethernet2Slice::from_slice_without_fcs(&frame).unwrap();
        assert_eq!(ethernet.ether_type(), EtherType::IPV6);
        let packet = SlicedPacket::from_ethernet(&frame).unwrap();
        let Some(NetSlice::Ipv6(ip)) = &packet.net else { panic!("no IPv6") };
        assert_eq!(ip.header().hop_limit(), 255);
        let Some(TransportSlice::Icmpv6(icmp)) = &packet.transport else { panic!("no ICMPv6") };
        assert!(icmp.is_checksum_valid(ip.header().source(), ip.header().destination()));
        let Icmpv6Type::NeighborAdvertisement(header) = icmp.icmp_type() else {
            panic!("{:?}", icmp.icmp_type())
        };
        assert!(header.r#override && !header.solicited && !header.router);
        assert_eq!(icmp.payload()[..16], vip.octets());
        assert_eq!(icmp.payload()[16..], [2, 1, 0x52, 0x54, 0, 0, 0, 0x0a]);
    }
}
