//! The state of an instance as it is kept, with the timers that run in each; and a master as it was heard. What leads
//! from one state to another is decided in the machine.

use std::net::IpAddr;
use std::time::Duration;

use crate::moment::Moment;
use crate::vrrp::wire::Advert;

/// The states of RFC 9568 §6.3 with their timers, and `Fault`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Init,
    Fault,
    Backup {
        /// `Master_Down_Timer`.
        down: Moment,
    },
    /// Backup whose `Master_Down_Timer` has fired while the master answered pings.
    Withheld,
    Master {
        /// `Adver_Timer`.
        advert: Moment,
        /// When the last advertisement was sent.
        sent: Moment,
        /// Set while it hands over: when it stops to wait for an heir.
        hand_over: Option<Moment>,
    },
}

/// A master that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Heard {
    pub(super) source: IpAddr,
    pub(super) priority: u8,
    pub(super) interval: Duration,
    pub(super) at: Moment,
}

impl Heard {
    pub(super) fn new(source: IpAddr, advert: &Advert, at: Moment) -> Self {
        Self { source, priority: advert.priority, interval: advert.interval, at }
    }

    /// Two advertisements in a row are missing.
    pub(super) fn is_silent(&self, now: Moment) -> bool {
        now.since(self.at) > self.interval * 2
    }
}
