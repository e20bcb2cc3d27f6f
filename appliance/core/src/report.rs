//! Lifecycle events as the report tty carries them (contract §2): one JSON object per line, `event` and `uptime` first.
//!
//! Decides the form only. PID 1 owns the tty and stamps `uptime`; other programs hand it [`Event`]s over
//! `/run/halcyon/report.sock`, one JSON object per datagram.

use serde::{Deserialize, Serialize};

use crate::plan::VrrpState;

/// Where PID 1 receives events: a `SOCK_DGRAM` unix socket.
pub const SOCKET: &str = "/run/halcyon/report.sock";

/// A lifecycle event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// PID 1 is up.
    Boot {
        /// Version of the image.
        version: String,
    },
    /// The first plan is applied: the difference is empty.
    Ready {
        /// Who this box is; absent when it is unconfigured.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        member: Option<String>,
        /// Generation of the configuration.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        generation: Option<u64>,
        /// Set when there is no document, or none that names this box.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        unconfigured: bool,
        /// In words, when unconfigured: what was expected and found.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        why: Option<String>,
    },
    /// A VRRP instance changed its state.
    Vrrp {
        /// VRID.
        id: u8,
        /// Logical interface name.
        interface: String,
        /// The new state.
        state: VrrpState,
        /// Why, for people.
        why: String,
    },
    /// A configuration was taken, or refused.
    Config {
        /// Generation; absent when refused.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        generation: Option<u64>,
        /// `[cluster] revision`.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        revision: Option<u64>,
        /// `volume`, `store`, `wizard` or `peer`.
        source: String,
        /// Digest of the document's bytes, lower-case hexadecimal.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        sha256: Option<String>,
        /// Why it was refused: every problem, a sentence each.
        #[serde(skip_serializing_if = "Vec::is_empty", default)]
        refused: Vec<String>,
    },
    /// A unit changed its state.
    Unit {
        /// Its name.
        name: String,
        /// `started`, `ready`, `exited`, `waiting`, `stopped`.
        state: String,
        /// Process id while one runs.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        pid: Option<u32>,
        /// For people: exit status, pause before the next start.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        detail: Option<String>,
    },
    /// The storm guard stopped something.
    Guard {
        /// Frames dropped by the last word since the previous event.
        dropped: u64,
    },
    /// Something was done to a disk beyond ordinary use.
    Disk {
        /// The kernel's name of the disk.
        disk: String,
        /// For people: how far an installation is, what became of STATE.
        what: String,
    },
    /// The box is going down.
    Shutdown {
        /// `reboot` or `poweroff`.
        action: String,
    },
}

/// One line of the report tty: the event with its time, without the newline.
///
/// `uptime` is in seconds since the kernel started.
pub fn line(event: &Event, uptime: f64) -> String {
    #[derive(Serialize)]
    struct Stamped<'a> {
        #[serde(flatten)]
        event: &'a Event,
        uptime: f64,
    }
    serde_json::to_string(&Stamped { event, uptime: (uptime * 1e6).round() / 1e6 })
        .expect("an event has string keys and finite numbers")
}
