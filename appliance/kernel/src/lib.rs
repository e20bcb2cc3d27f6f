//! The Linux edge: it reads what the kernel holds and runs the operations that [`halcyon_core::reconcile`] decided on.
//! It decides nothing itself; everything it could decide arrives as an [`Op`] with the kernel's own handles in it.
//!
//! [`Kernel`] is the seam. [`linux::Linux`] is the one real implementation, [`fake::Fake`] the one for tests. Below the
//! first, one module per kernel interface: [`ipvs`] (generic netlink), [`route`] (rtnetlink; `link` reads and writes its links), [`nft`] (packet rules),
//! [`sysctl`]. [`announce`], [`dhcp_socket`], [`vrrp_socket`] and [`sync_socket`] stand beside the seam: what they send cannot be observed
//! afterwards.

pub mod announce;
pub mod dhcp_socket;
pub mod fake;
pub mod inventory;
pub mod ipvs;
mod link;
pub mod linux;
pub mod netlink;
pub mod nft;
pub mod route;
pub mod sync_socket;
pub mod sysctl;
pub mod vrrp_socket;
pub mod watch;

use std::future::Future;
use std::net::IpAddr;

use halcyon_core::config::types::{LinkName, Mac};
use halcyon_core::plan::state::KernelState;
use halcyon_core::reconcile::{Observed, Op};

/// What the engine asks of a kernel.
pub trait Kernel {
    /// What the kernel holds, as far as `desired` and the appliance's ownership reach: of the thousands of sysctls only
    /// those that `desired` names are read.
    fn observe(&mut self, desired: &KernelState) -> impl Future<Output = Result<Observed, Error>> + Send;

    /// Links and addresses only: for who has to know at once whether its virtual addresses are up.
    fn glance(&mut self) -> impl Future<Output = Result<Observed, Error>> + Send;

    /// Runs `batch` in order and says of each operation how it went. One that finds its work done already has
    /// succeeded. A failure does not stop those after it; [`apply_all`] is the caller that knows which must wait.
    fn apply(&mut self, batch: &[Op]) -> impl Future<Output = Vec<Result<(), Error>>> + Send;

    /// Neighbours on `link` whose hardware address the kernel knows.
    fn neighbours(
        &mut self,
        link: &LinkName,
    ) -> impl Future<Output = Result<Vec<(IpAddr, Mac)>, Error>> + Send;

    /// The storm guard's counters.
    fn counters(&mut self) -> Result<Counters, Error>;

    /// The IPVS table with its counters, for people.
    fn table(&mut self) -> Result<Vec<ipvs::Service>, Error>;

    /// Calls so far that changed something, or tried to. An idle reconcile leaves it as it is.
    fn writes(&self) -> u64;
}

/// The storm guard's counters since the box started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// What fellow directors forwarded and this box took for itself.
    pub delivered: Count,
    /// What the last word kept from crossing a second time; above 0 is an alarm.
    pub dropped: Count,
    /// Segments of established connections whose socket is on this box.
    pub mine: Count,
    /// Segments of established connections whose socket is on the other box.
    pub theirs: Count,
}

/// One packet counter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Packets.
    pub packets: u64,
    /// Bytes, from the IP header on.
    pub bytes: u64,
}

/// Why the kernel did not do it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel refused a request.
    #[error("{what}: {source}")]
    Refused {
        /// What was asked.
        what: String,
        /// The kernel's answer.
        source: std::io::Error,
    },
    /// The kernel has no such scheduler, forwarding table or option: its module is not loaded.
    #[error("{what}: the kernel does not have it; load the module {module}")]
    Missing {
        /// What was asked for.
        what: String,
        /// The module that provides it.
        module: String,
    },
    /// The kernel's answer cannot be read.
    #[error("{what}: the kernel's answer makes no sense: {detail}")]
    Nonsense {
        /// What was asked.
        what: String,
        /// What is wrong with it.
        detail: String,
    },
    /// `nft` could not be run, or refused the rules.
    #[error("packet rules: {0}")]
    Rules(String),
}

impl Error {
    pub(crate) fn refused(what: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        Self::Refused { what: what.into(), source: source.into() }
    }
}

/// What became of a list of operations.
#[derive(Debug, Default)]
pub struct Applied {
    /// Operations that succeeded.
    pub done: usize,
    /// Those that failed, and why.
    pub failed: Vec<(Op, Error)>,
    /// Those that were not tried: they would draw traffic to a box whose guard could not be set up.
    pub withheld: Vec<Op>,
}

/// Operations that are handed to the kernel at once, so that a table of ten thousand servers does not keep the engine
/// from its other work for longer than some milliseconds.
const BATCH: usize = 128;

/// Runs `ops`, in order. One that fails holds up those that depend on it and nothing else.
pub async fn apply_all<K: Kernel>(kernel: &mut K, ops: &[Op]) -> Applied {
    let mut applied = Applied::default();
    let mut missing: Vec<Op> = Vec::new();
    let mut rest = ops;
    while let Some(first) = rest.first() {
        // Dependencies never lie within a stage, so a batch needs to be looked at only once.
        let stage = first.stage();
        let length = rest.iter().take(BATCH).take_while(|op| op.stage() == stage).count();
        let (batch, later) = rest.split_at(length);
        rest = later;
        let (batch, withheld): (Vec<Op>, Vec<Op>) =
            batch.iter().cloned().partition(|op| !missing.iter().any(|failed| op.depends_on(failed)));
        applied.withheld.extend(withheld);
        let results = kernel.apply(&batch).await;
        for (op, result) in batch.into_iter().zip(results) {
            match result {
                Ok(()) => applied.done += 1,
                Err(error) => {
                    missing.extend(op.guards().then(|| op.clone()));
                    applied.failed.push((op, error));
                }
            }
        }
        tokio::task::yield_now().await;
    }
    applied
}

#[cfg(test)]
mod tests;
