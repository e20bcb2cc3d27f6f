//! Version 3 (RFC 9568 §5.1).
//!
//! ```text
//!  0                   1                   2                   3
//! |Version| Type  | Virtual Rtr ID|   Priority    |IPvX Addr Count|
//! |Reserve| Max Advertise Interval|          Checksum             |
//! |                      IP Addresses (1..=255)                   |
//! ```
//! `Max Advertise Interval` is in centiseconds. RFC 9568 §5.2.8 wants a pseudo-header in the checksum for IPv6 only;
//! RFC 5798 could be read otherwise, and many routers do include one for IPv4. Both are accepted there.

use std::net::IpAddr;
use std::time::Duration;

use super::{Advert, Coverage, Form, GROUP, GROUP6, HEADER, Malformed, PROTOCOL, Packet};
use super::{addresses, fold, seal, sum, unsealed};
use crate::config::types::{Family, Vrid};

/// The longest interval that 12 bits hold, in centiseconds.
const MAX_INTERVAL: u16 = 0x0fff;

pub(super) fn parse(packet: &Packet<'_>, header: [u8; HEADER]) -> Result<Advert, Malformed> {
    let [_, vrid, priority, count, interval_high, interval_low, sum_high, sum_low] = header;
    let family = Family::of(packet.source);
    let addresses = addresses(packet.message, family, count, 0)?;
    let checksum = if family == Family::Ipv4 && fold(sum(packet.message, 0)) == 0 {
        Coverage::Message
    } else if fold(sum(packet.message, pseudo_header(packet.source, packet.message.len()))) == 0 {
        Coverage::PseudoHeader
    } else {
        return Err(Malformed::Checksum(u16::from_be_bytes([sum_high, sum_low])));
    };
    // The reserved bits must be ignored on reception (RFC 9568 §5.2.6).
    let centiseconds = u16::from_be_bytes([interval_high, interval_low]) & MAX_INTERVAL;
    if centiseconds == 0 {
        return Err(Malformed::Interval);
    }
    Ok(Advert {
        vrid: Vrid::new(vrid).ok_or(Malformed::Vrid)?,
        priority,
        interval: Duration::from_millis(u64::from(centiseconds) * 10),
        addresses,
        form: Form::V3 { checksum },
    })
}

pub(super) fn emit(advert: &Advert, checksum: Coverage, source: IpAddr) -> Vec<u8> {
    let centiseconds = u16::try_from(advert.interval.as_millis() / 10).unwrap_or(MAX_INTERVAL);
    let mut message = unsealed(3, advert, centiseconds.clamp(1, MAX_INTERVAL).to_be_bytes());
    let start = match (checksum, source) {
        (Coverage::Message, IpAddr::V4(_)) => 0,
        _ => pseudo_header(source, message.len()),
    };
    seal(&mut message, start);
    message
}

/// The sum of the pseudo-header: source, destination, zero and protocol, length of the message (RFC 793 §3.1, RFC 8200
/// §8.1, whose longer fields add up to the same).
fn pseudo_header(source: IpAddr, length: usize) -> u64 {
    let addresses = match source {
        IpAddr::V4(source) => sum(&GROUP.octets(), sum(&source.octets(), 0)),
        IpAddr::V6(source) => sum(&GROUP6.octets(), sum(&source.octets(), 0)),
    };
    addresses + u64::from(PROTOCOL) + length as u64
}
