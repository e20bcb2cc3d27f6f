//! What the IPVS table lacks: virtual services, their destinations, the daemons that synchronise connections. Every
//! service that nobody wants goes, whoever made it; no weight or method is chosen here.

use std::collections::BTreeMap;

use crate::plan::state::{Virtual, VirtualService};

use super::{Op, Scheduling, Work};

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
    pub(super) fn sync(&mut self) {
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
