//! The complete kernel state that Halcyon owns on a box, as ordered values: what the planner wants and what the kernel
//! edge observes are the same type, so a difference is an ordinary comparison. Nothing here is computed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::config::types::{Cidr, LinkName};
use crate::config::{Device, Forwarding, Protocol};

use super::rules::Rules;

/// Everything that Halcyon puts into the kernel of one box.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelState {
    /// Links by the name they carry.
    pub links: BTreeMap<LinkName, Link>,
    /// Addresses by link; `None` is the loopback, `lo`.
    pub addresses: BTreeSet<Address>,
    /// Routes in the main table.
    pub routes: BTreeSet<Route>,
    /// Sysctls by path below `/proc/sys`, e.g. `net/ipv4/vs/sloppy_tcp`.
    pub sysctls: BTreeMap<String, String>,
    /// The packet rules.
    pub rules: Rules,
    /// IPVS virtual services with their destinations.
    pub services: BTreeMap<Virtual, VirtualService>,
    /// Connection synchronisation daemons.
    pub sync: BTreeMap<SyncRole, SyncDaemon>,
}

/// A link that the document names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What carries the name.
    pub device: Device,
    /// Bytes; `None`: as it is.
    pub mtu: Option<u32>,
}

/// One address and where it lives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// `None`: on `lo`.
    pub link: Option<LinkName>,
    /// The address with its prefix.
    pub cidr: Cidr,
    /// What it is for; decides order and whether it is announced.
    pub role: AddressRole,
}

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressRole {
    /// The box's own.
    Own,
    /// A virtual address that this box holds as master: announced by gratuitous ARP.
    Virtual,
    /// A virtual address on `lo`, so that this box accepts what directors forward to it.
    Served,
}

/// One route of the main table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    /// Destination; `0.0.0.0/0` is the default route.
    pub to: Cidr,
    /// Next hop.
    pub via: IpAddr,
    /// Outgoing link.
    pub link: LinkName,
}

/// What an IPVS service matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Virtual {
    /// Protocol, address and port.
    Address {
        /// Transport.
        protocol: Protocol,
        /// VIP.
        address: IpAddr,
        /// Port.
        port: u16,
    },
    /// A firewall mark.
    Mark {
        /// The mark, not 0.
        mark: u32,
        /// IPv6 instead of IPv4.
        ipv6: bool,
    },
}

/// One IPVS virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualService {
    /// The scheduler's kernel name.
    pub scheduler: String,
    /// Scheduler flags `IP_VS_SVC_F_SCHED1..3` (`mh-port` is 0x10, `mh-fallback` 0x08; 0 for the others).
    pub scheduler_flags: u32,
    /// Persistence timeout in seconds; 0: none.
    pub persistence: u32,
    /// Destinations by address and port.
    pub destinations: BTreeMap<(IpAddr, u16), Destination>,
}

/// One real server of a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Weight.
    pub weight: u16,
    /// Forwarding method.
    pub forwarding: Forwarding,
}

/// The two halves of IPVS connection synchronisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SyncRole {
    /// Sends.
    Master,
    /// Receives.
    Backup,
}

/// A synchronisation daemon's settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncDaemon {
    /// Where its multicast (224.0.0.81, UDP 8848) goes.
    pub link: LinkName,
    /// Distinguishes clusters on one segment, 1..=255.
    pub id: u8,
}

impl fmt::Display for Virtual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Address { protocol, address, port } => {
                write!(f, "{protocol} {}", SocketAddr::new(address, port))
            }
            Self::Mark { mark, ipv6: false } => write!(f, "mark {mark}"),
            Self::Mark { mark, ipv6: true } => write!(f, "mark {mark} (IPv6)"),
        }
    }
}
