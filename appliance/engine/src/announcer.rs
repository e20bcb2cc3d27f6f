//! Sends the gratuitous ARPs of the virtual addresses that this box holds. When they are due is
//! `halcyon_core::vrrp::announce`'s to decide; this keeps one schedule per virtual router.

use std::collections::BTreeMap;
use std::net::IpAddr;

use halcyon_core::config::Config;
use halcyon_core::config::types::InstanceId;
use halcyon_core::moment::Moment;
use halcyon_core::plan::VrrpState;
use halcyon_core::reconcile::Observed;
use halcyon_core::vrrp::announce::Schedule;
use halcyon_kernel::announce;
use tracing::warn;

/// The schedules of this box.
#[derive(Debug, Default)]
pub struct Announcer {
    schedules: BTreeMap<InstanceId, Schedule>,
}

impl Announcer {
    /// A virtual router changed its state.
    pub fn changed(&mut self, id: &InstanceId, state: VrrpState, now: Moment) {
        let schedule = self.schedules.entry(id.clone()).or_insert_with(Schedule::idle);
        if state == VrrpState::Master { schedule.became_master(now) } else { schedule.left() }
    }

    /// Another master of `id` was heard, which yields to this box.
    pub fn healed(&mut self, id: &InstanceId, now: Moment) {
        if let Some(schedule) = self.schedules.get_mut(id) {
            schedule.healed(now);
        }
    }

    /// Virtual routers that are no longer in the document are forgotten.
    pub fn retain(&mut self, config: &Config) {
        self.schedules.retain(|id, _| config.vrrp.contains_key(id));
    }

    /// When the next announcement is due.
    pub fn next(&self) -> Option<Moment> {
        self.schedules.values().filter_map(Schedule::next_due).min()
    }

    /// Sends what is due, once the addresses are there: an announcement before that would draw packets that nobody
    /// takes.
    pub fn announce(&mut self, config: &Config, observed: &Observed, now: Moment) {
        for (id, schedule) in &mut self.schedules {
            let Some(instance) = config.vrrp.get(id) else { continue };
            let Some((index, link)) = observed.by_name(id.interface.as_str()) else { continue };
            let Some(mac) = link.mac else { continue };
            let addresses: Vec<IpAddr> =
                instance.addresses.iter().map(|a| a.address()).filter(|a| observed.has(index, *a)).collect();
            if addresses.is_empty() || !schedule.due(now) {
                continue;
            }
            if let Err(error) = announce::send(index, mac, &addresses) {
                warn!(router = %id, %error, "the virtual addresses could not be announced");
            }
        }
    }
}
