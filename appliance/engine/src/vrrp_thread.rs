//! The thread that speaks VRRP: the only part of the engine whose lateness would be an outage.
//!
//! ```text
//! let (events, mut inbox) = tokio::sync::mpsc::unbounded_channel();
//! let vrrp = vrrp_thread::spawn(Path::new(vrrp_thread::DIRECTORY), events)?;
//! vrrp.send(Command::Configure(assignments))?;      // at every change of the document
//! vrrp.send(Command::Link { … })?;                  // at every change of an interface, repeated ones do no harm
//! vrrp.send(Command::Begin)?;                       // once: until then sockets are open and nothing is said
//! while let Some(event) = inbox.recv().await { … }  // states, from which everything else is derived
//! vrrp.send(Command::Stop)?;                        // priority 0; the inbox ends when the thread is gone
//! ```
//!
//! It carries out what `halcyon_core::vrrp` decides and never waits for the kernel, the disk, the log or the rest of the
//! engine: sockets do not block, commands are taken from a bounded channel, events go into an unbounded one (the core
//! bounds their rate), and it logs nothing itself. It runs under `SCHED_FIFO` where that is permitted.
//!
//! After each advertisement it notes the time in a file per virtual router on tmpfs, so that the engine that comes after
//! a crash can go on as master if no other box can have taken over yet. A handle that is dropped without
//! [`Command::Stop`], as by a crash, ends the thread without a priority 0 for the same reason.

mod last_advert;
mod realtime;
mod run;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::Builder;
use std::time::Duration;

use halcyon_core::config::types::{Family, InstanceId, LinkName};
use halcyon_core::moment::Moment;
use halcyon_core::plan::VrrpState;
use halcyon_core::vrrp::routers::Report;
use halcyon_core::vrrp::settings::Settings;
use halcyon_core::vrrp::statistics::Misfit;
use halcyon_core::vrrp::why::Why;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// Where the times of the last advertisements are kept: tmpfs, gone with the power.
pub const DIRECTORY: &str = "/run/halcyon/vrrp";

/// Commands that may wait; more come only when the thread is stuck.
const BACKLOG: usize = 256;

/// What the thread can be told.
#[derive(Debug)]
pub enum Command {
    /// These are the virtual routers of this box, all of them.
    Configure(Vec<Assignment>),
    /// What is known of an interface in one family.
    Link {
        /// Its name.
        interface: LinkName,
        /// Which virtual routers it concerns.
        family: Family,
        /// The kernel's index of it.
        index: u32,
        /// Its own address of that family, from which it advertises: never a virtual one; over IPv6 the link-local one.
        /// `None` while it is down, has no carrier or no such address.
        primary: Option<IpAddr>,
    },
    /// Begin to take part, once: this box could serve as master. Until then its sockets are open, and no virtual router
    /// starts.
    Begin,
    /// Hand over every virtual router that this box is master of. The state stays master, and the addresses should
    /// stay, until an heir is heard ([`Event::StateChanged`]) or none was found ([`Event::NoHeir`]).
    HandOver,
    /// Which fellow directors answer pings: a standby takes over from none of them.
    Answering(BTreeSet<IpAddr>),
    /// Lift the hold that follows a hand-over.
    Release,
    /// Answer with what can be told of every virtual router.
    Report(oneshot::Sender<BTreeMap<InstanceId, Report>>),
    /// Give up everything with priority 0 and end the thread.
    Stop,
}

/// One virtual router of this box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// Its settings.
    pub settings: Settings,
    /// Its virtual addresses are up on this box: as left behind by an engine that was killed. Only then can it go on
    /// as master.
    pub addresses_up: bool,
}

/// What the thread tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The socket of an interface is open.
    SocketOpen {
        /// Of which.
        interface: LinkName,
        /// For which virtual routers.
        family: Family,
        /// Since when.
        at: Moment,
    },
    /// The socket of an interface could not be opened; it is tried again. Told once per reason.
    SocketFailed {
        /// Of which.
        interface: LinkName,
        /// Why, for people.
        error: String,
    },
    /// An advertisement could not be sent. Told once until one can be sent again.
    SendFailed {
        /// Of which virtual router.
        id: InstanceId,
        /// Why, for people.
        error: String,
    },
    /// The thread runs without real-time priority, or without its files; it works, but less surely.
    Weakened {
        /// What is missing and why, for people.
        what: String,
    },
    /// A virtual router changed its state.
    StateChanged {
        /// Which.
        id: InstanceId,
        /// Before.
        from: VrrpState,
        /// Now.
        to: VrrpState,
        /// The reason.
        why: Why,
        /// The address of the member that fell silent and thereby made this box master.
        silent: Option<IpAddr>,
        /// When.
        at: Moment,
    },
    /// Another master was heard, which yields to this box: announce the addresses again.
    Healed {
        /// Of which virtual router.
        id: InstanceId,
        /// The other's primary address.
        other: IpAddr,
        /// When.
        at: Moment,
    },
    /// This box, as master, did not run for longer than others tolerate: announce the addresses again.
    Overslept {
        /// Of which virtual router.
        id: InstanceId,
        /// Since its last advertisement.
        slept: Duration,
        /// When.
        at: Moment,
    },
    /// A silent master is not replaced, since it answers pings.
    Withheld {
        /// Of which virtual router.
        id: InstanceId,
        /// The master's primary address.
        master: IpAddr,
        /// Since its last advertisement.
        silence: Duration,
    },
    /// Nobody took over what was to be handed over: this box stays master.
    NoHeir {
        /// Of which virtual router.
        id: InstanceId,
    },
    /// Something was received that does not fit; told once per kind.
    Misfit {
        /// For which virtual router.
        id: InstanceId,
        /// Who sent it.
        source: IpAddr,
        /// What is wrong.
        misfit: Misfit,
    },
}

/// The thread takes no command: it has ended, or is stuck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// It has ended.
    #[error("the VRRP thread has ended")]
    Ended,
    /// It has not taken the last 256 commands.
    #[error("the VRRP thread does not take commands")]
    Stuck,
}

/// The engine's end of the thread.
#[derive(Debug)]
pub struct Handle {
    commands: SyncSender<Command>,
    waker: UnixStream,
}

impl Handle {
    /// Hands a command over; never waits.
    ///
    /// # Errors
    /// When the thread cannot take it.
    pub fn send(&self, command: Command) -> Result<(), Unreachable> {
        self.commands.try_send(command).map_err(|error| match error {
            TrySendError::Full(_) => Unreachable::Stuck,
            TrySendError::Disconnected(_) => Unreachable::Ended,
        })?;
        // A full waker is one that wakes already.
        let _ = (&self.waker).write(&[0]);
        Ok(())
    }
}

/// What the thread is born with.
struct Ends {
    commands: Receiver<Command>,
    waker: UnixStream,
    events: UnboundedSender<Event>,
}

/// Starts the thread. It keeps the times of its advertisements in `directory`, normally [`DIRECTORY`].
///
/// # Errors
/// When the system has no more descriptors or threads.
pub fn spawn(directory: &Path, events: UnboundedSender<Event>) -> io::Result<Handle> {
    let (commands, taken) = sync_channel(BACKLOG);
    let (waker, woken) = UnixStream::pair()?;
    waker.set_nonblocking(true)?;
    woken.set_nonblocking(true)?;
    let ends = Ends { commands: taken, waker: woken, events };
    let directory = directory.to_owned();
    Builder::new().name("vrrp".into()).spawn(move || run::run(ends, directory))?;
    Ok(Handle { commands, waker })
}
