//! What is known of the boxes: their kernels, their links, their connection tables and what runs on them. Facts only,
//! no decision.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::config::Protocol;
use crate::config::types::{LinkName, Mac};
use crate::plan::rules::Rules;
use crate::plan::state::{KernelState, SyncRole, Virtual};

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
    /// Its packet rules.
    pub rules: Rules,
    /// Its links by the name they carry.
    pub links: BTreeMap<LinkName, Wire>,
    /// Its connection table.
    pub entries: BTreeMap<Conversation, Entry>,
    /// Its persistence templates, by service and client (persistence netmask /32, the default).
    pub templates: BTreeMap<TemplateKey, Entry>,
    /// Its application answers on every service's port.
    pub answers: bool,
    /// Open connections that its application holds, with the marks of their sockets; 0: none.
    pub sockets: BTreeMap<Conversation, u32>,
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
            rules: Rules::default(),
            kernel,
            links,
            entries: BTreeMap::new(),
            templates: BTreeMap::new(),
            answers: true,
            sockets: BTreeMap::new(),
        }
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
    /// The member that takes frames to `address` on `segment`, and its link.
    pub(super) fn neighbour(&self, address: IpAddr, segment: &LinkName) -> Option<(usize, &LinkName)> {
        self.stations.iter().enumerate().find_map(|(number, station)| {
            let link = station.link_with(address)?;
            (station.links.get(link)?.segment == *segment).then_some((number, link))
        })
    }

    /// Whoever has `address` answers.
    pub(super) fn answers(&self, address: IpAddr) -> bool {
        self.others.contains(&address)
            || self.stations.iter().any(|s| s.answers && s.link_with(address).is_some())
    }
}
