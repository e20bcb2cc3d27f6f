//! The difference between the kernel state that the planner wants and the one that is there, as operations in an order
//! that is safe at every step. Decides what to do and when; never does it, and never asks why the planner wants it.
//!
//! The appliance owns the box, so on its ports, on the links that the document names, on the loopback and in the IPVS
//! table whatever is not wanted goes. Other links that software made, routes of other makers and sysctls that nobody
//! asked for are left alone, and so are the ports of a box without a document. The order is [`Stage`]'s; open [`op`](self::Op) for it, [`Observed`] for the facts.
//!
//! What cannot be done now (a port that is not plugged in, a sysctl of a module that is not loaded) is [`Unmet`] and
//! holds up nothing else.

mod op;
mod observed;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::config::types::{Cidr, LinkName};
use crate::plan::state::{Address, AddressRole, KernelState, Virtual, VirtualService};

pub use observed::{DestinationFacts, LinkFacts, Observed, RouteFact, Scheduling, ServiceFacts, SyncFacts};
pub use op::{Op, Stage};

/// What separates the kernel from the plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// What to do, in this order. Empty: the plan is applied, as far as it can be.
    pub ops: Vec<Op>,
    /// What cannot be done now.
    pub unmet: Vec<Unmet>,
}

/// A part of the plan that this box cannot fulfil now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmet {
    /// The part, e.g. `link lan`.
    pub item: String,
    /// What is missing, as a sentence.
    pub why: String,
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.item, self.why)
    }
}

/// What has to be done so that the kernel holds `desired`, given that it holds `observed`.
pub fn diff(desired: &KernelState, observed: &Observed) -> Difference {
    let mut work = Work { desired, observed, links: BTreeMap::new(), result: Difference::default() };
    work.find_links();
    work.sysctls();
    work.addresses();
    work.rules();
    work.links();
    work.routes();
    work.services();
    work.sync();
    // Stable: within a stage the order above stays.
    work.result.ops.sort_by_key(Op::stage);
    work.result
}

/// What may be done before the packet rules stand, on a box that has nothing to guard yet: settings, names, links, its own
/// addresses, routes. Empty on any other box, where [`diff`]'s order is the only one.
///
/// A box that balances nothing and holds no address that others share has nowhere to send a packet on to, so no storm can
/// start there; and what listens starts after the engine has said that it is ready, which follows the rules. So it may be
/// heard on the wire some tenths of a second earlier.
pub fn groundwork(desired: &KernelState, observed: &Observed) -> Vec<Op> {
    let shared = |address: &&Address| address.role != AddressRole::Own;
    let shares =
        desired.addresses.iter().filter(shared).any(|address| {
            observed.addresses.iter().any(|(_, cidr)| cidr.address() == address.cidr.address())
        });
    if shares || observed.rules.is_some() || !observed.services.is_empty() {
        return Vec::new();
    }
    let first = |op: &Op| matches!(op.stage(), Stage::Sysctl | Stage::Release | Stage::Network);
    diff(desired, observed).ops.into_iter().filter(first).collect()
}

struct Work<'a> {
    desired: &'a KernelState,
    observed: &'a Observed,
    /// Kernel indexes of the links that the document names and this box has.
    links: BTreeMap<&'a LinkName, u32>,
    result: Difference,
}

impl<'a> Work<'a> {
    fn op(&mut self, op: Op) {
        self.result.ops.push(op);
    }

    fn unmet(&mut self, item: impl Into<String>, why: impl Into<String>) {
        self.result.unmet.push(Unmet { item: item.into(), why: why.into() });
    }

    fn find_links(&mut self) {
        let (desired, observed) = (self.desired, self.observed);
        for (name, link) in &desired.links {
            match observed.find(&link.port) {
                Ok(index) => match self.links.iter().find(|(_, i)| **i == index) {
                    None => {
                        self.links.insert(name, index);
                    }
                    Some((other, _)) => {
                        let why = format!("its port is the one of {other}");
                        self.unmet(format!("link {name}"), why);
                    }
                },
                Err(why) => self.unmet(format!("link {name}"), why),
            }
        }
    }

