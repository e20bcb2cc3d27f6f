//! The difference between the kernel state that the planner wants and the one that is there, as operations in an order
//! that is safe at every step. Decides what to do and when; never does it, and never asks why the planner wants it.
//!
//! The appliance owns the box, so on its ports, on the links that the document names, on the loopback and in the IPVS
//! table whatever is not wanted goes, and so do VLANs and bonds that the document does not name. Other links that software made, routes of other makers and sysctls that nobody
//! asked for are left alone, and so are the ports of a box without a document. The order
//! is [`Stage`]'s; open [`op`](self::Op) for it, [`Observed`] for the facts.
//!
//! What cannot be done now (a port that is not plugged in, a sysctl of a module that is not loaded) is [`Unmet`] and
//! holds up nothing else.

mod balancing;
mod links;
mod network;
mod observed;
mod op;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::config::types::LinkName;
use crate::plan::state::{Address, AddressRole, KernelState};

pub use observed::{
    DestinationFacts, LinkFacts, Made, Observed, RouteFact, Scheduling, ServiceFacts, SyncFacts,
};
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
    let mut work = Work {
        desired,
        observed,
        links: BTreeMap::new(),
        doomed: BTreeSet::new(),
        result: Difference::default(),
    };
    work.find_links();
    work.sysctls();
    work.rules();
    work.links();
    work.addresses();
    work.routes();
    work.services();
    work.sync();
    // Stable: within a stage the order above stays. A link is named and up before it gets addresses, and has them before
    // the routes that need them.
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
    /// Kernel indexes of the links that the document names and this box has, or is about to make.
    links: BTreeMap<&'a LinkName, u32>,
    /// VLANs and bonds that are about to be deleted.
    doomed: BTreeSet<u32>,
    result: Difference,
}

impl Work<'_> {
    fn op(&mut self, op: Op) {
        self.result.ops.push(op);
    }

    fn unmet(&mut self, item: impl Into<String>, why: impl Into<String>) {
        self.result.unmet.push(Unmet { item: item.into(), why: why.into() });
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

    fn rules(&mut self) {
        if self.observed.rules.as_ref() != Some(&self.desired.rules) {
            self.op(Op::SetRules(Box::new(self.desired.rules.clone())));
        }
    }
}
