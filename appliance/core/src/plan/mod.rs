//! The planner: what the kernel of this box should hold, given the document, who this box is and what it knows.
//!
//! It decides the *complete* state, at every call, from nothing but its arguments; what is already there is
//! [`reconcile`](crate::reconcile)'s business. It never does anything and never remembers.
//!
//! Open next: [`network`] for links and addresses, [`balancing`] for IPVS, [`guard`] for what keeps packets from looping,
//! [`detour`] for what gets past IPVS, [`ownership`] for whose an open connection is, [`filter`] for what may come in,
//! [`rules`] for the form of all of these.

pub mod state;
pub mod rules;
pub mod storm;
mod network;
mod balancing;
mod guard;
mod detour;
mod ownership;
mod filter;
mod sysctls;
#[cfg(test)]
mod strategy_tests;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use crate::config::types::{InstanceId, LinkName, Mac, MemberName, ServerName, ServiceName};
use crate::config::{Config, Fallback, Member, Protocol, Server, Service, Storm, VrrpInstance};
use crate::dhcp::Lease;
use state::KernelState;

pub use balancing::HERE;

/// What this box knows at the moment: the planner's second argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// State of each VRRP instance; one that is missing counts as not master.
    pub vrrp: BTreeMap<InstanceId, VrrpState>,
    /// The instances whose master this box was until a moment ago, so that clients may go on sending here.
    pub yielded: BTreeSet<InstanceId>,
    /// Health of each server; one that is missing is unknown.
    pub health: BTreeMap<(ServiceName, ServerName), Health>,
    /// Fellow members' MACs by link as the neighbour table has them, beside those of the document.
    pub neighbours: BTreeMap<MemberName, BTreeSet<(LinkName, Mac)>>,
    /// What DHCP servers lent to links of this box, and fits into the cluster.
    pub leases: BTreeMap<LinkName, Lease>,
    /// This box's port on the segment for forwarding has no carrier.
    pub forward_down: bool,
    /// This box is about to stop.
    pub leaving: bool,
    /// A console of this box shows a code by which another one can join.
    pub join_open: bool,
}

/// State of a VRRP instance on this box, as the report tty and `/status` name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VrrpState {
    /// Not started (RFC 9568 §6.4.1 Initialize).
    Init,
    /// Waiting (§6.4.2).
    Backup,
    /// Holding the virtual addresses (§6.4.3 Active).
    Master,
    /// Unable to take part: link down, no address.
    Fault,
}

/// As the report tty and `/status` name it.
impl fmt::Display for VrrpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Init => "init",
            Self::Backup => "backup",
            Self::Master => "master",
            Self::Fault => "fault",
        })
    }
}

/// What is known of a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Not checked yet: not in the table.
    Unknown,
    /// Its last check passed: in the table.
    Up,
    /// Its checks failed: not in the table.
    Down,
    /// Its box fell silent: not in the table until a check passes.
    Suspect,
}

/// As `/status` names it.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Up => "up",
            Self::Down => "down",
            Self::Suspect => "suspect",
        })
    }
}

/// The planner's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the kernel should hold.
    pub state: KernelState,
    /// What the storm guard's rules are about, for people.
    pub guarded: Guarded,
    /// Why each item is there, or is not.
    pub reasons: Vec<Reason>,
}

/// What the storm guard knows: the substance of its rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guarded {
    /// Virtual services that this box serves and its fellow directors may forward to it.
    pub services: BTreeSet<(IpAddr, Protocol, u16)>,
    /// MACs of the fellow directors, by the link they are reached on.
    pub peers: BTreeSet<(LinkName, Mac)>,
}

/// Why one item is in the plan, or is not.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Reason {
    /// The item, e.g. `address 192.0.2.9/32 on lan`.
    pub item: String,
    /// The sentence that explains it.
    pub why: String,
}

/// Plans the complete kernel state of member `me`. A box that is no member gets the state of an unconfigured one: no
/// names, no addresses, no services, and an input filter that lets nothing in but pings.
///
/// A debug build has every plan judged by the storm checker.
pub fn plan(config: &Config, me: &MemberName, view: &View) -> Plan {
    let plan = put_together(config, me, view);
    debug_assert_eq!(
        storm::document::judge_plan(config, me, view, &plan).map_err(|finding| finding.to_string()),
        Ok(()),
        "a plan that is not safe; `halctl check` refuses documents that cannot be made safe"
    );
    plan
}

