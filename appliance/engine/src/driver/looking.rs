//! What the kernel tells beside what was planned: whether the segment for forwarding can be used, who has which MAC, and
//! what the guard has counted. Hands it on; decides nothing but what to say of it.

use std::collections::BTreeSet;

use halcyon_core::config::types::LinkName;
use halcyon_core::config::{Fallback, Storm};
use halcyon_core::moment::Moment;
use halcyon_core::node::{self, Carrier};
use halcyon_core::report;
use halcyon_kernel::Kernel;
use tracing::{error, info, warn};

use super::Driver;
use crate::clock;

impl<K: Kernel> Driver<K> {
    /// Looks whether the segment for forwarding can be used; every change says so.
    pub(super) fn forwarding(&mut self, now: Moment) {
        let Storm::SecondNic(forward) = &self.node.config().cluster.storm else { return };
        let name = forward.interface.as_str();
        let link = self.reconciler.observed().by_name(name);
        let up = link.is_some_and(|(_, facts)| facts.up && facts.carrier);
        if up == self.node.view().forward_down {
            if up {
                info!(interface = name, "the segment for forwarding is back");
            } else {
                warn!(
                    interface = name,
                    "the segment for forwarding is down: {}",
                    match forward.fallback {
                        Fallback::Lan => "forwarding over the services' own segment",
                        Fallback::Refuse => "this box serves alone",
                    }
                );
            }
        }
        let carrier = if up { Carrier::Up } else { Carrier::Down };
        self.node.handle(node::Event::Forwarding(carrier), now);
    }

    pub(super) async fn neighbours(&mut self) {
        let Some(member) = self.node.me().and_then(|me| self.node.config().members.get(me)) else { return };
        let links: Vec<LinkName> = member.interfaces.keys().cloned().collect();
        let mut known = BTreeSet::new();
        for link in links {
            let Ok(neighbours) = self.reconciler.kernel().neighbours(&link).await else { continue };
            known.extend(neighbours.into_iter().map(|(address, mac)| (link.clone(), address, mac)));
        }
        self.node.handle(node::Event::Neighbours(known), clock::now());
    }

    /// Reads the guard's counters; a packet that the last word stopped is an alarm.
    pub(super) fn count(&mut self, now: Moment) {
        let Ok(counters) = self.reconciler.kernel().counters() else { return };
        if let Some(dropped) = self.alarm.observe(counters.dropped.packets, now) {
            error!(
                dropped,
                "a fellow director forwards what this box does not serve, and the guard keeps it from going back: \
                 do both have the same document?"
            );
            self.supervisor.report(&report::Event::Guard { dropped });
        }
        self.counters = counters;
    }
}
