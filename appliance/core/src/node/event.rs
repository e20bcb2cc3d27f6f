//! What a node is told, and what it asks for.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::ServerKey;
use crate::config::types::{InstanceId, LinkName, Mac};
use crate::dhcp::Lease;
use crate::plan::{Health, VrrpState};
use crate::standby::Echo;

/// What can happen to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A virtual router of this box changed its state.
    Vrrp {
        /// Which.
        id: InstanceId,
        /// Its new state.
        state: VrrpState,
        /// The master whose silence made this box master; `None` when it left in order, or when none was ever heard.
        silent: Option<IpAddr>,
    },
    /// A health check came to an end.
    Checked {
        /// Of which server.
        server: ServerKey,
        /// The number that [`Action::Check`] gave it.
        number: u64,
        /// How it went; the error is a sentence for people.
        outcome: Result<(), String>,
    },
    /// The neighbour table, as far as it knows addresses: link, address, MAC.
    Neighbours(BTreeSet<(LinkName, IpAddr, Mac)>),
    /// An echo request came to an end.
    Echoed {
        /// Who was asked.
        target: IpAddr,
        /// The number that [`Action::Echo`] gave it.
        number: u64,
        /// An answer came in time.
        answered: bool,
    },
    /// A link of this box became usable: what failed for want of it is tried again at once.
    Connected,
    /// Whether this box's port on the segment for forwarding has a carrier.
    Forwarding(Carrier),
    /// This box waits for nothing but its first healthy servers: those that were checked in vain are checked again.
    Awaited,
    /// The fellow director with this address says that it is about to stop. Nothing proves it.
    Farewell(IpAddr),
    /// What a DHCP server lent to a link of this box; `None`: nothing, or nothing any more.
    Leased(LinkName, Option<Lease>),
    /// This box is about to stop.
    Leaving,
    /// Whether a console shows a code by which another box can join.
    JoinOpen(bool),
    /// Time passed.
    Timeout,
}

/// Whether a port has a carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// It has.
    Up,
    /// It has not, or there is no such port.
    Down,
}

/// What a node wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Carry a health check out and answer with [`Event::Checked`].
    Check {
        /// Of which server.
        server: ServerKey,
        /// To be repeated in the answer.
        number: u64,
        /// Where to.
        target: SocketAddr,
        /// Total deadline.
        limit: Duration,
    },
    /// Send an ICMP echo request and answer with [`Event::Echoed`].
    Echo(Echo),
    /// Tell the virtual routers which fellow directors answer pings
    /// ([`machine::Event::Answering`](crate::vrrp::machine::Event::Answering)).
    Answering(BTreeSet<IpAddr>),
    /// A server's health changed: for the log.
    HealthChanged {
        /// Which server.
        server: ServerKey,
        /// What it was.
        from: Health,
        /// What it is.
        to: Health,
        /// Why, for people.
        why: String,
    },
}
