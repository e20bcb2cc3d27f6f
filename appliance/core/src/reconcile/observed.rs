//! What the kernel holds, as facts: links by index, with everything on them, whoever put it there. Decides nothing but
//! which port a document means; [`diff`](super::diff) compares the facts with what the planner wants.
//!
//! [`Observed::apply`] is the model of what an [`Op`] does to a kernel. The property tests and the in-memory kernel
//! share it, so a step that the model does not know cannot hide in either.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::config::types::{Cidr, Mac};
use crate::config::{BondMode, Forwarding, Port};
use crate::plan::rules::Rules;
use crate::plan::state::{Destination, SyncDaemon, SyncRole, Virtual, VirtualService};

use super::op::Op;

/// The MTU that a new bond has (`ETH_DATA_LEN`, `include/uapi/linux/if_ether.h`).
pub(super) const ETHERNET: u32 = 1_500;

/// The kernel state of this box at one moment, as far as Halcyon owns or needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Network links by the kernel's index.
    pub links: BTreeMap<u32, LinkFacts>,
    /// The highest index that a link is known to have had. A link that is made anew gets a higher one, so that whoever
    /// keeps sockets by index learns that they are another link's.
    pub newest: u32,
    /// Addresses by their link's index; the loopback's among them.
    pub addresses: BTreeSet<(u32, Cidr)>,
    /// Routes of the main table that an administrator or Halcyon made (protocols `static` and `boot`).
    pub routes: BTreeSet<RouteFact>,
    /// Sysctls by path below `/proc/sys`; one that this kernel does not have is absent.
    pub sysctls: BTreeMap<String, String>,
    /// The packet rules, when they are known to be in the kernel untouched.
    pub rules: Option<Rules>,
    /// The IPVS table.
    pub services: BTreeMap<Virtual, ServiceFacts>,
    /// Running connection synchronisation daemons.
    pub sync: BTreeMap<SyncRole, SyncFacts>,
}

/// One network link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkFacts {
    /// The name it carries now.
    pub name: String,
    /// It is `lo`.
    pub loopback: bool,
    /// Administratively up.
    pub up: bool,
    /// The cable carries a signal; `false` while the link is down.
    pub carrier: bool,
    /// Bytes.
    pub mtu: u32,
    /// The hardware address it uses now; `None` for a link without one.
    pub mac: Option<Mac>,
    /// The address in its hardware (`IFLA_PERM_ADDRESS`); `None` for a link that was made by software.
    pub permanent: Option<Mac>,
    /// The link-local address that the kernel made for it, once nobody else has it (RFC 4862 §5.4); `None` before.
    pub link_local: Option<Ipv6Addr>,
    /// Bus address of its device, e.g. `0000:01:00.0`.
    pub path: Option<String>,
    /// Index of the bond, or of another such link, that it is a port of (`IFLA_MASTER`).
    pub controller: Option<u32>,
    /// What software made it of, for the kinds that a document knows.
    pub made: Option<Made>,
}

/// What a link that software made stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// An 802.1Q VLAN.
    Vlan {
        /// Index of the link that carries it.
        parent: u32,
        /// Its tag.
        id: u16,
    },
    /// A bond.
    Bond {
        /// `None`: a mode that no document can ask for.
        mode: Option<BondMode>,
    },
}

/// One route with a next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteFact {
    /// Destination prefix.
    pub to: Cidr,
    /// Next hop.
    pub via: IpAddr,
    /// Index of the outgoing link.
    pub index: u32,
}

/// How a virtual service schedules; everything about it but its destinations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    /// The scheduler's kernel name.
    pub scheduler: String,
    /// `IP_VS_SVC_F_*` (`include/uapi/linux/ip_vs.h`) without `PERSISTENT` and `HASHED`.
    pub flags: u32,
    /// Persistence timeout in seconds; 0: none.
    pub persistence: u32,
}

/// One virtual service of the IPVS table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceFacts {
    /// How it schedules.
    pub scheduling: Scheduling,
    /// Its destinations by address and port.
    pub destinations: BTreeMap<(IpAddr, u16), DestinationFacts>,
}

/// One destination of a virtual service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DestinationFacts {
    /// Weight.
    pub weight: u32,
    /// Forwarding method; `None`: one that Halcyon never sets.
    pub forwarding: Option<Forwarding>,
}

/// A running synchronisation daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncFacts {
    /// The link's name at the time the daemon was started.
    pub link: String,
    /// Its sync id, 0..=255.
    pub id: u8,
}

