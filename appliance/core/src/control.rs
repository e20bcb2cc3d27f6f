//! The engine's control protocol: one JSON request per line on `/run/halcyon/engine.sock`, one JSON response per line
//! back. Decides the form only; who may ask what is the engine's decision, by peer credentials.

use serde::{Deserialize, Serialize};

use crate::status::Status;

/// Where the engine listens: a `SOCK_STREAM` unix socket.
pub const SOCKET: &str = "/run/halcyon/engine.sock";

/// What can be asked of the engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    /// The status of the box.
    Status,
    /// The IPVS table as the kernel has it.
    Ipvs,
    /// Hand every instance that this box is master of over to a fellow member.
    Failover,
    /// Let go of what a hand-over has this box hold back: it may take over from a master of lower priority again.
    Release,
}

/// What the engine answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// The status of the box.
    Status(Box<Status>),
    /// The IPVS table, rendered for people.
    Text(String),
    /// Done; a sentence about it.
    Done(String),
    /// Not done; why and what to do.
    Refused(String),
}
