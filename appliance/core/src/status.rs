//! What a box tells about itself: one value, which `/status`, `/metrics`, `halctl status` and the consoles all render.
//!
//! Decides the form only; the field names of the JSON are an interface that monitoring relies on.

use serde::{Deserialize, Serialize};

use crate::plan::VrrpState;

/// The whole status of a box.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Which member this box is; `None` while it is unconfigured.
    pub member: Option<String>,
    /// Why it is unconfigured, in words.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unconfigured: Option<String>,
    /// The site's name.
    pub cluster: String,
    /// How often a configuration was taken since the box was first set up.
    pub generation: u64,
    /// `[cluster] revision` of the document.
    pub revision: u64,
    /// SHA-256 of the document's bytes, lower-case hexadecimal; empty without one.
    pub sha256: String,
    /// Where the running image was started from: `A`, `B`, or `direct` for a direct or network boot.
    pub slot: String,
    /// Version of the image.
    pub version: String,
    /// Virtual routers on this box.
    pub vrrp: Vec<Instance>,
    /// Virtual services.
    pub services: Vec<Service>,
    /// How co-located directors are kept from bouncing packets.
    #[serde(default)]
    pub strategy: Strategy,
    /// The storm guard.
    pub guard: Guard,
    /// The kernel holds exactly what the plan wants.
    pub reconciled: bool,
    /// What the plan wants and the kernel cannot hold at the moment, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub unmet: Vec<String>,
    /// Where the configuration is kept, in words; empty while that is not known.
    #[serde(default)]
    pub store: String,
    /// The document in force is on trial and waits for its confirmation.
    #[serde(default)]
    pub on_trial: bool,
    /// Seconds until it is undone without that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub trial_left: Option<u64>,
    /// What somebody should look after, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub alarms: Vec<String>,
    /// How the clock is kept; `None`: the document names no time server.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub clock: Option<Clock>,
    /// What DHCP servers lent, by interface.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub leases: Vec<Lease>,
    /// Name servers for workloads, in the order in which they are asked.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub dns: Vec<String>,
    /// The document sets an admin password, so that consoles may change this box.
    #[serde(default)]
    pub password: bool,
    /// Changes made to the kernel since the engine started.
    pub kernel_writes: u64,
    /// Seconds since the kernel started.
    pub uptime: u64,
}

/// One virtual router.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Instance {
    /// VRID.
    pub id: u8,
    /// Logical interface name.
    pub interface: String,
    /// Its state on this box.
    pub state: VrrpState,
    /// This box's priority.
    pub priority: u8,
    /// The virtual addresses.
    pub addresses: Vec<String>,
    /// Why it is in that state, for people.
    pub why: String,
    /// Uptime in seconds at which it entered that state.
    pub since: u64,
}

/// One virtual service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// The VIP.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// IPVS scheduler.
    pub scheduler: String,
    /// Its real servers.
    pub servers: Vec<Server>,
}

/// One real server of a service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The member's name, or the address of one that is none.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// The document's weight while it is in the table, else 0.
    pub weight: u16,
    /// It is in the table.
    pub healthy: bool,
    /// `unknown`, `up`, `down` or `suspect`.
    pub health: String,
    /// Why it is not healthy, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
}

/// An interface whose address a DHCP server gives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Logical interface name.
    pub interface: String,
    /// The address with its prefix; `None`: none was lent, or none that can be used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<String>,
    /// The router that was named with it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gateway: Option<String>,
    /// Who lent it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server: Option<String>,
    /// Why what was lent is not used, for people.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
}

/// How the clock is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// It follows a time server that answers.
    pub synchronised: bool,
    /// The time server that is known best.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub server: Option<String>,
    /// How far the clock is from it, microseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub offset_us: Option<i64>,
}

/// The storm strategy at work.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strategy {
    /// `weights`, `standby` or `second-nic`; empty without a document.
    pub name: String,
    /// What it knows at the moment, a sentence each.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notes: Vec<String>,
}

/// The storm guard.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guard {
    /// Packets that a fellow director forwarded and that were served here.
    pub delivered: u64,
    /// Packets that an old connection entry would have sent back.
    pub dropped: u64,
    /// Segments of open connections that a socket of this box expected.
    #[serde(default)]
    pub mine: u64,
    /// Segments of open connections that no socket of this box expected, while one other server could.
    #[serde(default)]
    pub theirs: u64,
    /// MACs of the fellow directors, each with its link.
    pub peers: Vec<String>,
}
