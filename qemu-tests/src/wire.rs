//! An independent reading of VRRP advertisements (RFC 9568, RFC 3768, RFC 2338 §5.3.6), to judge the product by.
//!
//! Shares no code with the product's parser, and complains of everything at once instead of stopping at the first fault.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::switch::frame::{Mac, PROTOCOL_VRRP};

mod ipv6;

/// 224.0.0.18 (RFC 9568 §5.1.1.2).
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);

/// Where frames to [`GROUP`] go (RFC 1112 §6.4).
const GROUP_MAC: Mac = Mac([0x01, 0, 0x5e, 0, 0, 0x12]);

/// What an advertisement says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advert {
    /// 2 or 3.
    pub version: u8,
    /// Who sent it.
    pub source: IpAddr,
    /// To whom: the group, or one member with unicast.
    pub destination: IpAddr,
    /// Virtual router identifier.
    pub vrid: u8,
    /// 0 says that the master resigns.
    pub priority: u8,
    /// Between two advertisements.
    pub interval: Duration,
    /// The virtual addresses.
    pub addresses: Vec<IpAddr>,
    /// Version 2 with a simple password.
    pub password: Option<String>,
    /// Which bytes the checksum covers.
    pub checksum: Checksum,
}

/// What the checksum covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The VRRP message (version 2; RFC 9568 §5.2.8 for version 3 over IPv4).
    Message,
    /// The message and a pseudo-header (RFC 5798 §5.2.8 as others read it; always over IPv6, RFC 9568 §5.2.8).
    PseudoHeader,
}

/// Decodes an IP packet with a VRRP message in it.
///
/// # Errors
/// Every complaint about it, in words.
pub fn decode(ip: &[u8], ttl: u8, to: Mac) -> Result<Advert, Vec<String>> {
    match ip.first().map(|byte| byte >> 4) {
        Some(6) => ipv6::decode(ip, ttl, to),
        _ => decode_ipv4(ip, ttl, to),
    }
}

fn decode_ipv4(ip: &[u8], ttl: u8, to: Mac) -> Result<Advert, Vec<String>> {
    let mut complaints = Vec::new();
    let header_length = ip.first().map_or(0, |byte| usize::from(byte & 0x0f) * 4);
    let total = ip.get(2..4).map_or(0, |length| usize::from(u16::from_be_bytes([length[0], length[1]])));
    let (Some(header), Some(message)) = (ip.get(..header_length), ip.get(header_length..total)) else {
        return Err(vec!["the IPv4 packet is cut short".into()]);
    };
    if header_length < 20 || message.len() < 8 {
        return Err(vec![format!("{} bytes of VRRP behind {header_length} of IPv4", message.len())]);
    }
    let mut check = |good: bool, complaint: String| {
        if !good {
            complaints.push(complaint);
        }
    };
    let address = |at: usize| Ipv4Addr::new(header[at], header[at + 1], header[at + 2], header[at + 3]);
    let (source, destination) = (address(12), address(16));
    check(header[9] == PROTOCOL_VRRP, format!("IP protocol {}", header[9]));
    check(ttl == 255, format!("TTL {ttl}, not 255"));
    check(sum(&[header]) == 0xffff, "wrong IPv4 header checksum".into());
    if destination.is_multicast() {
        check(destination == GROUP, format!("to the group {destination}"));
        check(to == GROUP_MAC, format!("to the group's address, but the frame goes to {to}"));
    }

    let Head { version, count, interval } = head(message, &mut check);
    check(version == 2 || version == 3, format!("version {version}"));
    let trailer = if version == 2 { 8 } else { 0 };
    check(
        message.len() == 8 + 4 * count + trailer,
        format!("{} bytes for {count} addresses in version {version}", message.len()),
    );

    let length = (message.len() as u16).to_be_bytes();
    let pseudo = [&header[12..20], &[0, PROTOCOL_VRRP], &length].concat();
    let checksum = if sum(&[message]) == 0xffff { Checksum::Message } else { Checksum::PseudoHeader };
    if checksum == Checksum::PseudoHeader {
        check(version == 3 && sum(&[&pseudo, message]) == 0xffff, "wrong VRRP checksum".into());
    }
    if !complaints.is_empty() {
        return Err(complaints);
    }
    let addresses = message[8..8 + 4 * count].chunks_exact(4);
    Ok(Advert {
        version,
        source: source.into(),
        destination: destination.into(),
        vrid: message[1],
        priority: message[2],
        interval,
        addresses: addresses.map(|four| IpAddr::from([four[0], four[1], four[2], four[3]])).collect(),
        password: (version == 2 && message[4] == 1).then(|| {
            let text = &message[message.len() - 8..];
            String::from_utf8_lossy(text).trim_end_matches('\0').to_owned()
        }),
        checksum,
    })
}

