//! What the engine says to PID 1: that it is ready, what happened, and what the box is called. Messages are sent, never
//! waited for: PID 1 may be late or absent, and the engine goes on.

use std::env;
use std::io::Write;
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::time::Duration;

use halcyon_core::report::{self, Event};
use tracing::warn;

/// Where PID 1 takes requests.
const INIT: &str = "/run/halcyon/init.sock";

/// The engine's line to PID 1.
#[derive(Debug)]
pub struct Supervisor {
    socket: Option<UnixDatagram>,
}

impl Supervisor {
    /// Opens the line; without one, messages go nowhere.
    pub fn new() -> Self {
        let socket = UnixDatagram::unbound().ok();
        if let Some(socket) = &socket
            && socket.set_nonblocking(true).is_err()
        {
            return Self { socket: None };
        }
        Self { socket }
    }

    /// Tells the supervisor that start-up is complete (`READY=1`, the form that `sd_notify(3)` describes).
    pub fn ready(&self) {
        if let (Some(socket), Some(path)) = (&self.socket, env::var_os("NOTIFY_SOCKET")) {
            let _ = socket.send_to(b"READY=1", path);
        }
    }

    /// Hands an event over for the report tty and the consoles.
    pub fn report(&self, event: &Event) {
        let Some(socket) = &self.socket else { return };
        let Ok(line) = serde_json::to_vec(event) else { return };
        if let Err(error) = socket.send_to(&line, report::SOCKET) {
            warn!(%error, "an event could not be reported");
        }
    }

    /// Names the box.
    pub fn hostname(&self, name: &str) {
        let request = serde_json::json!({ "verb": "hostname", "name": name }).to_string() + "\n";
        let sent = UnixStream::connect(INIT).and_then(|mut stream| {
            stream.set_write_timeout(Some(Duration::from_millis(100)))?;
            stream.write_all(request.as_bytes())
        });
        if let Err(error) = sent {
            warn!(%error, name, "PID 1 did not take the host name");
        }
    }
}

impl Default for Supervisor {
    fn default() -> Self {
        Self::new()
    }
}
