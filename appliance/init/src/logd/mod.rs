//! The unit `logd`: takes in every program's log entries, keeps the newest in memory and the older ones on STATE.
//!
//! Descriptor 3 is the journal's socket, 4 the one for readers; PID 1 bound both and keeps them, so that nothing is refused
//! while this program is started again. Whoever logs waits while the socket's queue is full, so the first duty here is to
//! drain: all that is there, before anything else, and nothing else may ever wait.

mod kept;
mod line;
mod readers;
mod ring;

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use halcyon_core::journal::Entry;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{OFlags, SealFlags};
use rustix::time::{ClockId, clock_gettime};

use crate::inbox::{Inbox, Letter};
use crate::{cgroup, listen};
use kept::Kept;
use line::Sender;
use readers::Readers;
use ring::Ring;

/// Bytes of log kept.
const KEPT: usize = 4 << 20;

/// Bytes of one datagram; what is larger comes as a sealed memory file.
const DATAGRAM: usize = 64 * 1024;

/// Bytes read of such a file.
const MEMORY_FILE: usize = 256 * 1024;

/// Datagrams taken before readers get a turn.
const A_TURN: usize = 2000;

/// Runs until killed.
pub(crate) fn run() -> ExitCode {
    let [journal, listener] = [listen::FIRST, listen::FIRST + 1].map(listen::given);
    let (journal, listener) = (UnixDatagram::from(journal), UnixListener::from(listener));
    let (inbox, readers) = match (Inbox::new(journal, DATAGRAM), Readers::new(listener)) {
        (Ok(inbox), Ok(readers)) => (inbox, readers),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("descriptors 3 and 4 are not the sockets that PID 1 gives this unit: {error}");
            return ExitCode::FAILURE;
        }
    };
    let nonblocking = i32::try_from(OFlags::NONBLOCK.bits()).expect("open flags are an int");
    let kernel = OpenOptions::new().read(true).custom_flags(nonblocking).open("/dev/kmsg").ok();
    Logd { lines: Lines { ring: Ring::new(KEPT), kept: Kept::start() }, inbox, readers, kernel }.run()
}

struct Logd {
    lines: Lines,
    inbox: Inbox,
    readers: Readers,
    kernel: Option<File>,
}

/// Where lines go.
struct Lines {
    ring: Ring,
    kept: Option<Kept>,
}

impl Lines {
    fn push(&mut self, line: String) {
        if let Some(kept) = &self.kept {
            kept.push(&line);
        }
        self.ring.push(line);
    }
}

impl Logd {
    fn run(mut self) -> ! {
        loop {
            self.drain();
            self.drain_kernel();
            self.readers.serve(&self.lines.ring);
            let mut fds = vec![PollFd::from_borrowed_fd(self.inbox.as_fd(), PollFlags::IN)];
            fds.extend(self.kernel.iter().map(|file| PollFd::from_borrowed_fd(file.as_fd(), PollFlags::IN)));
            fds.extend(self.readers.descriptors().map(|(fd, flags)| PollFd::from_borrowed_fd(fd, flags)));
            // Interrupted or not: the next turn looks at everything.
            let _ = poll(&mut fds, None);
        }
    }

    fn drain(&mut self) {
        for _ in 0..A_TURN {
            let Some(letter) = self.inbox.next() else { return };
            let time = now();
            if let Some(entry) = entry_of(&letter) {
                let sender = sender_of(&letter, &entry);
                self.lines.push(line::of_entry(&entry, &sender, time));
            }
        }
    }

    fn drain_kernel(&mut self) {
        let Some(file) = &mut self.kernel else { return };
        let mut buffer = [0; 8192];
        for _ in 0..A_TURN {
            match file.read(&mut buffer) {
                Ok(length) => {
                    let record = String::from_utf8_lossy(&buffer[..length]);
                    if let Some(line) = line::of_kernel(&record, boot()) {
                        self.lines.push(line);
                    }
                }
                Err(error) if error.raw_os_error() == Some(rustix::io::Errno::PIPE.raw_os_error()) => {} // overrun
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    self.kernel = None;
                    return;
                }
            }
        }
    }
}

/// The entry in a datagram, or in the memory file that stands for it.
fn entry_of(letter: &Letter<'_>) -> Option<Entry> {
    let Some(file) = letter.files.first().filter(|_| letter.bytes.is_empty()) else {
        return Entry::parse(letter.bytes);
    };
    // Only what nobody can change or shrink any more is read: a file that shrinks would end this program.
    let needed = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    let seals = rustix::fs::fcntl_get_seals(file).ok()?;
    if !seals.contains(needed) {
        return None;
    }
    let file = File::from(file.try_clone().ok()?);
    let mut bytes = vec![0; MEMORY_FILE];
    let length = file.read_at(&mut bytes, 0).ok()?;
    Entry::parse(&bytes[..length])
}

/// Who sent it: what PID 1 says of the unit it captured, or where the kernel has the process.
fn sender_of(letter: &Letter<'_>, entry: &Entry) -> Sender {
    let pid = letter.sender.map_or(0, |sender| sender.pid.as_raw_nonzero().get().unsigned_abs());
    if pid == 1 {
        let unit = entry.get("UNIT").unwrap_or("init").to_owned();
        return Sender { pid: if unit == "init" { 1 } else { 0 }, unit };
    }
    let unit =
        cgroup::unit_of(pid).or_else(|| entry.get("SYSLOG_IDENTIFIER").map(|name| format!("({name})")));
    Sender { unit: unit.unwrap_or_else(|| "(unknown)".to_owned()), pid }
}

/// When the machine started, since 1970. The kernel stamps its records on the monotonic clock.
fn boot() -> Duration {
    let up = clock_gettime(ClockId::Monotonic);
    let up = Duration::new(u64::try_from(up.tv_sec).unwrap_or(0), u32::try_from(up.tv_nsec).unwrap_or(0));
    now().saturating_sub(up)
}

fn now() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}