impl Scheduling {
    /// What `service` asks for.
    pub fn of(service: &VirtualService) -> Self {
        Self {
            scheduler: service.scheduler.clone(),
            flags: service.scheduler_flags,
            persistence: service.persistence,
        }
    }
}

impl DestinationFacts {
    /// What `destination` asks for.
    pub fn of(destination: Destination) -> Self {
        Self { weight: destination.weight.into(), forwarding: Some(destination.forwarding) }
    }
}

impl SyncFacts {
    /// What `daemon` asks for.
    pub fn of(daemon: &SyncDaemon) -> Self {
        Self { link: daemon.link.to_string(), id: daemon.id }
    }
}

impl LinkFacts {
    /// A link as it is when it was made: down.
    fn new(name: &str, made: Made) -> Self {
        Self { name: name.to_owned(), made: Some(made), ..Self::default() }
    }

    fn released(&mut self) {
        (self.controller, self.up, self.mac) = (None, false, self.permanent);
    }
}

impl Observed {
    /// Index of the loopback.
    pub fn loopback(&self) -> Option<u32> {
        self.links.iter().find(|(_, link)| link.loopback).map(|(&index, _)| index)
    }

    /// The link that carries `name`, with its index.
    pub fn by_name(&self, name: &str) -> Option<(u32, &LinkFacts)> {
        self.links.iter().find(|(_, link)| link.name == name).map(|(&index, link)| (index, link))
    }

    /// Whether the link with `index` has `address`, whatever its prefix.
    pub fn has(&self, index: u32, address: IpAddr) -> bool {
        self.addresses.iter().any(|(at, cidr)| *at == index && cidr.address() == address)
    }

    /// The permanent MACs of this box's ports, in the order of the kernel's indexes: how a document names a box.
    pub fn permanent_macs(&self) -> impl Iterator<Item = Mac> {
        self.links.values().filter(|link| link.made.is_none()).filter_map(|link| link.permanent)
    }