    fn sysctls(&mut self) {
        for (path, value) in &self.desired.sysctls {
            match self.observed.sysctls.get(path) {
                Some(found) if found == value => {}
                Some(_) => self.op(Op::SetSysctl { path: path.clone(), value: value.clone() }),
                None => self.unmet(
                    format!("sysctl {}", path.replace('/', ".")),
                    "this kernel does not have it; is its module loaded, its link there?",
                ),
            }
        }
    }

    fn addresses(&mut self) {
        let mut wanted: BTreeSet<(u32, Cidr)> = BTreeSet::new();
        for address in &self.desired.addresses {
            match self.place(address) {
                Ok(index) => {
                    // A virtual address and one of the box's own can be the same: one address, two reasons.
                    if wanted.insert((index, address.cidr))
                        && !self.observed.addresses.contains(&(index, address.cidr))
                    {
                        self.op(Op::AddAddress { index, address: address.clone() });
                    }
                }
                Err(why) => self.unmet(format!("address {}", address.cidr), why),
            }
        }
        let loopback = self.observed.loopback();
        // The wire before the loopback: a box stops drawing traffic before it stops accepting it.
        for on_loopback in [false, true] {
            for &(index, cidr) in &self.observed.addresses {
                let is_loopback = loopback == Some(index);
                if is_loopback == on_loopback
                    && (is_loopback || self.ours(index))
                    && !wanted.contains(&(index, cidr))
                    && !observed::kernels_own(is_loopback, cidr)
                {
                    let link = self.name_of(index);
                    self.op(Op::DelAddress { index, link, cidr });
                }
            }
        }
    }

    /// The kernel's index of the link that an address belongs on.
    fn place(&self, address: &Address) -> Result<u32, String> {
        match &address.link {
            None => self.observed.loopback().ok_or_else(|| "the kernel has no loopback".to_owned()),
            Some(link) => self.index(link),
        }
    }

    fn index(&self, link: &LinkName) -> Result<u32, String> {
        self.links.get(link).copied().ok_or_else(|| format!("there is no link {link}"))
    }

    /// The link is one that the document names, or another port of a box that has a document: a port that lost its
    /// name to another must not go on answering for an address.
    fn ours(&self, index: u32) -> bool {
        let is_port = || self.observed.links.get(&index).is_some_and(|l| l.permanent.is_some());
        self.links.values().any(|&i| i == index) || (!self.desired.links.is_empty() && is_port())
    }

    fn name_of(&self, index: u32) -> String {
        self.observed.links.get(&index).map_or_else(|| format!("link {index}"), |l| l.name.clone())
    }

    fn rules(&mut self) {
        if self.observed.rules.as_ref() != Some(&self.desired.rules) {
            self.op(Op::SetRules(Box::new(self.desired.rules.clone())));
        }
    }

    /// Names, MTUs, up. A name that another link carries is freed first; that link gets its own in its turn.
    fn links(&mut self) {
        let mut carried: BTreeMap<u32, String> =
            self.observed.links.iter().map(|(&index, l)| (index, l.name.clone())).collect();
        for (name, index) in self.links.clone() {
            let name_now = carried[&index].clone();
            if name_now != name.as_str() {
                let holder = carried.iter().find(|(_, n)| *n == name.as_str()).map(|(&i, n)| (i, n.clone()));
                if let Some((other, from)) = holder {
                    if self.observed.links[&other].loopback {
                        self.unmet(format!("link {name}"), "this is the loopback's name; choose another");
                        continue;
                    }
                    let to = free_name(other, &carried);
                    carried.insert(other, to.clone());
                    self.op(Op::NameLink { index: other, from, to });
                }
                carried.insert(index, name.to_string());
                self.op(Op::NameLink { index, from: name_now, to: name.to_string() });
            }
            let facts = &self.observed.links[&index];
            if let Some(mtu) = self.desired.links[name].mtu
                && mtu != facts.mtu
            {
                self.op(Op::SetMtu { index, link: name.clone(), mtu });
            }
            if !facts.up {
                self.op(Op::LinkUp { index, link: name.to_string() });
            }
        }
        if let Some(index) = self.observed.loopback()
            && !self.observed.links[&index].up
        {
            self.op(Op::LinkUp { index, link: self.name_of(index) });
        }
        // The own addresses were put before these; a link's name and state come first.
        self.result.ops.sort_by_key(|op| (op.stage(), matches!(op, Op::AddAddress { .. })));
    }

