//! Addresses of the link and of the network: MACs, addresses with their subnets, families.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::Malformed;
use crate::config::problem::quoted;

/// A MAC address, printed as `52:54:00:00:00:0a`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// The link-local address that the kernel makes of it: fe80::/64 and the modified EUI-64 (RFC 4291 appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        let pair = |high: u8, low: u8| u16::from_be_bytes([high, low]);
        Ipv6Addr::new(0xfe80, 0, 0, 0, pair(a ^ 2, b), pair(c, 0xff), pair(0xfe, d), pair(e, f))
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

impl FromStr for Mac {
    type Err = Malformed;

    /// Six octets in hexadecimal, parted by `:` or by `-`.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed {
            what: format!("{} is not a MAC address", quoted(text)),
            fix: "write six octets in hexadecimal, such as \"52:54:00:00:00:0a\"".to_owned(),
        };
        let separator = if text.contains('-') { '-' } else { ':' };
        let mut octets = [0; 6];
        let mut parts = text.split(separator);
        for octet in &mut octets {
            let part = parts.next().ok_or_else(malformed)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(malformed());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| malformed())?;
        }
        if parts.next().is_some() {
            return Err(malformed());
        }
        Ok(Self(octets))
    }
}

/// An address with the length of its subnet's prefix, printed as `192.168.0.1/24`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// `None` when `prefix` is longer than the address.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (prefix <= Self::width(address)).then_some(Self { address, prefix })
    }

    /// The address alone: /32 or /128.
    pub fn host(address: IpAddr) -> Self {
        Self { address, prefix: Self::width(address) }
    }

    /// The address.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// Bits of the subnet's prefix.
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// The subnet: the address with all bits after the prefix cleared.
    pub fn network(self) -> Self {
        let address = match self.address {
            IpAddr::V4(a) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V4((u32::from(a) & mask).into())
            }
            IpAddr::V6(a) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                IpAddr::V6((u128::from(a) & mask).into())
            }
        };
        Self { address, prefix: self.prefix }
    }

    /// All addresses of its family: `0.0.0.0/0` or `::/0`.
    pub fn everything(self) -> Self {
        Self { address: self.address, prefix: 0 }.network()
    }

    /// Whether `other` lies in this subnet.
    pub fn contains(self, other: IpAddr) -> bool {
        self.address.is_ipv4() == other.is_ipv4()
            && Cidr { address: other, prefix: self.prefix }.network() == self.network()
    }

    fn width(address: IpAddr) -> u8 {
        if address.is_ipv4() { 32 } else { 128 }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Cidr {
    type Err = Malformed;

    /// An address and the length of its subnet's prefix, parted by `/`.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let Some((address, prefix)) = text.split_once('/') else {
            return Err(Malformed {
                what: format!("{} has no prefix length", quoted(text)),
                fix: "write the address with its subnet's prefix, such as \"192.168.0.1/24\"".to_owned(),
            });
        };
        let address: IpAddr = address.parse().map_err(|_| Malformed {
            what: format!("{} is not an IP address", quoted(address)),
            fix: "write an address with its subnet's prefix, such as \"192.168.0.1/24\"".to_owned(),
        })?;
        // u8's own parser takes a leading '+'.
        let length = prefix.bytes().all(|b| b.is_ascii_digit()).then(|| prefix.parse().ok()).flatten();
        length.and_then(|length| Self::new(address, length)).ok_or_else(|| Malformed {
            what: format!("{} is not a prefix length for {address}", quoted(prefix)),
            fix: format!("write a number from 0 to {}", Self::width(address)),
        })
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// Of which `address` is.
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_mac_is_read_in_either_notation() {
        let mac = Mac([0x52, 0x54, 0, 0, 0, 0x0a]);
        for text in ["52:54:00:00:00:0a", "52:54:00:00:00:0A", "52-54-00-00-00-0a"] {
            assert_eq!(text.parse(), Ok(mac), "{text}");
        }
    }

    #[test]
    fn what_is_no_mac_is_refused() {
        let broken = [
            "",
            "52:54:00:00:00",
            "52:54:00:00:00:0a:0b",
            "52:54:00:00:00:g0",
            "5:54:00:00:00:0a",
            "52:54:00-00:00:0a",
            "525400:00:00:0a",
            "+2:54:00:00:00:0a",
        ];
        for text in broken {
            assert!(text.parse::<Mac>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_cidr_is_refused_with_advice() {
        for (text, what, fix) in [
            ("192.168.0.1", "\"192.168.0.1\" has no prefix length", "192.168.0.1/24"),
            ("192.168.0.256/24", "\"192.168.0.256\" is not an IP address", "192.168.0.1/24"),
            ("192.168.0.1/33", "\"33\" is not a prefix length for 192.168.0.1", "0 to 32"),
            ("192.168.0.1/+8", "\"+8\" is not a prefix length", "0 to 32"),
            ("fd00::1/129", "\"129\" is not a prefix length for fd00::1", "0 to 128"),
            ("192.168.0.1/", "\"\" is not a prefix length", "0 to 32"),
        ] {
            let refused = text.parse::<Cidr>().expect_err(text);
            assert!(refused.what.starts_with(what), "{text}: {refused}");
            assert!(refused.fix.contains(fix), "{text}: {refused}");
        }
    }

    #[test]
    fn a_subnet_contains_its_own_and_no_other_family() {
        let lan: Cidr = "192.168.0.236/24".parse().unwrap();
        assert!(lan.contains("192.168.0.1".parse().unwrap()));
        assert!(!lan.contains("192.168.1.1".parse().unwrap()));
        assert!(!lan.contains("fd00::1".parse().unwrap()));
        let all: Cidr = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("255.255.255.255".parse().unwrap()));
    }

    proptest! {
        #[test]
        fn reading_a_printed_mac_gives_the_same(octets: [u8; 6]) {
            prop_assert_eq!(Mac(octets).to_string().parse(), Ok(Mac(octets)));
        }

        #[test]
        fn reading_a_printed_cidr_gives_the_same(v6: bool, bits: u128, prefix in 0u8..=128) {
            let (address, prefix): (IpAddr, u8) = if v6 {
                (std::net::Ipv6Addr::from(bits).into(), prefix)
            } else {
                (std::net::Ipv4Addr::from(bits as u32).into(), prefix % 33)
            };
            let cidr = Cidr::new(address, prefix).unwrap();
            prop_assert_eq!(cidr.to_string().parse(), Ok(cidr));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (text.parse::<Mac>(), text.parse::<Cidr>());
        }
    }
}
