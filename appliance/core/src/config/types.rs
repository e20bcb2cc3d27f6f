//! The document's small values: parse once, then they cannot be wrong. No value here refers to another part of the
//! document; [`check`](super::check) does that.

use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::str::FromStr;

/// A MAC address, printed as `52:54:00:00:00:0a`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

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

    /// Whether `other` lies in this subnet.
    pub fn contains(self, other: IpAddr) -> bool {
        self.address.is_ipv4() == other.is_ipv4()
            && Cidr { address: other, prefix: self.prefix }.network() == self.network()
    }

    fn width(address: IpAddr) -> u8 {
        if address.is_ipv4() { 32 } else { 128 }
    }
}

/// A virtual router id, 1..=255 (RFC 9568 §5.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vrid(pub NonZeroU8);

impl Vrid {
    /// `None` for 0.
    pub fn new(id: u8) -> Option<Self> {
        NonZeroU8::new(id).map(Self)
    }

    /// The number on the wire.
    pub fn get(self) -> u8 {
        self.0.get()
    }
}

/// A VRRP priority that a configuration can hold, 1..=254. 0 (leaving) and 255 (address owner) exist on the wire only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(u8);

impl Priority {
    /// `None` for 0 and 255.
    pub fn new(priority: u8) -> Option<Self> {
        (1..=254).contains(&priority).then_some(Self(priority))
    }

    /// The number on the wire.
    pub fn get(self) -> u8 {
        self.0
    }
}

/// A real server's weight, 0..=65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(pub u16);

/// A virtual router: VRIDs are counted per interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId {
    /// Where it runs.
    pub interface: LinkName,
    /// Its VRID.
    pub vrid: Vrid,
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.interface, self.vrid.get())
    }
}

/// Why a small value was refused; a sentence for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                let ok = !text.is_empty()
                    && text.len() <= $max
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                    && !text.starts_with('-')
                    && !text.ends_with('-');
                if ok {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Malformed(format!(
                        "{:?} is not {}; use 1 to {} of a-z, 0-9 and '-', not at either end", text, $what, $max
                    )))
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

name!(
    /// A member's name: a host name label (RFC 1123 §2.1).
    MemberName, 63, "a member's name"
);
name!(
    /// A segment's logical name, which the kernel's link takes: at most 15 characters (`IFNAMSIZ` in
    /// `include/uapi/linux/if.h`).
    LinkName, 15, "an interface's name"
);
name!(
    /// A service's name.
    ServiceName, 63, "a service's name"
);

/// A real server's name: a member's name, or the address (with port, where it differs) of one that is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName(pub String);

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
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
