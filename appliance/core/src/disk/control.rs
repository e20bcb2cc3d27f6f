//! What may be asked of the unit `disks` on `/run/halcyon/disks.sock`: one JSON request, then JSON answers, a line each,
//! until one that is not [`Answer::Progress`]. Decides the form only; who may ask is that unit's decision, by peer
//! credentials.

use serde::{Deserialize, Serialize};

use super::install::Disk;

/// Where it listens: a `SOCK_STREAM` unix socket.
pub const SOCKET: &str = "/run/halcyon/disks.sock";

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "kebab-case")]
pub enum Request {
    /// The disks, and what is on them.
    Disks,
    /// Copy the running system onto a disk.
    Install {
        /// The disk's name.
        disk: String,
        /// Its name once more: whoever asks has agreed that what is on it is lost.
        overwrite: String,
    },
    /// Forget keys, configurations and STATE, and start again.
    FactoryReset,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The disks.
    Disks(Vec<Disk>),
    /// It goes on; a sentence.
    Progress(String),
    /// Done; a sentence.
    Done(String),
    /// Not done; why and what to do.
    Refused(String),
}
