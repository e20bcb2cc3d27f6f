//! The document's small values: parse once, then they cannot be wrong. No value here refers to another part of the
//! document; [`check`](super::check) does that.

mod address;
mod key;
mod name;
mod password;

pub use address::{Cidr, Family, Mac};
pub use key::DeviceKey;
pub use name::{LinkName, MemberName, ServerName, ServiceName};
pub use password::{PasswordHash, SALT};

use std::fmt;
use std::num::NonZeroU8;

/// Why a small value was refused, for the person who wrote it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {fix}")]
pub struct Malformed {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
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

/// The tag of a VLAN, 1..=4094; IEEE 802.1Q keeps 0 and 4095 for itself (table 9-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VlanId(u16);

impl VlanId {
    /// `None` for 0 and from 4095 on.
    pub fn new(id: u16) -> Option<Self> {
        (1..=4094).contains(&id).then_some(Self(id))
    }

    /// The number on the wire.
    pub fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for VlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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

/// A virtual router: VRIDs are counted per interface. RFC 9568 §5.2.3 would let each address family count for itself; here
/// they share the numbers, so that interface and VRID name one virtual router everywhere.
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

/// A real server's weight, 0..=65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Weight(pub u16);
