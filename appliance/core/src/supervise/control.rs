//! What may be asked of PID 1 on `/run/halcyon/init.sock`: one JSON request per line, one JSON answer per line back.
//! Decides the form only; who may ask what is PID 1's decision, by peer credentials.

use serde::{Deserialize, Serialize};

/// Where PID 1 listens: a `SOCK_STREAM` unix socket.
pub const SOCKET: &str = "/run/halcyon/init.sock";

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    /// Stop everything in order and start the box again.
    Reboot,
    /// Stop everything in order and switch the box off.
    Poweroff,
    /// The units and their states.
    Units,
    /// Give the box a name.
    Hostname {
        /// The new host name: letters, digits, `-` and `.`, 1–64 bytes.
        name: String,
    },
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// Done, or under way; a sentence about it.
    Done(String),
    /// The units.
    Units(Vec<UnitStatus>),
    /// Not done; why and what to do.
    Refused(String),
}

/// One unit as [`Request::Units`] shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitStatus {
    /// Its name.
    pub name: String,
    /// `dormant`, `waiting`, `starting`, `running`, `ready`, `pausing`, `stopping`, `stopped`.
    pub state: String,
    /// Process id while one runs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<u32>,
    /// How often its program was started.
    pub starts: u64,
}
