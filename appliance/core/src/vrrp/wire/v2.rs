//! Version 2 (RFC 3768 §5.1), with the authentication of RFC 2338 §5.3.6.
//!
//! ```text
//!  0                   1                   2                   3
//! |Version| Type  | Virtual Rtr ID|   Priority    | Count IP Addrs|
//! |   Auth Type   |   Adver Int   |          Checksum             |
//! |                      IP Addresses (1..=255)                   |
//! |                 Authentication Data (8 octets)                |
//! ```
//! `Adver Int` is in seconds. The checksum covers the whole message, authentication data included.

use std::time::Duration;

use super::{Advert, Authentication, Form, HEADER, Malformed, Packet, addresses, fold, seal, sum, unsealed};
use crate::config::types::{Family, Vrid};

/// Octets of authentication data; there without authentication, too.
pub(super) const AUTHENTICATION: usize = 8;

pub(super) fn parse(packet: &Packet<'_>, header: [u8; HEADER]) -> Result<Advert, Malformed> {
    let [_, vrid, priority, count, auth_type, interval, sum_high, sum_low] = header;
    let addresses = addresses(packet.message, Family::Ipv4, count, AUTHENTICATION)?;
    if fold(sum(packet.message, 0)) != 0 {
        return Err(Malformed::Checksum(u16::from_be_bytes([sum_high, sum_low])));
    }
    let data = &packet.message[HEADER + usize::from(count) * 4..];
    let authentication = match auth_type {
        0 => Authentication::None,
        1 => Authentication::Password(*data.first_chunk().expect("`addresses` has checked the length")),
        other => return Err(Malformed::AuthenticationType(other)),
    };
    if interval == 0 {
        return Err(Malformed::Interval);
    }
    Ok(Advert {
        vrid: Vrid::new(vrid).ok_or(Malformed::Vrid)?,
        priority,
        interval: Duration::from_secs(interval.into()),
        addresses,
        form: Form::V2 { authentication },
    })
}

pub(super) fn emit(advert: &Advert, authentication: Authentication) -> Vec<u8> {
    let (auth_type, data) = match authentication {
        Authentication::None => (0, [0; AUTHENTICATION]),
        Authentication::Password(password) => (1, password),
    };
    let seconds = u8::try_from(advert.interval.as_secs().max(1)).unwrap_or(u8::MAX);
    let mut message = unsealed(2, advert, [auth_type, seconds]);
    message.extend(data);
    seal(&mut message, 0);
    message
}