/// What the first bytes of a VRRP message say whichever family carries it.
struct Head {
    version: u8,
    count: usize,
    interval: Duration,
}

fn head(message: &[u8], check: &mut impl FnMut(bool, String)) -> Head {
    let (version, kind) = (message[0] >> 4, message[0] & 0x0f);
    check(kind == 1, format!("type {kind}, not 1"));
    check(message[1] != 0, "VRID 0".into());
    let count = usize::from(message[3]);
    check(count > 0, "no address".into());
    let interval = if version == 2 {
        check(message[4] <= 1, format!("authentication type {}", message[4]));
        Duration::from_secs(u64::from(message[5]))
    } else {
        check(message[4] >> 4 == 0, format!("reserved bits {:x}", message[4] >> 4));
        Duration::from_millis(10 * u64::from(u16::from_be_bytes([message[4] & 0x0f, message[5]])))
    };
    check(!interval.is_zero(), "interval 0".into());
    Head { version, count, interval }
}

/// The ones' complement sum of 16-bit words (RFC 1071), not inverted; each part but the last has even length.
fn sum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let total: u32 = words
        .map(|word| u32::from(u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or_default()])))
        .sum();
    let folded = (total & 0xffff) + (total >> 16);
    ((folded & 0xffff) + (folded >> 16)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An advertisement as keepalived 2.2.7 puts it on the wire: VRID 51, priority 100, 1 s, PASS "1111".
    fn keepalived_v2() -> Vec<u8> {
        let mut message = vec![0x21, 51, 100, 1, 1, 1, 0, 0, 192, 168, 0, 239];
        message.extend(b"1111\0\0\0\0");
        finish(message, false)
    }

    fn v3(pseudo: bool) -> Vec<u8> {
        finish(vec![0x31, 7, 200, 1, 0, 10, 0, 0, 10, 1, 2, 3], pseudo)
    }

    fn finish(mut message: Vec<u8>, pseudo: bool) -> Vec<u8> {
        let mut header = vec![0x45, 0xc0, 0, 20 + message.len() as u8, 0, 1, 0, 0, 255, 112, 0, 0];
        header.extend([192, 168, 0, 236, 224, 0, 0, 18]);
        let check = !sum(&[&header]);
        header[10..12].copy_from_slice(&check.to_be_bytes());
        let with = [&header[12..20], &[0, 112, 0, message.len() as u8]].concat();
        let check = if pseudo { !sum(&[&with, &message]) } else { !sum(&[&message]) };
        message[6..8].copy_from_slice(&check.to_be_bytes());
        [header, message].concat()
    }

    #[test]
    fn both_versions_and_both_checksums_are_read() {
        let two = decode(&keepalived_v2(), 255, GROUP_MAC).expect("a sound packet");
        assert_eq!((two.version, two.vrid, two.priority, two.interval), (2, 51, 100, Duration::from_secs(1)));
        assert_eq!((two.password.as_deref(), two.checksum), (Some("1111"), Checksum::Message));
        let three = decode(&v3(false), 255, GROUP_MAC).expect("a sound packet");
        assert_eq!((three.interval, three.checksum), (Duration::from_millis(100), Checksum::Message));
        assert_eq!(decode(&v3(true), 255, GROUP_MAC).expect("sound").checksum, Checksum::PseudoHeader);
    }

    #[test]
    fn every_changed_byte_of_the_message_is_complained_of() {
        for packet in [keepalived_v2(), v3(false), v3(true)] {
            for at in 20..packet.len() {
                let mut wrong = packet.clone();
                wrong[at] ^= 0x40;
                assert!(decode(&wrong, 255, GROUP_MAC).is_err(), "byte {at} changed unseen");
            }
        }
    }

    #[test]
    fn all_complaints_come_at_once() {
        let mut packet = v3(false);
        packet[21] = 0;
        let complaints = decode(&packet, 64, GROUP_MAC).expect_err("three faults");
        assert_eq!(complaints, ["TTL 64, not 255", "VRID 0", "wrong VRRP checksum"]);
        assert!(decode(&packet[..30], 255, GROUP_MAC).is_err(), "cut short");
        assert!(decode(&[], 255, GROUP_MAC).is_err(), "empty");
    }
}
