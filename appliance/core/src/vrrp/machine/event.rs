//! What an instance is told, and what it asks for.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use crate::moment::Moment;
use crate::plan::VrrpState;
use crate::vrrp::statistics::Misfit;
use crate::vrrp::why::Why;
use crate::vrrp::wire::Advert;

/// What the instance knows of the time before it was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// Nothing.
    Fresh,
    /// An earlier process was master and the virtual addresses are still up, which the caller has made sure of.
    Resume {
        /// When it sent its last advertisement.
        last_advert: Moment,
    },
}

/// What can happen to an instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A well-formed advertisement arrived; see [`Instance::receive`] for a packet.
    Advert {
        /// Primary address of the sender.
        source: IpAddr,
        /// What it said.
        advert: Advert,
    },
    /// What is known of the interface; may be repeated.
    Link(Link),
    /// The time that [`Instance::poll_timeout`] named has come; too early does no harm.
    Timeout,
    /// Which fellow directors answer pings, where this box pings them: it takes over from none of these only because no
    /// advertisement is heard. Empty where it does not ping.
    Answering(BTreeSet<IpAddr>),
    /// An operator wants another box to be master. Does nothing on a box that is not.
    HandOver,
    /// An operator lifts the hold that follows a hand-over.
    Release,
    /// The box or the instance is about to stop.
    Stop,
}

/// What is known of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// It has a carrier and an address to send from.
    Up {
        /// That address.
        primary: IpAddr,
    },
    /// It has not.
    Down,
}

/// What an instance wants done, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this from the primary address.
    Send(Advert),
    /// Tell that the state changed.
    Changed {
        /// Before.
        from: VrrpState,
        /// Now.
        to: VrrpState,
        /// The reason.
        why: Why,
        /// The member's address that fell silent, if that is known; after priority 0 nobody did.
        silent: Option<IpAddr>,
    },
    /// Announce again: another master was heard, which yields to this one.
    Healed {
        /// Its primary address.
        other: IpAddr,
    },
    /// Announce again: this box did not run for so long that another may have taken over.
    Overslept {
        /// Since its last advertisement.
        slept: Duration,
        /// What other boxes tolerate.
        tolerated: Duration,
    },
    /// Tell that a silent master is not replaced, since it answers pings.
    Withheld {
        /// Its primary address.
        master: IpAddr,
        /// Since its last advertisement.
        silence: Duration,
    },
    /// Tell that nobody took over what was to be handed over.
    NoHeir,
    /// Tell an operator, the first time that something of its kind is received.
    Misfit {
        /// Who sent it.
        source: IpAddr,
        /// What is wrong.
        misfit: Misfit,
    },
}

/// Why an instance wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutReason {
    /// `Adver_Timer`: the next advertisement is due.
    Advert,
    /// `Master_Down_Timer`: the master counts as dead.
    MasterDown,
}
