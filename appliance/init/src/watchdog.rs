//! The watchdog device: it restarts a machine on which PID 1 or the engine no longer works.
//!
//! Fed from the main loop and only while the critical units run, so a hung loop and a dead engine both end in a
//! restart. An orderly shutdown disarms it.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::time::Duration;

use halcyon_core::moment::Moment;

use crate::ioctl;

/// Seconds without food until the device acts.
const TIMEOUT: i32 = 30;

/// How often it is fed.
pub(crate) const INTERVAL: Duration = Duration::from_secs(5);

/// `WDIOF_CARDRESET`: the last boot came from the watchdog.
const CARD_RESET: i32 = 0x20;

/// An armed watchdog.
#[derive(Debug)]
pub(crate) struct Watchdog {
    device: File,
    next: Moment,
}

impl Watchdog {
    /// Opens and so arms the device, if there is one. The sentence says what it is like.
    pub(crate) fn open(now: Moment) -> Option<(Self, String)> {
        let device = OpenOptions::new().write(true).open("/dev/watchdog").ok()?;
        let timeout = match ioctl::watchdog_set_timeout(&device, TIMEOUT) {
            Ok(seconds) => format!("acts after {seconds} s"),
            Err(error) => format!("keeps its own timeout ({error})"),
        };
        let reset = ioctl::watchdog_boot_status(&device).is_ok_and(|flags| flags & CARD_RESET != 0);
        let cause = if reset { "; it caused the last restart" } else { "" };
        Some((Self { device, next: now }, format!("the watchdog {timeout}{cause}")))
    }

    /// Feeds it if it is time and the box is healthy; says when to come back.
    pub(crate) fn feed(&mut self, healthy: bool, now: Moment) -> Moment {
        if self.next <= now {
            if healthy {
                // A device that takes no food acts, which is what it is for.
                let _ = self.device.write_all(b"\0");
            }
            self.next = now + INTERVAL;
        }
        self.next
    }

    /// Disarms it: `V` before closing (`Documentation/watchdog/watchdog-api.rst`, magic close).
    pub(crate) fn disarm(mut self) {
        let _ = self.device.write_all(b"V");
    }
}
