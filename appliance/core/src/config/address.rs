//! Which addresses a box, a virtual router or a route may be given, each alone; what they are to each other is decided
//! in [`check`](super::check).

use std::net::{IpAddr, Ipv4Addr};

use toml::de::DeValue;

use super::problem::quoted;
use super::scalar::{parsed, text};
use super::types::{Cidr, Mac, Malformed};

/// The prefix of the MACs that virtual routers answer with (RFC 9568 §7.3, IPv4).
const VIRTUAL_ROUTER: [u8; 5] = [0x00, 0x00, 0x5e, 0x00, 0x01];

/// An IPv4 address that a host can hold, without a prefix.
pub(super) fn host(value: &DeValue<'_>) -> Result<Ipv4Addr, Malformed> {
    let text = text(value)?;
    let address = text.parse().map_err(|_| match text.parse::<Cidr>() {
        Ok(cidr) => Malformed {
            what: format!("{} has a prefix length", quoted(&text)),
            fix: format!("write \"{}\"", cidr.address()),
        },
        Err(_) => Malformed {
            what: format!("{} is not an IP address", quoted(&text)),
            fix: "write four numbers, such as \"192.168.0.1\"; names are not looked up".to_owned(),
        },
    })?;
    holdable(address)
}

/// An IPv4 address that a host can hold, with its subnet's prefix.
pub(super) fn host_with_prefix(value: &DeValue<'_>) -> Result<Cidr, Malformed> {
    let cidr: Cidr = parsed(value)?;
    let address = holdable(cidr.address())?;
    let advice = |what: &str| Malformed {
        what: format!("{address} is the {what} address of {}, which no host can hold", cidr.network()),
        fix: "write an address within the subnet, or correct the prefix length".to_owned(),
    };
    if cidr.prefix() == 0 {
        return Err(Malformed {
            what: "/0 is no subnet".to_owned(),
            fix: "write the length of the subnet's prefix, such as /24".to_owned(),
        });
    }
    if is_network(cidr, address) {
        return Err(advice("first"));
    }
    if is_broadcast(cidr, address) {
        return Err(advice("last"));
    }
    Ok(cidr)
}

/// An IPv4 subnet: no bit set after its prefix.
pub(super) fn subnet(value: &DeValue<'_>) -> Result<Cidr, Malformed> {
    let cidr: Cidr = parsed(value)?;
    if cidr.address().is_ipv6() {
        return Err(no_ipv6(cidr.address()));
    }
    if cidr.network() != cidr {
        return Err(Malformed {
            what: format!("{cidr} has bits set after its prefix"),
            fix: format!("write \"{}\", or correct the prefix length", cidr.network()),
        });
    }
    Ok(cidr)
}

/// A MAC that one port can have.
pub(super) fn port_mac(value: &DeValue<'_>) -> Result<Mac, Malformed> {
    let mac: Mac = parsed(value)?;
    let wrong = if mac.0[0] & 1 != 0 {
        "is a group's address, not a port's"
    } else if mac.0 == [0; 6] {
        "is no port's address"
    } else if mac.0.starts_with(&VIRTUAL_ROUTER) {
        "is a virtual router's address, not a port's"
    } else {
        return Ok(mac);
    };
    Err(Malformed {
        what: format!("{mac} {wrong}"),
        fix: "write the MAC that is printed on the port or shown by the console".to_owned(),
    })
}

/// Whether `address` is the first of `cidr`'s subnet, which names the network itself. /31 and /32 have none
/// (RFC 3021).
pub(super) fn is_network(cidr: Cidr, address: Ipv4Addr) -> bool {
    cidr.prefix() <= 30 && cidr.network().address() == IpAddr::V4(address)
}

/// Whether `address` is the last of `cidr`'s subnet, which is everybody's.
pub(super) fn is_broadcast(cidr: Cidr, address: Ipv4Addr) -> bool {
    cidr.prefix() <= 30
        && cidr.contains(address.into())
        && u32::from(address).trailing_ones() >= 32 - u32::from(cidr.prefix())
}

fn holdable(address: IpAddr) -> Result<Ipv4Addr, Malformed> {
    let IpAddr::V4(address) = address else { return Err(no_ipv6(address)) };
    let wrong = if address.is_loopback() {
        "a loopback address"
    } else if address.is_multicast() {
        "a multicast address"
    } else if address.octets()[0] == 0 {
        "unspecified"
    } else if address.octets()[0] >= 240 {
        "reserved"
    } else {
        return Ok(address);
    };
    Err(Malformed {
        what: format!("{address} is {wrong}"),
        fix: "write an address that a host on the segment can hold".to_owned(),
    })
}

fn no_ipv6(address: IpAddr) -> Malformed {
    Malformed {
        what: format!("{address} is an IPv6 address: not in this version"),
        fix: "remove it, or write an IPv4 address".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_subnet_are_nobodys() {
        for (cidr, address, network, broadcast) in [
            ("192.168.0.1/24", [192, 168, 0, 0], true, false),
            ("192.168.0.1/24", [192, 168, 0, 255], false, true),
            ("192.168.0.1/24", [192, 168, 1, 255], false, false),
            ("192.168.0.1/23", [192, 168, 0, 255], false, false),
            ("10.0.0.0/31", [10, 0, 0, 0], false, false),
            ("10.0.0.0/31", [10, 0, 0, 1], false, false),
            ("10.0.0.1/32", [10, 0, 0, 1], false, false),
            ("10.0.0.1/30", [10, 0, 0, 3], false, true),
        ] {
            let cidr: Cidr = cidr.parse().unwrap();
            assert_eq!(is_network(cidr, address.into()), network, "{cidr} {address:?}");
            assert_eq!(is_broadcast(cidr, address.into()), broadcast, "{cidr} {address:?}");
        }
    }

    #[test]
    fn addresses_that_no_host_holds_are_refused() {
        for text in
            ["127.0.0.1", "224.0.0.18", "0.0.0.0", "0.1.2.3", "255.255.255.255", "240.0.0.1", "fd00::1"]
        {
            assert!(holdable(text.parse().unwrap()).is_err(), "{text}");
        }
        assert!(holdable("169.254.1.1".parse().unwrap()).is_ok());
    }
}
