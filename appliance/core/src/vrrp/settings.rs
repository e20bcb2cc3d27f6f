//! What one member needs to know about one virtual router: the document's instance as seen from that member.

use std::time::Duration;

use super::timers;
use super::wire::{Addresses, Advert, Authentication, Coverage, Form};
use crate::config::types::{Family, InstanceId, MemberName, Priority};
use crate::config::{VrrpInstance, VrrpVersion};

/// Settings of one virtual router on one box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Interface and VRID.
    pub id: InstanceId,
    /// This box's priority.
    pub priority: Priority,
    /// Time between this box's advertisements.
    pub interval: Duration,
    /// The virtual addresses.
    pub addresses: Addresses,
    /// Take over from a working master of lower priority.
    pub preempt: bool,
    /// How long after coming up such a master is tolerated all the same.
    pub preempt_delay: Duration,
    /// Version, with what only that version has.
    pub form: Form,
}

impl Settings {
    /// The settings of `member` in `instance`; `None` when it takes no part, or when the addresses are of both
    /// families, which no checked document has.
    pub fn of_member(instance: &VrrpInstance, member: &MemberName) -> Option<Self> {
        let addresses = Addresses::new(instance.addresses.iter().map(|cidr| cidr.address()).collect())?;
        let form = match instance.version {
            VrrpVersion::V2 => Form::V2 {
                authentication: instance
                    .authentication
                    .as_deref()
                    .map_or(Authentication::None, Authentication::password),
            },
            VrrpVersion::V3 => Form::V3 {
                checksum: if instance.pseudo_header || addresses.family() == Family::Ipv6 {
                    Coverage::PseudoHeader
                } else {
                    Coverage::Message
                },
            },
        };
        Some(Self {
            id: instance.id.clone(),
            priority: *instance.priorities.get(member)?,
            interval: instance.advert_interval,
            addresses,
            preempt: instance.preempt,
            preempt_delay: instance.preempt_delay,
            form,
        })
    }

    /// The advertisement that this box sends with `priority`.
    pub fn advert(&self, priority: u8) -> Advert {
        Advert {
            vrid: self.id.vrid,
            priority,
            interval: self.interval,
            addresses: self.addresses.clone(),
            form: self.form,
        }
    }

    /// The family that it speaks and whose addresses it holds.
    pub fn family(&self) -> Family {
        self.addresses.family()
    }

    /// Protocol version.
    pub fn version(&self) -> VrrpVersion {
        match self.form {
            Form::V2 { .. } => VrrpVersion::V2,
            Form::V3 { .. } => VrrpVersion::V3,
        }
    }

    /// `Skew_Time` of this box behind a master that advertises every `active_interval`.
    pub fn skew(&self, active_interval: Duration) -> Duration {
        timers::skew(self.version(), self.priority.get(), active_interval)
    }

    /// `Master_Down_Interval` of this box behind a master that advertises every `active_interval`.
    pub fn master_down(&self, active_interval: Duration) -> Duration {
        timers::master_down(self.version(), self.priority.get(), active_interval)
    }
}
