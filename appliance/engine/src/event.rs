//! The closed list of what can wake the engine, and the channels that each arrives on.

use std::net::IpAddr;
use std::time::Duration;

use halcyon_core::config::types::LinkName;
use halcyon_core::dhcp::Lease;
use halcyon_core::node::ServerKey;
use halcyon_kernel::watch::Changes;
use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::control::Asked;
use crate::{join, store, vrrp_thread};

/// What can wake the engine.
#[derive(Debug)]
pub enum Event {
    /// The VRRP thread tells something.
    Vrrp(vrrp_thread::Event),
    /// A health check came to an end.
    Checked {
        /// Of which server.
        server: ServerKey,
        /// Its number.
        number: u64,
        /// How it went.
        outcome: Result<(), String>,
    },
    /// An echo request came to an end.
    Echoed {
        /// Who was asked.
        target: IpAddr,
        /// Its number.
        number: u64,
        /// An answer came in time.
        answered: bool,
    },
    /// A local program asks.
    Asked(Asked),
    /// Fellow directors have told their connections, or have had their time.
    RollCalled,
    /// The fellow director with this address says that it leaves.
    Farewell(IpAddr),
    /// A link was lent an address, or has it no longer.
    Leased(LinkName, Option<Lease>),
    /// The configuration store tells something.
    Store(store::Event),
    /// A box joins this one, or this one another.
    Joining(join::Event),
    /// A link, an address, a route or a neighbour changed.
    KernelChanged,
    /// The time that was asked for has come.
    Timer,
    /// The engine is to stop.
    Terminate,
}

/// Where events come from.
pub struct Sources {
    /// The VRRP thread.
    pub vrrp: mpsc::UnboundedReceiver<vrrp_thread::Event>,
    /// Health checks.
    pub checked: mpsc::Receiver<(ServerKey, u64, Result<(), String>)>,
    /// Echo requests.
    pub echoed: mpsc::Receiver<(IpAddr, u64, bool)>,
    /// The control socket.
    pub asked: mpsc::Receiver<Asked>,
    /// The roll call.
    pub roll_call: watch::Receiver<u64>,
    /// Farewells that the roll call heard.
    pub farewells: mpsc::Receiver<IpAddr>,
    /// DHCP clients.
    pub leased: mpsc::Receiver<(LinkName, Option<Lease>)>,
    /// The configuration store.
    pub store: mpsc::UnboundedReceiver<store::Event>,
    /// Joining.
    pub joining: mpsc::UnboundedReceiver<join::Event>,
    /// The kernel.
    pub changes: Changes,
    /// `SIGTERM`.
    pub terminate: Signal,
}

impl Sources {
    /// The next event, at the latest after `wait`. VRRP comes first: it is what an outage waits for.
    pub async fn next(&mut self, wait: Duration) -> Event {
        tokio::select! {
            biased;
            Some(event) = self.vrrp.recv() => Event::Vrrp(event),
            _ = self.terminate.recv() => Event::Terminate,
            Some((server, number, outcome)) = self.checked.recv() => Event::Checked { server, number, outcome },
            Some((target, number, answered)) = self.echoed.recv() => Event::Echoed { target, number, answered },
            Some(asked) = self.asked.recv() => Event::Asked(asked),
            Ok(()) = self.roll_call.changed() => Event::RollCalled,
            Some(from) = self.farewells.recv() => Event::Farewell(from),
            Some((link, lease)) = self.leased.recv() => Event::Leased(link, lease),
            Some(event) = self.store.recv() => Event::Store(event),
            Some(event) = self.joining.recv() => Event::Joining(event),
            Ok(_) = self.changes.next() => Event::KernelChanged,
            () = sleep(wait) => Event::Timer,
        }
    }
}
