//! Why an instance changed its state: data for the program, a sentence for people.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

/// The reason of a transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The link is usable for the first time, or again.
    Started {
        /// How long a master is listened for.
        listening: Duration,
    },
    /// This box was master when its engine stopped, a moment ago, and goes on.
    Resumed {
        /// Since its last advertisement.
        ago: Duration,
    },
    /// No master was heard since the instance started to listen.
    NobodyHeard {
        /// How long it listened.
        listened: Duration,
    },
    /// The master fell silent.
    Silent {
        /// Its primary address.
        master: IpAddr,
        /// Since its last advertisement.
        silence: Duration,
    },
    /// The master gave up by priority 0.
    Left {
        /// Its primary address.
        master: IpAddr,
    },
    /// A working master has a lower priority.
    Preempting {
        /// Its primary address.
        master: IpAddr,
        /// Its priority.
        theirs: u8,
        /// This box's.
        ours: u8,
    },
    /// Another master has a higher priority.
    HigherPriority {
        /// Its primary address.
        master: IpAddr,
        /// Its priority.
        theirs: u8,
        /// This box's.
        ours: u8,
    },
    /// Another master has the same priority and the higher primary address.
    HigherAddress {
        /// Its primary address.
        master: IpAddr,
        /// This box's.
        ours: IpAddr,
        /// The priority of both.
        priority: u8,
    },
    /// Another box took over what an operator handed over.
    HandedOver {
        /// Its primary address.
        heir: IpAddr,
    },
    /// The interface has no carrier, or no address of the router's family to speak from.
    LinkDown,
    /// The instance was stopped.
    Stopped,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |duration: &Duration| format!("{:.3} s", duration.as_secs_f64());
        match self {
            Self::Started { listening } => {
                write!(f, "the interface is up; listening for a master for {}", seconds(listening))
            }
            Self::Resumed { ago } => {
                write!(f, "was master {} ago and its virtual addresses are still up", seconds(ago))
            }
            Self::NobodyHeard { listened } => write!(f, "no master was heard for {}", seconds(listened)),
            Self::Silent { master, silence } => {
                write!(f, "{master} has been silent for {}", seconds(silence))
            }
            Self::Left { master } => write!(f, "{master} gave up with priority 0"),
            Self::Preempting { master, theirs, ours } => write!(f, "{master} has priority {theirs} < {ours}"),
            Self::HigherPriority { master, theirs, ours } => {
                write!(f, "{master} has priority {theirs} > {ours}")
            }
            Self::HigherAddress { master, ours, priority } => {
                write!(f, "{master} has the same priority {priority} and an address higher than {ours}")
            }
            Self::HandedOver { heir } => write!(f, "handed over to {heir}"),
            Self::LinkDown => f.write_str("the interface has no carrier or no address to speak from"),
            Self::Stopped => f.write_str("stopped"),
        }
    }
}
