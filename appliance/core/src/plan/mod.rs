//! The planner: what the kernel of this box should hold, given the document, who this box is and what it knows.

pub mod state;

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Config;
use crate::config::types::{InstanceId, Mac, MemberName, ServerName, ServiceName};
use state::KernelState;

/// What this box knows at the moment: the planner's second argument.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// State of each VRRP instance; one that is missing counts as not master.
    pub vrrp: BTreeMap<InstanceId, VrrpState>,
    /// Health of each server; one that is missing is unknown.
    pub health: BTreeMap<(ServiceName, ServerName), Health>,
    /// Fellow members' MACs as the neighbour table has them, beside those of the document.
    pub neighbours: BTreeMap<MemberName, BTreeSet<Mac>>,
    /// This box is about to stop.
    pub leaving: bool,
}

/// State of a VRRP instance on this box, as contract §2 names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VrrpState {
    /// Not started (RFC 9568 §6.4.1 Initialize).
    Init,
    /// Waiting (§6.4.2).
    Backup,
    /// Holding the virtual addresses (§6.4.3 Active).
    Master,
    /// Unable to take part: link down, no address.
    Fault,
}

/// What is known of a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Health {
    /// Not checked yet: not in the table.
    Unknown,
    /// Its last check passed: in the table.
    Up,
    /// Its checks failed: not in the table.
    Down,
    /// Its box fell silent: not in the table until a check passes.
    Suspect,
}

/// The planner's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the kernel should hold.
    pub state: KernelState,
    /// Why: one line per item of the state, in its order.
    pub reasons: Vec<Reason>,
}

/// Why one item is in the plan, or is not.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Reason {
    /// The item, e.g. `address 192.168.0.239/32 on lan`.
    pub item: String,
    /// The sentence that explains it.
    pub why: String,
}

/// Plans the complete kernel state of member `me`. An unknown `me` gets an empty state.
pub fn plan(_config: &Config, _me: &MemberName, _view: &View) -> Plan {
    Plan { state: KernelState::default(), reasons: Vec::new() }
}
