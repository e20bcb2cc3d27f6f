//! What the IPVS table lacks: virtual services, their destinations, the daemons that synchronise connections. Every
//! service that nobody wants goes, whoever made it; no weight or method is chosen here.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::state::{SyncRole, Virtual, VirtualService};

use super::{DestinationFacts, Op, Scheduling, SyncFacts, Work};

impl Work<'_> {
    /// Virtual services with their destinations.
    pub(super) fn services(&mut self) {
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
                Some(found) if *found != DestinationFacts::of(destination) => {
                    self.op(Op::SetDestination { service, server, destination });
                }
                Some(_) => {}
            }
        }
    }

    /// A running daemon cannot be changed: it is stopped and started again.
    pub(super) fn sync(&mut self) {
        let (desired, observed) = (self.desired, self.observed);
        let wanted = |role| desired.sync.get(&role).map(SyncFacts::of);
        // One that runs on a link of before has its sockets there.
        let made: BTreeSet<SyncRole> = desired
            .sync
            .iter()
            .filter(|(_, daemon)| self.links.get(&daemon.link).is_some_and(|&index| self.is_new(index)))
            .map(|(&role, _)| role)
            .collect();
        for (&role, found) in &observed.sync {
            if wanted(role).as_ref() != Some(found) || made.contains(&role) {
                self.op(Op::StopSync { role, daemon: found.clone() });
            }
        }
        for (&role, daemon) in &desired.sync {
            match self.index(&daemon.link) {
                Err(why) => self.unmet(format!("sync {}", daemon.id), why),
                Ok(_) if observed.sync.get(&role) == wanted(role).as_ref() && !made.contains(&role) => {}
                Ok(_) => self.op(Op::StartSync { role, daemon: daemon.clone() }),
            }
        }
    }
}
