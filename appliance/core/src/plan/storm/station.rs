//! What is known of the boxes: their kernels, their links, their connection tables and what runs on them. Facts only,
//! no decision.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::config::types::{LinkName, Mac};
use crate::config::{Forwarding, Protocol};
use crate::plan::state::{
    Address, AddressRole, Destination, KernelState, Route, SyncDaemon, SyncRole, Virtual, VirtualService,
};
use crate::reconcile::{DestinationFacts, Observed};

use super::ipvs::conversation;
use super::packet::Packet;

/// Boxes on their segments.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// The members that are alive.
    pub stations: Vec<Station>,
    /// Real servers that are no members and answer.
    pub others: BTreeSet<IpAddr>,
}

/// One member.
#[derive(Clone, Debug)]
pub struct Station {
    /// Its name, for the trace.
    pub name: String,
    /// What its kernel holds.
    pub kernel: KernelState,
    /// Its links by the name they carry.
    pub links: BTreeMap<LinkName, Wire>,
    /// Its connection table.
    pub entries: BTreeMap<Conversation, Entry>,
    /// Its persistence templates, by service and client (persistence netmask /32, the default).
    pub templates: BTreeMap<TemplateKey, Entry>,
    /// What its applications answer.
    pub answers: Answers,
    /// Open connections that its application holds, with the marks of their sockets; 0: none.
    pub sockets: BTreeMap<Conversation, u32>,
}

/// What a member's applications answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answers {
    /// Whatever it is asked.
    All,
    /// On these ports.
    Ports(BTreeSet<(Protocol, u16)>),
}

/// One link and what it is plugged into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Source MAC of the frames that leave here.
    pub mac: Mac,
    /// Name of the segment.
    pub segment: LinkName,
}

/// The key of IPVS's connection table: protocol, client, virtual service; no firewall mark (`ip_vs_conn_in_get`).
pub type Conversation = (Protocol, SocketAddr, SocketAddr);

/// The key of a persistence template: the service and the client's address.
pub type TemplateKey = (Virtual, IpAddr);

/// A connection entry or a persistence template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Whom it names.
    pub server: (IpAddr, u16),
    /// The service whose destination it is bound to; `None`: synchronised while there was none (`ip_vs_proc_conn`), which
    /// forwards all the same.
    pub bound: Option<Virtual>,
    /// Where the connection is.
    pub phase: Phase,
    /// A persistence template controls it, so that a new SYN does not replace it.
    pub controlled: bool,
}

/// Where the connection of an entry is, as far as `is_new_conn_expected` cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Open, or UDP.
    Open,
    /// `TIME_WAIT` or `CLOSE`: a SYN begins a new one if `conn_reuse_mode` is set.
    Closed,
}

impl Station {
    /// A box whose kernel holds exactly `kernel`, with an application that answers and an empty connection table.
    pub fn new(name: impl Into<String>, kernel: KernelState, links: BTreeMap<LinkName, Wire>) -> Self {
        Self {
            name: name.into(),
            kernel,
            links,
            entries: BTreeMap::new(),
            templates: BTreeMap::new(),
            answers: Answers::All,
            sockets: BTreeMap::new(),
        }
    }

    /// A box as it was observed, every link that has a MAC on `segment`.
    pub fn observed(name: impl Into<String>, observed: &Observed, segment: &LinkName) -> Self {
        let mut kernel = KernelState::default();
        let mut links = BTreeMap::new();
        let mut names: BTreeMap<u32, LinkName> = BTreeMap::new();
        for (&index, link) in observed.links.iter().filter(|(_, link)| !link.loopback) {
            let (Ok(name), Some(mac)) = (link.name.parse::<LinkName>(), link.mac) else { continue };
            links.insert(name.clone(), Wire { mac, segment: segment.clone() });
            names.insert(index, name);
        }
        for (index, cidr) in &observed.addresses {
            let link = names.get(index).cloned();
            kernel.addresses.insert(Address { link, cidr: *cidr, role: AddressRole::Own });
        }
        for route in &observed.routes {
            let Some(link) = names.get(&route.index).cloned() else { continue };
            kernel.routes.insert(Route { to: route.to, via: route.via, link });
        }
        kernel.sysctls.clone_from(&observed.sysctls);
        for (&service, facts) in &observed.services {
            let destination = |(&server, d): (&(IpAddr, u16), &DestinationFacts)| {
                let weight = u16::try_from(d.weight).unwrap_or(u16::MAX);
                (server, Destination { weight, forwarding: Forwarding::Direct })
            };
            kernel.services.insert(
                service,
                VirtualService {
                    scheduler: facts.scheduling.scheduler.clone(),
                    scheduler_flags: facts.scheduling.flags,
                    persistence: facts.scheduling.persistence,
                    destinations: facts.destinations.iter().map(destination).collect(),
                },
            );
        }
        for (&role, daemon) in &observed.sync {
            let Ok(link) = daemon.link.parse() else { continue };
            kernel.sync.insert(role, SyncDaemon { link, id: daemon.id });
        }
        kernel.rules = observed.rules.clone().unwrap_or_default();
        Self::new(name, kernel, links)
    }