    /// Index of the one link that `port` means, or a sentence why there is none.
    ///
    /// A port counts by its permanent MAC, which it keeps while it shows its bond's. Other links without one count by the
    /// MAC they use, after all others, but for VLANs and bonds, which show the MAC of a port below them.
    pub fn find(&self, port: &Port) -> Result<u32, String> {
        let having = |test: &dyn Fn(&LinkFacts) -> bool| -> Vec<u32> {
            let ports = self.links.iter().filter(|(_, l)| !l.loopback && l.made.is_none() && test(l));
            ports.map(|(&index, _)| index).collect()
        };
        let (what, found) = match port {
            Port::Mac(mac) => {
                let mut found = having(&|l| l.permanent == Some(*mac));
                if found.is_empty() {
                    found = having(&|l| l.permanent.is_none() && l.mac == Some(*mac));
                }
                (format!("MAC {mac}"), found)
            }
            Port::Path(path) => (format!("bus address {path}"), having(&|l| l.path.as_ref() == Some(path))),
        };
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(format!("this box has no port with {what}; it has {}", self.ports())),
            several => Err(format!("{} ports have {what}: {}", several.len(), self.ports())),
        }
    }

    fn ports(&self) -> String {
        let ports: Vec<String> = self
            .links
            .values()
            .filter(|l| !l.loopback && l.made.is_none())
            .map(|l| {
                let mac = l.permanent.or(l.mac).map_or_else(|| "no MAC".to_owned(), |m| m.to_string());
                format!("{} ({mac}{})", l.name, l.path.as_ref().map(|p| format!(", {p}")).unwrap_or_default())
            })
            .collect();
        if ports.is_empty() { "none at all".to_owned() } else { ports.join(", ") }
    }

    /// What the kernel would hold after `op`, had it succeeded.
    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::SetSysctl { path, value } => {
                self.sysctls.insert(path.clone(), value.clone());
            }
            Op::SetRules(rules) => self.rules = Some((**rules).clone()),
            Op::NameLink { index, to, .. } => self.link(*index, |l| l.name.clone_from(to)),
            Op::SetMtu { index, mtu, .. } => self.set_mtu(*index, *mtu),
            Op::LinkUp { index, .. } => self.link(*index, |l| l.up = true),
            Op::MakeVlan { index, link, parent, id, .. } => {
                let made = Made::Vlan { parent: *parent, id: id.get() };
                let (mac, mtu) = self.links.get(parent).map_or((None, 0), |below| (below.mac, below.mtu));
                self.make(*index, LinkFacts { mac, mtu, ..LinkFacts::new(link.as_str(), made) });
            }
            Op::MakeBond { index, link, mode, mac } => {
                let made = Made::Bond { mode: Some(*mode) };
                let facts = LinkFacts::new(link.as_str(), made);
                self.make(*index, LinkFacts { mac: Some(*mac), mtu: ETHERNET, ..facts });
            }
            Op::DelLink { index, .. } => self.delete(*index),
            Op::JoinBond { index, bond, .. } => {
                let (mac, mtu) = self.links.get(bond).map_or((None, 0), |bond| (bond.mac, bond.mtu));
                // The bonding driver sets it up again, with the bond's MAC and MTU (`bond_enslave`).
                self.link(*index, |l| {
                    (l.controller, l.up, l.mac, l.mtu) = (Some(*bond), true, mac, mtu);
                });
            }
            Op::LeaveBond { index, .. } => self.link(*index, LinkFacts::released),
            Op::AddAddress { index, address } => {
                self.addresses.insert((*index, address.cidr));
            }
            Op::DelAddress { index, cidr, .. } => {
                self.addresses.remove(&(*index, *cidr));
                // With a link's last IPv4 address its IPv4 routes go (`fib_disable_ip`, net/ipv4/fib_frontend.c).
                if cidr.address().is_ipv4() && !self.holds_ipv4(*index) {
                    self.routes.retain(|r| r.index != *index || !r.via.is_ipv4());
                }
            }
            Op::AddRoute { route, .. } => {
                self.routes.retain(|r| r.to != route.to);
                self.routes.insert(*route);
            }
            Op::DelRoute { route, .. } => {
                self.routes.remove(route);
            }
            Op::AddService { service, scheduling } => {
                self.services.entry(*service).or_default().scheduling = scheduling.clone();
            }
            Op::SetService { service, scheduling } => {
                if let Some(found) = self.services.get_mut(service) {
                    found.scheduling = scheduling.clone();
                }
            }
            Op::DelService { service } => {
                self.services.remove(service);
            }
            Op::AddDestination { service, server, destination }
            | Op::SetDestination { service, server, destination } => {
                if let Some(found) = self.services.get_mut(service) {
                    found.destinations.insert(*server, DestinationFacts::of(*destination));
                }
            }
            Op::DelDestination { service, server } => {
                if let Some(found) = self.services.get_mut(service) {
                    found.destinations.remove(server);
                }
            }
            Op::StartSync { role, daemon } => {
                self.sync.insert(*role, SyncFacts::of(daemon));
            }
            Op::StopSync { role, .. } => {
                self.sync.remove(role);
            }
        }
    }

    fn link(&mut self, index: u32, change: impl FnOnce(&mut LinkFacts)) {
        if let Some(link) = self.links.get_mut(&index) {
            change(link);
        }
    }

    fn make(&mut self, index: u32, facts: LinkFacts) {
        self.newest = self.newest.max(index);
        self.links.insert(index, facts);
    }

    /// VLANs go with what carries them, a bond's ports are ports of their own again, down (`__bond_release_one`).
    fn delete(&mut self, index: u32) {
        self.links.remove(&index);
        self.addresses.retain(|(at, _)| *at != index);
        self.routes.retain(|route| route.index != index);
        self.links.values_mut().filter(|l| l.controller == Some(index)).for_each(LinkFacts::released);
        let above = |l: &LinkFacts| matches!(l.made, Some(Made::Vlan { parent, .. }) if parent == index);
        let above: Vec<u32> = self.links.iter().filter(|(_, l)| above(l)).map(|(&i, _)| i).collect();
        above.into_iter().for_each(|vlan| self.delete(vlan));
    }

    /// A bond's ports follow it (`bond_change_mtu`), and no VLAN has a larger one than what carries it
    /// (`vlan_device_event`).
    fn set_mtu(&mut self, index: u32, mtu: u32) {
        self.link(index, |l| l.mtu = mtu);
        for link in self.links.values_mut() {
            match link.made {
                Some(Made::Vlan { parent, .. }) if parent == index => link.mtu = link.mtu.min(mtu),
                _ if link.controller == Some(index) => link.mtu = mtu,
                _ => {}
            }
        }
    }

    fn holds_ipv4(&self, index: u32) -> bool {
        self.addresses.iter().any(|(i, cidr)| *i == index && cidr.address().is_ipv4())
    }
}

/// The kernel's own addresses: those of the loopback. The link-local ones that it makes by itself are no addresses here
/// but [`LinkFacts::link_local`]; one that is here was set by someone.
pub(super) fn kernels_own(loopback: bool, cidr: Cidr) -> bool {
    loopback && [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].contains(&cidr.address())
}
