//! PID 1's own log, and what it captures of units: native journal entries to logd, which must never stop us.
//!
//! PID 1 does not use the `tracing` layer the other programs have: that one blocks when logd stalls. Errors go to
//! the kernel's log as well, so that they are seen when logd is what is broken.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::net::UnixDatagram;

use halcyon_core::journal::{self, Level};

/// Where logd's socket is bound.
pub(crate) const JOURNAL: &str = "/run/systemd/journal/socket";

/// The way into the log.
#[derive(Debug)]
pub(crate) struct Log {
    socket: Option<UnixDatagram>,
    kernel: Option<File>,
    /// Entries that could not be sent since the last one that could.
    lost: u64,
}

impl Log {
    /// Opens what there is; without either, entries vanish.
    pub(crate) fn open() -> Self {
        let socket = UnixDatagram::unbound().ok().filter(|socket| socket.set_nonblocking(true).is_ok());
        Self { socket, kernel: OpenOptions::new().write(true).open("/dev/kmsg").ok(), lost: 0 }
    }

    /// One entry of PID 1.
    pub(crate) fn write(&mut self, level: Level, message: &str) {
        self.send("init", level, message);
        if level == Level::Error
            && let Some(kernel) = &mut self.kernel
        {
            // Priority 3 (error) of facility 3 (daemon); nothing helps if the kernel does not take it.
            let _ = writeln!(kernel, "<27>init: {message}");
        }
    }

    /// One line that a unit wrote to its standard output or error.
    pub(crate) fn captured(&mut self, unit: &str, line: &str) {
        self.send(unit, Level::Info, line);
    }

    fn send(&mut self, unit: &str, level: Level, message: &str) {
        let priority = match level {
            Level::Error => "3",
            Level::Warn => "4",
            Level::Info => "5",
            Level::Debug => "7",
        };
        let Some(socket) = &self.socket else { return };
        let lost = self.lost.to_string();
        let mut fields = vec![("MESSAGE", message), ("PRIORITY", priority), ("UNIT", unit)];
        if self.lost > 0 {
            fields.push(("LOST_BEFORE", &lost));
        }
        match socket.send_to(&journal::emit(&fields), JOURNAL) {
            Ok(_) => self.lost = 0,
            Err(_) => self.lost += 1,
        }
    }
}
