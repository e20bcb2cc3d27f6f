//! Taking a document: off a volume, into the node once this box is found in it, and what the box does about it beside its
//! plan. Which document counts is [`Binding`](crate::binding::Binding)'s to decide.

use std::time::Duration;

use halcyon_core::moment::Moment;
use halcyon_core::sync::Standing;
use halcyon_core::{ntp, report, resolver};
use halcyon_kernel::Kernel;
use tracing::info;

use super::Driver;
use crate::vrrp_thread::Command;
use crate::{clock, observe};

/// How long after boot a configured box looks for volumes: a slow stick takes some seconds to appear.
const VOLUMES: Duration = Duration::from_secs(60);

impl<K: Kernel> Driver<K> {
    /// Looks for volumes while one may still appear.
    pub(super) fn volumes(&mut self, now: Moment) {
        if !self.keeping.settled() || self.node.me().is_some() && now.since_boot() > VOLUMES {
            return;
        }
        for volume in self.scanner.scan() {
            let Some(event) = self.binding.offer(&volume) else { continue };
            self.supervisor.report(&event);
            if let report::Event::Config { generation: Some(_), .. } = event {
                self.taken(&volume.device);
            }
        }
    }

    /// Takes the document in force into the node, once this box is found in it. Returns whether that is news.
    pub(super) fn bind(&mut self) -> bool {
        let Some(me) = self.binding.bind(self.reconciler.observed()) else { return false };
        let Some((document, _)) = self.binding.document() else { return false };
        if self.node.me() == Some(&me) && *self.node.config() == document.config {
            return false;
        }
        self.node.configure(document.config.clone(), me, clock::now());
        self.links.clear();
        self.command(Command::Configure(self.assignments()));
        self.closed = true;
        true
    }

    /// What else follows from a document, once VRRP, which may be waited for, has it.
    pub(super) fn move_in(&mut self) {
        let Some(me) = self.node.me() else { return };
        info!(member = %me, revision = self.node.config().cluster.revision, "configured");
        self.supervisor.hostname(me.as_str());
        self.announcer.retain(self.node.config());
        self.entered.retain(|id, _| self.node.config().vrrp.contains_key(id));
        self.replan();
    }

    /// Tells other programs what they need to know of the document.
    pub(super) fn hand_out(&mut self) {
        let config = self.node.config();
        let ntp = (!config.ntp.is_empty()).then(|| ntp::configuration(&config.ntp));
        let dns = resolver::file(&self.node.name_servers());
        self.handout.put("ntp.toml", ntp);
        self.handout.put("resolv.conf", dns);
    }

    /// Listens where a new document says: for the roll call, and for `/status` and `/metrics`. Nowhere else, and never
    /// before the packet rules stand.
    pub(super) fn open_doors(&mut self) {
        let Some(me) = self.node.me().filter(|_| std::mem::take(&mut self.closed)) else { return };
        self.roll_call.stand(Standing::of(self.node.config(), me, &self.plan.state));
        if let Some(listener) = self.listener.take() {
            listener.abort();
        }
        let config = self.node.config();
        let Some(observe) = &config.observe else { return };
        let Some(interface) = config.members.get(me).and_then(|m| m.interfaces.get(&observe.interface))
        else {
            return;
        };
        let lent = self.node.view().leases.get(&observe.interface).map(|lease| lease.address.address());
        let addresses = interface.addresses.iter().map(|a| a.address()).chain(lent).collect();
        let serve = observe::serve(addresses, observe.port, self.status.subscribe());
        self.listener = Some(tokio::task::spawn_local(serve));
    }
}
