//! One step towards the desired state. An operation names the kernel's own handles (link indexes), so the edge that
//! runs it looks nothing up and decides nothing.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::config::BondMode;
use crate::config::types::{Cidr, LinkName, Mac, VlanId};
use crate::plan::HERE;
use crate::plan::rules::Rules;
use crate::plan::state::{Address, AddressRole, Destination, SyncDaemon, SyncRole, Virtual};

use super::observed::{RouteFact, Scheduling, SyncFacts};

/// One change of the kernel's state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the state's own, documented in `plan::state`")]
pub enum Op {
    /// Write a sysctl; `path` is below `/proc/sys`.
    SetSysctl { path: String, value: String },
    /// Take an address away.
    DelAddress { index: u32, link: String, cidr: Cidr },
    /// Replace all packet rules at once.
    SetRules(Box<Rules>),
    /// Give a link another name.
    NameLink { index: u32, from: String, to: String },
    /// Set a link's MTU in bytes.
    SetMtu { index: u32, link: LinkName, mtu: u32 },
    /// Set a link administratively up.
    LinkUp { index: u32, link: String },
    /// Make a VLAN with this index above the link with index `parent`, which is called `on`.
    MakeVlan { index: u32, link: LinkName, parent: u32, on: LinkName, id: VlanId },
    /// Make a bond with this index and MAC, without ports.
    MakeBond { index: u32, link: LinkName, mode: BondMode, mac: Mac },
    /// Delete a VLAN or a bond with everything on it.
    DelLink { index: u32, link: String },
    /// Set a port down, as the bonding driver wants it, and put it into the bond with index `bond`.
    JoinBond { index: u32, port: String, bond: u32, link: LinkName },
    /// Take a port out of the bond that it is in.
    LeaveBond { index: u32, port: String },
    /// Add an address.
    AddAddress { index: u32, address: Address },
    /// Take a route away.
    DelRoute { route: RouteFact, link: String },
    /// Add a route, in the place of another to the same destination.
    AddRoute { route: RouteFact, link: LinkName },
    /// Add a virtual service, without destinations.
    AddService { service: Virtual, scheduling: Scheduling },
    /// Change how a virtual service schedules.
    SetService { service: Virtual, scheduling: Scheduling },
    /// Delete a virtual service with its destinations.
    DelService { service: Virtual },
    /// Add a destination.
    AddDestination { service: Virtual, server: (IpAddr, u16), destination: Destination },
    /// Change a destination's weight or forwarding method.
    SetDestination { service: Virtual, server: (IpAddr, u16), destination: Destination },
    /// Delete a destination: the connections that name it expire (`expire_nodest_conn`).
    DelDestination { service: Virtual, server: (IpAddr, u16) },
    /// Start a connection synchronisation daemon.
    StartSync { role: SyncRole, daemon: SyncDaemon },
    /// Stop a connection synchronisation daemon.
    StopSync { role: SyncRole, daemon: SyncFacts },
}

/// The order in which operations are safe. Every prefix of a list in this order leaves the box no less safe than it
/// was: what draws traffic here goes first and comes last; the guard is in place before what it guards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Sysctls: `promote_secondaries` before any address goes, ARP's before any address comes.
    Sysctl,
    /// Addresses that must not be here: virtual addresses of a box that is not master, whatever someone else added.
    Release,
    /// Virtual services that nobody wants, while the rules that guard them still stand.
    Retire,
    /// Packet rules.
    Rules,
    /// Links, the box's own addresses, routes.
    Network,
    /// Services by mark, which the rules send to; and those that the rules no longer send to.
    Marks,
    /// Dead servers out of every service.
    Purge,
    /// Virtual services and their servers.
    Services,
    /// Virtual addresses on the loopback.
    Served,
    /// Connection synchronisation.
    Sync,
    /// Virtual addresses on the wire.
    Claim,
}

impl Op {
    /// Where in the order the operation belongs.
    pub fn stage(&self) -> Stage {
        match self {
            Self::SetSysctl { .. } => Stage::Sysctl,
            Self::DelAddress { .. } => Stage::Release,
            Self::DelService { service: Virtual::Address { .. } } => Stage::Retire,
            Self::SetRules(_) => Stage::Rules,
            Self::NameLink { .. }
            | Self::SetMtu { .. }
            | Self::LinkUp { .. }
            | Self::MakeVlan { .. }
            | Self::MakeBond { .. }
            | Self::DelLink { .. }
            | Self::JoinBond { .. }
            | Self::LeaveBond { .. }
            | Self::DelRoute { .. }
            | Self::AddRoute { .. } => Stage::Network,
            Self::AddAddress { address, .. } => match address.role {
                AddressRole::Own => Stage::Network,
                AddressRole::Served => Stage::Served,
                AddressRole::Virtual => Stage::Claim,
            },
            Self::DelDestination { .. } => Stage::Purge,
            Self::AddService { service, .. }
            | Self::SetService { service, .. }
            | Self::DelService { service }
            | Self::AddDestination { service, .. }
            | Self::SetDestination { service, .. } => match service {
                Virtual::Mark { .. } => Stage::Marks,
                Virtual::Address { .. } => Stage::Services,
            },
            Self::StartSync { .. } | Self::StopSync { .. } => Stage::Sync,
        }
    }

