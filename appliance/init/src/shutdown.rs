//! The very end: everything has stopped; leave the disks clean and let go of the machine.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::system::{RebootCommand, reboot};

use crate::mounts;
use crate::reporter::Reporter;

/// A disk that does not answer holds a restart up no longer than this.
const SYNC_LIMIT: Duration = Duration::from_secs(10);

/// What becomes of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// It starts again.
    Reboot,
    /// It is switched off.
    PowerOff,
}

impl Action {
    /// As the report tty has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Reboot => "reboot",
            Self::PowerOff => "poweroff",
        }
    }
}

/// Does not return.
pub(crate) fn finish(action: Action, reporter: &mut Reporter) -> ! {
    // Helpers that the kernel started and orphans outside any unit.
    let _ = kill(Pid::from_raw(-1), Signal::SIGKILL);
    reporter.drain();
    let (done, wait) = mpsc::channel();
    // In a thread, because writing to a dead disk may never end. If none can be had, the disks stay as they are.
    let _ = thread::Builder::new().spawn(move || {
        rustix::fs::sync();
        mounts::unmount_disks();
        rustix::fs::sync();
        let _ = done.send(());
    });
    let _ = wait.recv_timeout(SYNC_LIMIT);
    let command = match action {
        Action::Reboot => RebootCommand::Restart,
        Action::PowerOff => RebootCommand::PowerOff,
    };
    let _ = reboot(command);
    // A machine that cannot switch itself off stops here.
    let _ = reboot(RebootCommand::Halt);
    loop {
        thread::park();
    }
}

/// The end of a start that cannot go on: tell the kernel's log, wait so that a person can read it, start again. The boot
/// loader then takes the other slot.
pub(crate) fn give_up(why: &str) -> ! {
    let text = format!("<24>init: the box cannot start: {why}; it starts again in 10 s\n");
    let _ = std::fs::write("/dev/kmsg", text);
    thread::sleep(Duration::from_secs(10));
    let _ = reboot(RebootCommand::Restart);
    loop {
        thread::park();
    }
}
