//! Where the engine's log goes: to the journal socket, in the native protocol, and to standard error where nothing
//! listens there. Decides nothing else.
//!
//! `tracing-journald` sends on a blocking socket, so a receiver that stalls would stall every thread that logs. The
//! socket is made non-blocking here: what cannot be sent at once is lost, never waited for.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::layer::SubscriberExt;

/// Installs the log. Must be called before any thread is started: it finds the journal's socket by the descriptor number
/// that comes next.
pub fn start() {
    let journal = journal();
    let fallback =
        journal.is_none().then(|| tracing_subscriber::fmt::layer().without_time().with_ansi(false));
    let log = tracing_subscriber::registry().with(journal).with(fallback);
    // Only a second subscriber could make this fail, and `main` installs none.
    let _ = tracing::subscriber::set_global_default(log);
}

fn journal<S>() -> Option<impl Layer<S>>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let next = fs::File::open("/dev/null").ok()?.as_raw_fd();
    let layer = tracing_journald::layer().ok()?.with_syslog_identifier("engine".into());
    unblock(next);
    Some(layer.with_filter(LevelFilter::INFO))
}

/// Makes `fd` non-blocking when it is a socket.
fn unblock(fd: RawFd) {
    let is_socket = fs::read_link(format!("/proc/self/fd/{fd}"))
        .is_ok_and(|to| to.to_string_lossy().starts_with("socket:"));
    if is_socket {
        let socket = borrowed(fd);
        if let Ok(flags) = fcntl(socket, FcntlArg::F_GETFL) {
            let _ = fcntl(socket, FcntlArg::F_SETFL(OFlag::from_bits_retain(flags) | OFlag::O_NONBLOCK));
        }
    }
}

#[expect(unsafe_code, reason = "the journal layer keeps its socket to itself; only its number can be known")]
fn borrowed<'a>(fd: RawFd) -> BorrowedFd<'a> {
    // SAFETY: the caller just saw this descriptor open as a socket, before any other thread exists that could close it,
    // and the journal layer that owns it lives until the process ends.
    unsafe { BorrowedFd::borrow_raw(fd) }
}