    /// Whether others wait for the operation: it is part of what keeps packets here that belong here. The marks that tell
    /// of another box's connections are not: without them one is reset, and nothing loops.
    pub fn guards(&self) -> bool {
        match self {
            Self::SetRules(_) => true,
            Self::AddService { service, .. }
            | Self::AddDestination { service, .. }
            | Self::SetDestination { service, .. } => {
                matches!(service, Virtual::Mark { mark: HERE, .. })
            }
            Self::SetSysctl { path, .. } => path.ends_with("/arp_ignore") || path.ends_with("/arp_announce"),
            _ => false,
        }
    }

    /// Whether the operation must not be tried once `failed` could not be done: it would draw traffic to a box that
    /// lacks its guard. Anything else is still worth doing.
    pub fn depends_on(&self, failed: &Op) -> bool {
        let (service, address) = match self {
            Self::AddService { service: Virtual::Address { .. }, .. } => (true, None),
            Self::AddAddress { address, .. } if address.role != AddressRole::Own => {
                (false, Some(address.role))
            }
            _ => return false,
        };
        failed.guards()
            && match failed {
                Self::SetRules(_) => true,
                // Without these a real server answers ARP for the virtual address on its loopback.
                Self::SetSysctl { .. } => address == Some(AddressRole::Served),
                _ => service || address == Some(AddressRole::Virtual),
            }
    }
}

/// As an operator reads it in the log.
impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetSysctl { path, value } => write!(f, "set sysctl {} = {value}", path.replace('/', ".")),
            Self::DelAddress { link, cidr, .. } => write!(f, "delete address {cidr} on {link}"),
            Self::SetRules(rules) => write!(f, "set packet rules ({rules})"),
            Self::NameLink { from, to, .. } => write!(f, "rename link {from} to {to}"),
            Self::SetMtu { link, mtu, .. } => write!(f, "set MTU of {link} to {mtu}"),
            Self::LinkUp { link, .. } => write!(f, "set link {link} up"),
            Self::MakeVlan { link, on, id, .. } => write!(f, "make link {link}: VLAN {id} on {on}"),
            Self::MakeBond { link, mode, mac, .. } => {
                write!(f, "make link {link}: {} bond with MAC {mac}", mode.word())
            }
            Self::DelLink { link, .. } => write!(f, "delete link {link}"),
            Self::JoinBond { port, link, .. } => write!(f, "put {port} into bond {link}"),
            Self::LeaveBond { port, .. } => write!(f, "take {port} out of its bond"),
            Self::AddAddress { address, .. } => {
                let role = match address.role {
                    AddressRole::Own => "address",
                    AddressRole::Virtual => "virtual address",
                    AddressRole::Served => "served address",
                };
                write!(f, "add {role} {} on ", address.cidr)?;
                match &address.link {
                    Some(link) => write!(f, "{link}"),
                    None => f.write_str("lo"),
                }
            }
            Self::DelRoute { route, link } => {
                write!(f, "delete route {} via {} on {link}", route.to, route.via)
            }
            Self::AddRoute { route, link } => write!(f, "add route {} via {} on {link}", route.to, route.via),
            Self::AddService { service, scheduling } => {
                write!(f, "add service {service}, {}", scheduling.scheduler)
            }
            Self::SetService { service, scheduling } => {
                write!(f, "set service {service}, {}", scheduling.scheduler)
            }
            Self::DelService { service } => write!(f, "delete service {service}"),
            Self::AddDestination { service, server, destination } => {
                write!(f, "add server {} to {service}, weight {}", endpoint(*server), destination.weight)
            }
            Self::SetDestination { service, server, destination } => {
                write!(f, "set server {} of {service} to weight {}", endpoint(*server), destination.weight)
            }
            Self::DelDestination { service, server } => {
                write!(f, "delete server {} of {service}", endpoint(*server))
            }
            Self::StartSync { role, daemon } => {
                write!(f, "start sync {} {} on {}", half(*role), daemon.id, daemon.link)
            }
            Self::StopSync { role, daemon } => {
                write!(f, "stop sync {} {} on {}", half(*role), daemon.id, daemon.link)
            }
        }
    }
}

fn endpoint((address, port): (IpAddr, u16)) -> SocketAddr {
    SocketAddr::new(address, port)
}

fn half(role: SyncRole) -> &'static str {
    match role {
        SyncRole::Master => "master",
        SyncRole::Backup => "backup",
    }
}
