//! DHCP clients: one on each link of this box that the document has ask for an address, while the link has a carrier. A link
//! that was away may be somewhere else: its client begins anew.

use std::collections::BTreeMap;

use halcyon_core::config::types::{LinkName, Mac};
use halcyon_core::dhcp::Lease;
use halcyon_core::moment::Moment;
use halcyon_core::node;
use halcyon_kernel::Kernel;
use tokio::task::JoinHandle;
use tracing::{info, warn};

use super::Driver;
use crate::{clock, lessee};

/// The clients at work: by link, with the kernel's index and the MAC that each was begun with.
#[derive(Debug, Default)]
pub(super) struct Lessees(BTreeMap<LinkName, (u32, Mac, JoinHandle<()>)>);

impl<K: Kernel> Driver<K> {
    /// Begins the clients that are wanted and ends the others, with what they were lent.
    pub(super) fn seek_leases(&mut self, now: Moment) {
        let wanted: BTreeMap<LinkName, (u32, Mac)> = self
            .node
            .lessees()
            .filter_map(|link| {
                let (index, facts) = self.reconciler.observed().by_name(link.as_str())?;
                Some((link.clone(), (index, facts.mac.filter(|_| facts.up && facts.carrier)?)))
            })
            .collect();
        let over: Vec<LinkName> = self
            .lessees
            .0
            .iter()
            .filter(|(link, (index, mac, task))| {
                wanted.get(*link) != Some(&(*index, *mac)) || task.is_finished()
            })
            .map(|(link, _)| link.clone())
            .collect();
        for link in over {
            if let Some((_, _, task)) = self.lessees.0.remove(&link) {
                task.abort();
            }
            self.leased(link, None);
        }
        for (link, (index, mac)) in wanted {
            self.lessees.0.entry(link).or_insert_with_key(|link| {
                let client =
                    lessee::seek(link.clone(), index, mac, clock::seed(), self.outcomes.leased.clone());
                (index, mac, tokio::task::spawn_local(client))
            });
        }
        self.node.handle(node::Event::Timeout, now);
    }

    /// Takes in what a client was lent.
    pub(super) fn leased(&mut self, link: LinkName, lease: Option<Lease>) {
        // What a client said before it was ended counts no more.
        let lease = lease.filter(|_| self.lessees.0.contains_key(&link));
        let before = self.node.view().leases.get(&link).cloned();
        self.node.handle(node::Event::Leased(link.clone(), lease), clock::now());
        let after = self.node.view().leases.get(&link);
        match (after, self.node.refused_leases().get(&link)) {
            (Some(lease), _) => info!(interface = %link, "{link} was lent {lease}"),
            (None, Some(why)) => warn!(interface = %link, "{link} was lent {why}"),
            (None, None) if before.is_some() => {
                warn!(interface = %link, "{link} has its lent address no more")
            }
            (None, None) => {}
        }
        // What listens there listens at another address.
        self.closed |= before.map(|lease| lease.address) != after.map(|lease| lease.address);
        self.inspect_at = clock::now();
    }
}
