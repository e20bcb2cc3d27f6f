//! What links, addresses and routes lack: which port each link of the document is, its name and state, what stands on
//! it and what leads over it. It never touches a link that is neither the document's nor a port, nor another maker's
//! route.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::types::{Cidr, LinkName};
use crate::plan::state::Address;

use super::observed::kernels_own;
use super::{Op, RouteFact, Work};

impl Work<'_> {
    /// Which of this box's ports is which link of the document.
    pub(super) fn find_links(&mut self) {
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

    /// Names, MTUs, up. A name that another link carries is freed first; that link gets its own in its turn.
    pub(super) fn links(&mut self) {
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
    }

    /// Addresses on the document's links, on the box's other ports and on the loopback.
    pub(super) fn addresses(&mut self) {
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
                    && !kernels_own(is_loopback, cidr)
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

    /// The kernel's index of a link of the document.
    pub(super) fn index(&self, link: &LinkName) -> Result<u32, String> {
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

    /// Routes over the document's links; one in the place of another is one operation.
    pub(super) fn routes(&mut self) {
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
}

/// A name that no link carries, for one that has to make room.
fn free_name(index: u32, carried: &BTreeMap<u32, String>) -> String {
    let taken: BTreeSet<&str> = carried.values().map(String::as_str).collect();
    (0_u32..)
        .map(|n| if n == 0 { format!("port{index}") } else { format!("p{n}-{index}") })
        .find(|name| !taken.contains(name.as_str()))
        .expect("there are more numbers than links")
}
