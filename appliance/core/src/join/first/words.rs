//! What the box that shows a code tells of a join, and how the join ended, as values and as consoles show them.

use std::fmt;

use super::Peer;
use crate::config::types::MemberName;
use crate::join::OPEN;
use crate::join::code::FAILURES;

/// What there is to tell meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A box came with another code.
    Wrong(Peer, u32),
    /// A box knows the code.
    Known(Peer),
    /// It gets nothing.
    Denied(String),
    /// It has the document.
    Given(MemberName),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The other box keeps the document.
    Joined(MemberName),
    /// It does not, or nobody knows.
    Failed(String),
    /// The time is over.
    Late,
    /// Too many peers came with another code.
    Worn,
    /// No console shows the code any more.
    Hidden,
}

/// As consoles show it.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(_, left) => {
                write!(f, "a box with a wrong code was refused; {left} more and this code is dead")
            }
            Self::Known(_) => f.write_str("a box with the right code is here"),
            Self::Denied(why) => write!(f, "it cannot join: {why}"),
            Self::Given(member) => write!(f, "{member} has the document and tries it"),
        }
    }
}

/// As consoles show it.
impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Joined(member) => write!(f, "{member} has joined"),
            Self::Failed(why) => write!(f, "no box has joined: {why}"),
            Self::Late => {
                write!(f, "no box has joined within {} minutes; the code is dead", OPEN.as_secs() / 60)
            }
            Self::Worn => {
                write!(
                    f,
                    "{FAILURES} times a box came with a wrong code; this code is dead, ask for another one"
                )
            }
            Self::Hidden => f.write_str("no console shows the code any more; it is dead"),
        }
    }
}
