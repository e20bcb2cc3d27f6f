//! Joining: a box without a document gets a cluster's from a box that has one, by a one-time code that a person carries
//! from one console to the other. [`first`] is the box that has the document and shows the code, [`second`] the one that
//! has none. Both are told what happened and say what to do; sockets, disks and clocks are the engine's.
//!
//! ```text
//! second → group ff02::… UDP: query                      who shows a code?
//! first  → second        UDP: answer                     I do
//! second → first         TCP: hello(SPAKE2 message)
//! first  → second             hello(SPAKE2 message)      from here on everything is sealed
//! second → first              offer(name, address, key, serial, ports)
//! first  → second             document(bytes, signature) on trial at the first by now, if it had to be changed
//! second → first              serving                    on trial at the second, and its kernel is as planned
//! first  → second             keep                       confirmed at the first
//! second → first              kept                       confirmed at the second
//! ```
//!
//! The code is the password of SPAKE2 ([`pake`]): who listens learns nothing about it, and who takes part without knowing
//! it has one guess for each run. The second box proves first that it knows the code, by an offer that opens; the first
//! does by its answer. So a first box tells a guesser nothing but right or wrong, [`code::FAILURES`] times.

pub mod amend;
pub mod code;
pub mod first;
pub mod pake;
pub mod second;
pub mod wire;

#[cfg(test)]
mod tests;

use std::net::Ipv6Addr;
use std::time::Duration;

/// The port of the first box, UDP for the query and TCP for the rest; open only while a code is shown.
pub const PORT: u16 = 9782;
/// The group that a query is sent to: link-local scope, from the range for dynamic use (RFC 3307 §4.3).
pub const GROUP: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0x8a1c, 0x9782);
/// How long a code can be used.
pub const OPEN: Duration = Duration::from_secs(600);
/// How long a peer may be silent before both know each other.
pub const GREETING: Duration = Duration::from_secs(10);
/// How long the two may take from there until both serve; then each goes back to what it had.
pub const TRIAL: Duration = Duration::from_secs(120);
