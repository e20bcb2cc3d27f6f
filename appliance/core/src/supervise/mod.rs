//! PID 1's mind: which unit runs, when it starts again, in what order everything ends.
//!
//! [`parse`] turns unit files into [`Unit`]s and tells every problem at once; [`Supervisor`] is told what happened
//! (`handle(event, now)`) and says what to do (`poll_command`) and when to be asked again (`poll_timeout`). It never
//! forks, kills, reads a clock or a file: PID 1's loop does, and so does the simulation in the tests.
//!
//! Open [`unit`] for what a unit is, [`supervisor`] for its life.

pub mod backoff;
mod capability;
pub mod control;
mod event;
mod parse;
pub mod supervisor;
pub mod unit;

#[cfg(test)]
mod simulation;

pub use capability::Capability;
pub use event::{Command, Event, Exit, Signal};
pub use parse::{Problem, parse};
pub use supervisor::Supervisor;
pub use unit::{Restart, Socket, SocketKind, StopPhase, Unit};
