//! Advertisements over IPv6 (RFC 9568 §5.1.2, §5.2): version 3 only.

use std::net::{IpAddr, Ipv6Addr};

use super::{Advert, Checksum, Head, head, sum};
use crate::switch::frame::{Mac, PROTOCOL_VRRP};

/// ff02::12 (RFC 9568 §5.1.2.2).
const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// Where frames to [`GROUP`] go (RFC 2464 §7).
const GROUP_MAC: Mac = Mac([0x33, 0x33, 0, 0, 0, 0x12]);

/// Bytes of the IPv6 header.
const HEADER: usize = 40;

/// Decodes an IPv6 packet with a VRRP message in it, which no extension header precedes.
pub(super) fn decode(ip: &[u8], hop_limit: u8, to: Mac) -> Result<Advert, Vec<String>> {
    let length = ip.get(4..6).map_or(0, |length| usize::from(u16::from_be_bytes([length[0], length[1]])));
    let (Some(header), Some(message)) = (ip.get(..HEADER), ip.get(HEADER..HEADER + length)) else {
        return Err(vec!["the IPv6 packet is cut short".into()]);
    };
    if message.len() < 8 {
        return Err(vec![format!("{} bytes of VRRP", message.len())]);
    }
    let mut complaints = Vec::new();
    let mut check = |good: bool, complaint: String| {
        if !good {
            complaints.push(complaint);
        }
    };
    let address = |bytes: &[u8]| Ipv6Addr::from(<[u8; 16]>::try_from(bytes).expect("sixteen bytes"));
    let (source, destination) = (address(&header[8..24]), address(&header[24..40]));
    check(header[6] == PROTOCOL_VRRP, format!("next header {}", header[6]));
    check(hop_limit == 255, format!("hop limit {hop_limit}, not 255"));
    check(source.is_unicast_link_local(), format!("from {source}, which is not link-local"));
    if destination.is_multicast() {
        check(destination == GROUP, format!("to the group {destination}"));
        check(to == GROUP_MAC, format!("to the group's address, but the frame goes to {to}"));
    }
    let Head { version, count, interval } = head(message, &mut check);
    check(version == 3, format!("version {version} over IPv6"));
    check(message.len() == 8 + 16 * count, format!("{} bytes for {count} addresses", message.len()));
    let trailer = [&(message.len() as u32).to_be_bytes()[..], &[0, 0, 0, PROTOCOL_VRRP]].concat();
    check(sum(&[&header[8..40], &trailer, message]) == 0xffff, "wrong VRRP checksum".into());
    if !complaints.is_empty() {
        return Err(complaints);
    }
    Ok(Advert {
        version,
        source: source.into(),
        destination: destination.into(),
        vrid: message[1],
        priority: message[2],
        interval,
        addresses: message[8..].chunks_exact(16).map(|bytes| IpAddr::from(address(bytes))).collect(),
        password: None,
        checksum: Checksum::PseudoHeader,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn packet() -> Vec<u8> {
        let (source, vip): (Ipv6Addr, Ipv6Addr) =
            ("fe80::1".parse().expect("an address"), "fd00::9".parse().expect("an address"));
        let mut message = vec![0x31, 7, 200, 1, 0, 10, 0, 0];
        message.extend(vip.octets());
        let mut header = vec![0x60, 0, 0, 0, 0, message.len() as u8, PROTOCOL_VRRP, 255];
        header.extend([source.octets(), GROUP.octets()].concat());
        let trailer = [0, 0, 0, message.len() as u8, 0, 0, 0, PROTOCOL_VRRP];
        let check = !sum(&[&header[8..40], &trailer, &message]);
        message[6..8].copy_from_slice(&check.to_be_bytes());
        [header, message].concat()
    }

    #[test]
    fn a_sound_packet_is_read() {
        let advert = super::super::decode(&packet(), 255, GROUP_MAC).expect("a sound packet");
        assert_eq!((advert.version, advert.vrid, advert.priority), (3, 7, 200));
        assert_eq!(advert.interval, Duration::from_millis(100));
        assert_eq!(advert.addresses, ["fd00::9".parse::<IpAddr>().expect("an address")]);
    }

    #[test]
    fn every_changed_byte_of_the_message_is_complained_of() {
        for at in HEADER..packet().len() {
            let mut wrong = packet();
            wrong[at] ^= 0x40;
            assert!(decode(&wrong, 255, GROUP_MAC).is_err(), "byte {at} changed unseen");
        }
        assert!(decode(&packet(), 64, GROUP_MAC).is_err(), "hop limit");
        assert!(decode(&packet()[..60], 255, GROUP_MAC).is_err(), "cut short");
    }
}
