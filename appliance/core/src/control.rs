//! The engine's control protocol: one JSON request per line on `/run/halcyon/engine.sock`, one JSON response per line
//! back. Decides the form only; who may ask what is the engine's decision, by peer credentials.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::join::code::Code;
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
    /// The document in force, or that of a generation, without its secrets.
    ConfigShow {
        /// Which; `None`: the one in force.
        generation: Option<u64>,
    },
    /// Every generation that is kept.
    ConfigHistory,
    /// What changed from a generation to the document in force, without secrets.
    ConfigDiff {
        /// From which; `None`: the one before.
        generation: Option<u64>,
    },
    /// Take a document.
    ConfigApply {
        /// Its text.
        document: String,
        /// Its signature's text.
        signature: String,
        /// On trial: it is undone after so many seconds unless it is confirmed.
        confirm_within: Option<u32>,
    },
    /// Take a document that was typed at a console of this box: nobody signed it. Refused where a signed one is in force
    /// that sets no password.
    SetUp {
        /// Its text.
        document: String,
        /// On trial, as with [`Request::ConfigApply`]; a box that had no document goes back to having none.
        confirm_within: Option<u32>,
    },
    /// Judge an administrator's password. What follows from a right one is for the console to keep.
    Unlock {
        /// What was typed.
        password: Typed,
    },
    /// The document in force with its secrets: what a change begins with.
    ConfigDocument,
    /// The box's network ports.
    Ports,
    /// Make the document on trial permanent.
    ConfigConfirm,
    /// Go back to an earlier document, or end a trial.
    ConfigRollback {
        /// To which; `None`: the one before.
        generation: Option<u64>,
    },
    /// The documents on volumes labelled `HALCYON` that are plugged in.
    ConfigVolumes,
    /// Take a document off such a volume.
    ConfigApplyVolume {
        /// Its file's name, at the volume's top level.
        file: String,
        /// On trial: it is undone after so many seconds unless it is confirmed.
        confirm_within: Option<u32>,
    },
    /// The public half of the key that signs this box's records.
    KeyShow,
    /// Make a new such key, which the present one vouches for.
    KeyRotate,
    /// Make a one-time code by which another box can join this one. It can be used for as long as somebody
    /// asks for [`Request::JoinProgress`].
    JoinOpen,
    /// Let it die.
    JoinClose,
    /// Join the box that shows this code. Where a document is in force here, the other box's must have a higher revision.
    Join {
        /// The code.
        code: Code,
        /// The member that this box is to be; not needed where the document has it.
        name: Option<String>,
        /// Its own address with its prefix; not needed where the document has it.
        address: Option<String>,
    },
    /// How joining goes on, at either box.
    JoinProgress,
}

/// What a person typed that nobody else is to see, in no log either.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Typed(pub String);

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Typed(…)")
    }
}

/// What the engine answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Response {
    /// The status of the box.
    Status(Box<Status>),
    /// A table, a document or a list, rendered for people.
    Text(String),
    /// Its network ports, by name.
    Ports(Vec<Port>),
    /// A code for another box.
    Code(Code),
    /// How joining goes on.
    Joining(Joining),
    /// Done; a sentence about it.
    Done(String),
    /// Not done; why and what to do.
    Refused(String),
}

/// How joining goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Joining {
    /// The last news, a sentence.
    pub said: String,
    /// For how many seconds the code can still be used; `None`: none is shown here.
    pub left: Option<u64>,
    /// How it ended: well, or not; `None`: not yet.
    pub over: Option<bool>,
}

/// A network port as a person tells it from the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// The name that its link carries now.
    pub name: String,
    /// The MAC in its hardware.
    pub mac: String,
    /// Its driver; `None` where the kernel names none.
    pub driver: Option<String>,
    /// Bus address, e.g. `0000:01:00.0`.
    pub path: Option<String>,
    /// The cable carries a signal; `false` too while the link is switched off.
    pub carrier: bool,
    /// Mbit/s; `None` where the driver does not say.
    pub speed: Option<u32>,
}