    /// An application of this box answers what `packet` asks.
    pub(super) fn answers(&self, packet: &Packet) -> bool {
        match &self.answers {
            Answers::All => true,
            Answers::Ports(ports) => ports.contains(&(packet.segment.protocol(), packet.service.port())),
        }
    }

    /// The mark of the local socket that expects `packet`, be it the one that listens; 0: it has none.
    pub(super) fn socket(&self, packet: &Packet) -> Option<u32> {
        let open = self.sockets.get(&conversation(packet)).copied();
        open.or(self.answers(packet).then_some(0))
    }

    /// The kernel takes packets to `address` as its own.
    pub fn holds(&self, address: IpAddr) -> bool {
        self.kernel.addresses.iter().any(|a| a.cidr.address() == address)
    }

    /// The link on which `address` is; `None` when it is nowhere or on the loopback.
    pub fn link_with(&self, address: IpAddr) -> Option<&LinkName> {
        self.kernel.addresses.iter().find(|a| a.cidr.address() == address && a.link.is_some())?.link.as_ref()
    }

    /// It draws the clients of `address`: holds it on a link and answers ARP for it there.
    pub fn is_master_of(&self, address: IpAddr) -> bool {
        self.link_with(address).is_some()
    }

    /// It routes what is not its own (`net.ipv4.ip_forward`; the kernel's default is 0).
    pub(super) fn routes(&self) -> bool {
        self.kernel.sysctls.get("net/ipv4/ip_forward").is_some_and(|value| value != "0")
    }

    /// The link that leads to a neighbour: whose subnet the address is in.
    pub(super) fn link_towards(&self, neighbour: IpAddr) -> Option<&LinkName> {
        let on_link = self.kernel.addresses.iter().filter(|a| a.link.is_some() && a.cidr.contains(neighbour));
        on_link.max_by_key(|a| a.cidr.prefix())?.link.as_ref()
    }

    /// A sysctl below `net/ipv4/vs` is on; unset, it has the kernel's default, 0, but for `conn_reuse_mode`.
    pub(super) fn ipvs_sysctl(&self, name: &str) -> bool {
        let value = self.kernel.sysctls.get(&format!("net/ipv4/vs/{name}"));
        value.map_or(name == "conn_reuse_mode", |value| value != "0")
    }

    /// IPVS looks at nothing: `backup_only` with a receiving synchronisation daemon (`sysctl_backup_only`).
    pub(super) fn stands_back(&self) -> bool {
        self.ipvs_sysctl("backup_only") && self.kernel.sync.contains_key(&SyncRole::Backup)
    }

    /// IPVS has its hooks in the packet's way: only while a service of the family exists (`ip_vs_register_hooks`).
    pub(super) fn hooked(&self, ipv6: bool) -> bool {
        self.kernel.services.keys().any(|service| match service {
            Virtual::Address { address, .. } => address.is_ipv6() == ipv6,
            Virtual::Mark { ipv6: family, .. } => *family == ipv6,
        })
    }

    /// Weight of the destination that an entry is bound to; `None` when it was deleted.
    pub(super) fn weight_of(&self, service: Virtual, (address, port): (IpAddr, u16)) -> Option<u16> {
        let destinations = &self.kernel.services.get(&service)?.destinations;
        // A destination of a mark service has port 0 and its connections the port they were made to (`ip_vs_find_dest`).
        destinations.get(&(address, port)).or_else(|| destinations.get(&(address, 0))).map(|d| d.weight)
    }
}

impl Cluster {
    /// Whom a frame of `at` for `next` reaches: the neighbour that holds it on that segment, or the member that a router
    /// knows; then the router's MAC is the source.
    pub(super) fn next_hop(&self, at: usize, next: IpAddr) -> Option<Hop<'_>> {
        let station = &self.stations[at];
        let mut others = self.stations.iter().enumerate().filter(|(to, _)| *to != at);
        if let Some(wire) = station.link_towards(next).and_then(|link| station.links.get(link)) {
            return others.find_map(|(to, other)| {
                let link = other.link_with(next)?;
                (other.links.get(link)?.segment == wire.segment).then_some(Hop {
                    to,
                    link,
                    mac: Some(wire.mac),
                })
            });
        }
        let routed = station.kernel.routes.iter().any(|route| route.to.contains(next));
        let found = others.find_map(|(to, other)| Some(Hop { to, link: other.link_with(next)?, mac: None }));
        found.filter(|_| routed)
    }

    /// Whoever has `address` answers `packet`, and `at` reaches it.
    pub(super) fn answers(&self, at: usize, address: IpAddr, packet: &Packet) -> bool {
        let station = &self.stations[at];
        if station.holds(address) {
            return station.answers(packet);
        }
        let next = || self.next_hop(at, address);
        self.others.contains(&address) || next().is_some_and(|hop| self.stations[hop.to].answers(packet))
    }
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hop<'c> {
    /// The receiving member.
    pub to: usize,
    /// Its link.
    pub link: &'c LinkName,
    /// Source MAC; `None`: a router's.
    pub mac: Option<Mac>,
}
