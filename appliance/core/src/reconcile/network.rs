//! What addresses and routes lack on the links of the document. It never touches a link that is neither the document's
//! nor a port, nor another maker's route.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::types::{Cidr, LinkName};
use crate::plan::state::Address;

use super::observed::kernels_own;
use super::{LinkFacts, Op, RouteFact, Work};

impl Work<'_> {
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

    /// The link is one that the document names, or another port, VLAN or bond of a box that has a document: a port that
    /// lost its name to another must not go on answering for an address.
    fn ours(&self, index: u32) -> bool {
        let ours = |l: &LinkFacts| l.permanent.is_some() || l.made.is_some();
        let is_ours = || self.observed.links.get(&index).is_some_and(ours);
        self.links.values().any(|&i| i == index) || (!self.desired.links.is_empty() && is_ours())
    }

    pub(super) fn name_of(&self, index: u32) -> String {
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
            if self.doomed.contains(&route.index) {
                continue;
            }
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