fn put_together(config: &Config, me: &MemberName, view: &View) -> Plan {
    let mut plan = Plan { state: KernelState::default(), guarded: Guarded::default(), reasons: Vec::new() };
    let Some(member) = config.members.get(me) else {
        filter::closed(&mut plan);
        return plan;
    };
    let box_ = Perspective { config, me: member, view };
    network::plan(&box_, &mut plan);
    balancing::plan(&box_, &mut plan);
    sysctls::plan(&box_, &mut plan);
    guard::plan(&box_, &mut plan);
    filter::plan(&box_, &mut plan);
    plan
}

/// The addresses that a member has for itself.
fn own_addresses(member: &Member) -> impl Iterator<Item = IpAddr> {
    member.interfaces.values().flat_map(|i| i.addresses.iter().map(|a| a.address()))
}

/// The planner's three arguments, resolved to one member, with the questions that every part asks.
struct Perspective<'a> {
    config: &'a Config,
    me: &'a Member,
    view: &'a View,
}

impl<'a> Perspective<'a> {
    /// This box serves `service` itself.
    fn serves(&self, service: &Service) -> bool {
        self.me.real_server && service.servers.values().any(|s| s.member.as_ref() == Some(&self.me.name))
    }

    /// This box directs, and other boxes direct to it: what a fellow director forwarded must be served here.
    fn co_located(&self, service: &Service) -> bool {
        self.me.director && self.serves(service)
    }

    /// Every other director, in the order of names.
    fn fellow_directors(&self) -> impl Iterator<Item = &'a Member> {
        let me = &self.me.name;
        self.config.members.values().filter(move |m| m.director && m.name != *me)
    }

    /// The instances that run on this box.
    fn instances(&self) -> impl Iterator<Item = &'a VrrpInstance> {
        let me = self.me;
        self.config.vrrp.values().filter(move |i| me.director && me.interfaces.contains_key(&i.id.interface))
    }

    /// This box forwards for `service` now. With every strategy but a standby's each director always does; a standby
    /// while it is master, and for a while after.
    fn directs(&self, service: &Service) -> bool {
        let attracts = |i: &VrrpInstance| self.is_master(&i.id) || self.view.yielded.contains(&i.id);
        self.me.director
            && match self.config.cluster.storm {
                Storm::Weights | Storm::SecondNic(_) => true,
                Storm::Standby(_) => self.instance_of(service).is_some_and(attracts),
            }
    }

    /// The instance that holds the service's address.
    fn instance_of(&self, service: &Service) -> Option<&'a VrrpInstance> {
        self.instances().find(|i| i.addresses.iter().any(|vip| vip.address() == service.address))
    }

    /// Where this box forwards to what `server` is to serve; `None`: nowhere while the segment for it is down.
    fn reaches(&self, server: &Server) -> Option<IpAddr> {
        reached_at(self.config, &self.me.name, server, self.view.forward_down)
    }

    fn is_master(&self, id: &InstanceId) -> bool {
        self.view.vrrp.get(id) == Some(&VrrpState::Master)
    }

    /// Health of a server; one that is not checked at all is up.
    fn health(&self, service: &Service, server: &ServerName) -> Health {
        if service.check.is_none() {
            return Health::Up;
        }
        *self.view.health.get(&(service.name.clone(), server.clone())).unwrap_or(&Health::Unknown)
    }
}

/// Where `me` forwards to what `server` is to serve, and where it checks it: over the segment for forwarding, if there is
/// one. While that is down the document decides: over the service's own segment, or not at all (`None`).
pub(crate) fn reached_at(
    config: &Config,
    me: &MemberName,
    server: &Server,
    forward_down: bool,
) -> Option<IpAddr> {
    let (Storm::SecondNic(forward), Some(address)) = (&config.cluster.storm, server.forward) else {
        return Some(server.address);
    };
    // What this box serves itself needs no segment, and connections that name it must find it there in any case.
    if !forward_down || server.member.as_ref() == Some(me) {
        return Some(address);
    }
    match forward.fallback {
        Fallback::Lan => Some(server.address),
        Fallback::Refuse => None,
    }
}

impl Plan {
    fn because(&mut self, item: impl Into<String>, why: impl Into<String>) {
        self.reasons.push(Reason { item: item.into(), why: why.into() });
    }
}