    fn routes(&mut self) {
        let mut wanted = BTreeMap::new();
        for route in &self.desired.routes {
            match self.index(&route.link) {
                Err(why) => self.unmet(format!("route {} via {}", route.to, route.via), why),
                Ok(_) if wanted.contains_key(&route.to) => self.unmet(
                    format!("route {} via {}", route.to, route.via),
                    "another route leads to the same destination",
                ),
                Ok(index) => {
                    let fact = RouteFact { to: route.to, via: route.via, index };
                    wanted.insert(route.to, fact);
                    if !self.observed.routes.contains(&fact) || self.loses_its_addresses(index) {
                        self.op(Op::AddRoute { route: fact, link: route.link.clone() });
                    }
                }
            }
        }
        for &route in &self.observed.routes {
            let replaced = wanted.get(&route.to).is_some_and(|w| !self.observed.routes.contains(w));
            if self.ours(route.index) && wanted.get(&route.to) != Some(&route) && !replaced {
                let link = self.name_of(route.index);
                self.op(Op::DelRoute { route, link });
            }
        }
    }

    /// The operations so far take the last IPv4 address of a link away, and the kernel its routes with it.
    fn loses_its_addresses(&self, index: u32) -> bool {
        let going: BTreeSet<Cidr> = self
            .result
            .ops
            .iter()
            .filter_map(|op| match op {
                Op::DelAddress { index: i, cidr, .. } if *i == index => Some(*cidr),
                _ => None,
            })
            .collect();
        !going.is_empty()
            && self
                .observed
                .addresses
                .iter()
                .filter(|(i, cidr)| *i == index && cidr.address().is_ipv4())
                .all(|(_, cidr)| going.contains(cidr))
    }

    fn services(&mut self) {
        let (desired, observed) = (self.desired, self.observed);
        for &service in observed.services.keys().filter(|s| !desired.services.contains_key(s)) {
            self.op(Op::DelService { service });
        }
        for (&service, wanted) in &desired.services {
            self.service(service, wanted);
        }
    }

    fn service(&mut self, service: Virtual, wanted: &VirtualService) {
        let found = self.observed.services.get(&service);
        let scheduling = Scheduling::of(wanted);
        match found {
            None => self.op(Op::AddService { service, scheduling }),
            Some(found) if found.scheduling != scheduling => {
                self.op(Op::SetService { service, scheduling });
            }
            Some(_) => {}
        }
        let nothing = BTreeMap::new();
        let there = found.map_or(&nothing, |f| &f.destinations);
        for &server in there.keys().filter(|s| !wanted.destinations.contains_key(s)) {
            self.op(Op::DelDestination { service, server });
        }
        for (&server, &destination) in &wanted.destinations {
            match there.get(&server) {
                None => self.op(Op::AddDestination { service, server, destination }),
                Some(d)
                    if d.weight != u32::from(destination.weight)
                        || d.forwarding != Some(destination.forwarding) =>
                {
                    self.op(Op::SetDestination { service, server, destination });
                }
                Some(_) => {}
            }
        }
    }

    /// A running daemon cannot be changed: it is stopped and started again.
    fn sync(&mut self) {
        let (desired, observed) = (self.desired, self.observed);
        for (&role, found) in &observed.sync {
            let right = desired
                .sync
                .get(&role)
                .is_some_and(|wanted| wanted.link.as_str() == found.link && wanted.id == found.id);
            if !right {
                self.op(Op::StopSync { role, daemon: found.clone() });
            }
        }
        for (&role, wanted) in &desired.sync {
            let running = observed
                .sync
                .get(&role)
                .is_some_and(|found| wanted.link.as_str() == found.link && wanted.id == found.id);
            match self.index(&wanted.link) {
                Err(why) => self.unmet(format!("sync {}", wanted.id), why),
                Ok(_) if running => {}
                Ok(_) => self.op(Op::StartSync { role, daemon: wanted.clone() }),
            }
        }
    }
}

/// A name that no link carries, for one that has to make room.
fn free_name(index: u32, carried: &BTreeMap<u32, String>) -> String {
    let taken: BTreeSet<&str> = carried.values().map(String::as_str).collect();
    (0_u32..)
        .map(|n| if n == 0 { format!("port{index}") } else { format!("p{n}-{index}") })
        .find(|name| !taken.contains(name.as_str()))
        .expect("there are more numbers than links")
}
