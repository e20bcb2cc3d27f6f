//! Which addresses a box, a virtual router or a route may be given, each alone; what they are to each other is decided
//! in [`check`](super::check).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use toml::de::DeValue;

use super::problem::quoted;
use super::scalar::{parsed, text};
use super::types::{Cidr, Mac, Malformed};

/// The prefix of the MACs that virtual routers answer with (RFC 9568 §7.3, IPv4).
const VIRTUAL_ROUTER: [u8; 5] = [0x00, 0x00, 0x5e, 0x00, 0x01];

/// An address that a host can hold, without a prefix.
pub(super) fn host(value: &DeValue<'_>) -> Result<IpAddr, Malformed> {
    let text = text(value)?;
    let address = text.parse().map_err(|_| match text.parse::<Cidr>() {
        Ok(cidr) => Malformed {
            what: format!("{} has a prefix length", quoted(&text)),
            fix: format!("write \"{}\"", cidr.address()),
        },
        Err(_) => Malformed {
            what: format!("{} is not an IP address", quoted(&text)),
            fix: "write one such as \"192.168.0.1\" or \"2001:db8::1\"; names are not looked up".to_owned(),
        },
    })?;
    holdable(address)
}

/// An address that others can reach a host at without naming a link, without a prefix.
pub(super) fn reachable(value: &DeValue<'_>) -> Result<IpAddr, Malformed> {
    host(value).and_then(|address| beyond_a_link(address).map(|()| address))
}

/// A member's own address, with its subnet's prefix.
pub(super) fn own_with_prefix(value: &DeValue<'_>) -> Result<Cidr, Malformed> {
    host_with_prefix(value).and_then(|cidr| beyond_a_link(cidr.address()).map(|()| cidr))
}

/// An address that a host can hold, with its subnet's prefix.
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

/// A subnet: no bit set after its prefix.
pub(super) fn subnet(value: &DeValue<'_>) -> Result<Cidr, Malformed> {
    let cidr: Cidr = parsed(value)?;
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

/// Whether `address` is the first of `cidr`'s subnet, which names the network itself in IPv4 and any of its routers in
/// IPv6 (RFC 4291 §2.6.1). The two longest prefixes have none (RFC 3021, RFC 6164).
pub(crate) fn is_network(cidr: Cidr, address: IpAddr) -> bool {
    let longest = if address.is_ipv4() { 30 } else { 126 };
    cidr.prefix() <= longest && cidr.network().address() == address
}

/// Whether `address` is the last of `cidr`'s subnet, which is everybody's. IPv6 has no such address.
pub(crate) fn is_broadcast(cidr: Cidr, address: IpAddr) -> bool {
    let IpAddr::V4(bare) = address else { return false };
    cidr.prefix() <= 30
        && cidr.contains(address)
        && u32::from(bare).trailing_ones() >= 32 - u32::from(cidr.prefix())
}

fn holdable(address: IpAddr) -> Result<IpAddr, Malformed> {
    let wrong = match address {
        IpAddr::V4(address) => not_held(address),
        IpAddr::V6(address) => not_held6(address),
    };
    let Some(wrong) = wrong else { return Ok(address) };
    Err(Malformed {
        what: format!("{address} is {wrong}"),
        fix: "write an address that a host on the segment can hold".to_owned(),
    })
}

fn not_held(address: Ipv4Addr) -> Option<&'static str> {
    if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.octets()[0] == 0 {
        Some("unspecified")
    } else if address.octets()[0] >= 240 {
        Some("reserved")
    } else {
        None
    }
}

fn not_held6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() {
        Some("a loopback address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else if address.is_unspecified() {
        Some("unspecified")
    } else if address.to_ipv4_mapped().is_some() {
        Some("an IPv4 address in IPv6's form")
    } else {
        None
    }
}

/// A link-local address means another host on every link, so it is no address to be written down as a host's.
fn beyond_a_link(address: IpAddr) -> Result<(), Malformed> {
    match address {
        IpAddr::V6(link_local) if link_local.is_unicast_link_local() => Err(Malformed {
            what: format!("{address} is a link-local address, which every port has of its own"),
            fix: "write a global or unique local address, such as \"2001:db8::1\" or \"fd00::1\"".to_owned(),
        }),
        _ => Ok(()),
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
            let address = IpAddr::from(address);
            assert_eq!(is_network(cidr, address), network, "{cidr} {address:?}");
            assert_eq!(is_broadcast(cidr, address), broadcast, "{cidr} {address:?}");
        }
    }

    #[test]
    fn addresses_that_no_host_holds_are_refused() {
        for text in ["127.0.0.1", "224.0.0.18", "0.0.0.0", "0.1.2.3", "255.255.255.255", "240.0.0.1"]
            .into_iter()
            .chain(["::", "::1", "ff02::12", "::ffff:192.0.2.1"])
        {
            assert!(holdable(text.parse().unwrap()).is_err(), "{text}");
        }
        for text in ["169.254.1.1", "fe80::1", "fd00::1", "2001:db8::"] {
            assert!(holdable(text.parse().unwrap()).is_ok(), "{text}");
        }
        assert!(beyond_a_link("fe80::1".parse().unwrap()).is_err());
        assert!(is_network("2001:db8::/64".parse().unwrap(), "2001:db8::".parse().unwrap()));
        assert!(!is_network("2001:db8::/127".parse().unwrap(), "2001:db8::".parse().unwrap()));
        assert!(!is_broadcast(
            "2001:db8::/64".parse().unwrap(),
            "2001:db8::ffff:ffff:ffff:ffff".parse().unwrap()
        ));
    }
}
