//! The unit `ntp`: keeps Debian's `ntp-daemon` running while the engine's file for it is there, and starts it anew when
//! that file says something else. So the clock is left alone where the document names no time server.
//!
//! Holds `CAP_SYS_TIME`, which the daemon inherits, and nothing else. A daemon that ends takes this process with it: PID 1
//! knows how long to wait before the next start.

use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, Command, ExitCode};

use halcyon_core::ntp::{CONFIGURATION, DIRECTORY};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

/// Debian's package `ntpd-rs`.
const DAEMON: &str = "/usr/bin/ntp-daemon";

/// Runs until killed, or until the daemon ends.
pub(crate) fn run() -> ExitCode {
    let Err(error) = follow();
    eprintln!("the clock is not kept: {error}");
    ExitCode::FAILURE
}

fn follow() -> Result<std::convert::Infallible, io::Error> {
    // Before the first look, so that nothing is missed.
    let news = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    inotify::add_watch(&news, DIRECTORY, WatchFlags::MOVED_TO | WatchFlags::DELETE)?;
    let mut daemon: Option<Daemon> = None;
    loop {
        let wanted = match fs::read(CONFIGURATION) {
            Ok(text) => Some(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if daemon.as_ref().map(|daemon| &daemon.configuration) != wanted.as_ref() {
            if let Some(old) = daemon.take() {
                old.stop()?;
            }
            daemon = wanted.map(Daemon::start).transpose()?;
        }
        wait(&news, daemon.as_mut())?;
    }
}

/// Waits for news of the directory; the daemon's end is an error.
fn wait(news: &OwnedFd, daemon: Option<&mut Daemon>) -> io::Result<()> {
    let mut waited = vec![PollFd::new(news, PollFlags::IN)];
    waited.extend(daemon.as_ref().map(|daemon| PollFd::new(&daemon.end, PollFlags::IN)));
    match poll(&mut waited, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    drop(waited);
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(news.as_fd(), &mut buffer);
    while reader.next().is_ok() {}
    match daemon.map(|daemon| daemon.process.try_wait()).transpose()?.flatten() {
        Some(status) => Err(io::Error::other(format!("{DAEMON} ended: {status}"))),
        None => Ok(()),
    }
}

/// A running daemon.
struct Daemon {
    process: Child,
    /// Readable once it has ended.
    end: OwnedFd,
    configuration: Vec<u8>,
}

impl Daemon {
    fn start(configuration: Vec<u8>) -> io::Result<Self> {
        let process = Command::new(DAEMON).args(["-c", CONFIGURATION]).spawn()?;
        let end = pidfd_open(id(&process), PidfdFlags::empty())?;
        eprintln!("the clock follows the document's time servers");
        Ok(Self { process, end, configuration })
    }

    fn stop(mut self) -> io::Result<()> {
        kill_process(id(&self.process), Signal::TERM)?;
        self.process.wait()?;
        eprintln!("the clock is left alone, or follows others");
        Ok(())
    }
}

fn id(process: &Child) -> Pid {
    Pid::from_child(process)
}
