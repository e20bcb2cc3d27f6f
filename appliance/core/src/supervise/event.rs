//! What supervision is told, and what it says: two closed lists.

use std::fmt;

use super::unit::Unit;
use crate::report;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// More units to look after, together; known names are ignored.
    Added(Vec<Unit>),
    /// A [`Command::Start`] was carried out.
    Started {
        /// The unit.
        unit: String,
        /// Its main process.
        pid: u32,
    },
    /// A [`Command::Start`] could not be carried out.
    NotStarted {
        /// The unit.
        unit: String,
        /// Why, for people.
        why: String,
    },
    /// A process ended. Any may be told, also orphans that are no unit's main process.
    Exited {
        /// The process.
        pid: u32,
        /// How it ended.
        exit: Exit,
    },
    /// A unit's process said `READY=1`.
    Ready {
        /// The unit.
        unit: String,
    },
    /// A unit's process said `WATCHDOG=1`.
    Beat {
        /// The unit.
        unit: String,
    },
    /// A key arrived on a silent console.
    Woken {
        /// The unit that waited for it.
        unit: String,
    },
    /// The box is to go down.
    StopRequested,
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start the unit's program; answer with [`Event::Started`] or [`Event::NotStarted`].
    Start {
        /// The unit.
        unit: String,
    },
    /// Send the main process a signal.
    Signal {
        /// The unit.
        unit: String,
        /// Its main process.
        pid: u32,
        /// Which.
        signal: Signal,
    },
    /// Kill every process of the unit's cgroup.
    KillAll {
        /// The unit.
        unit: String,
    },
    /// Tell the report tty.
    Report(report::Event),
    /// Every unit has stopped: take the box down. Comes once.
    Halt,
}

/// Signals that supervision sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// `SIGTERM`.
    Term,
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Status(i32),
    /// By this signal.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}
