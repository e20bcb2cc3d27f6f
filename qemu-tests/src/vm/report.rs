//! The report tty: lifecycle events, one JSON object per line, awaited instead of slept for.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use halcyon_core::moment::Moment;
use serde_json::Value;

use crate::lab::Clock;

/// An event, and when its line came in.
#[derive(Clone, Debug, PartialEq)]
pub struct Reported {
    /// By the lab's clock.
    pub at: Moment,
    /// The object.
    pub event: Value,
}

impl Reported {
    /// The kind: the field `event`.
    pub fn kind(&self) -> &str {
        self.text("event")
    }

    /// A text field, empty when there is none.
    pub fn text(&self, field: &str) -> &str {
        self.event.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// A number field.
    pub fn number(&self, field: &str) -> Option<f64> {
        self.event.get(field).and_then(Value::as_f64)
    }

    /// Seconds since the machine's kernel started.
    pub fn uptime(&self) -> f64 {
        self.number("uptime").unwrap_or_default()
    }

    /// True for an event of a unit of this name in this state.
    pub fn is_unit(&self, name: &str, state: &str) -> bool {
        self.kind() == "unit" && self.text("name") == name && self.text("state") == state
    }

    /// True for a change of the virtual router `id` to `state`.
    pub fn is_vrrp(&self, id: u8, state: &str) -> bool {
        self.kind() == "vrrp" && self.number("id") == Some(f64::from(id)) && self.text("state") == state
    }
}

/// The events of one machine. Reading goes on in a thread of its own until the machine is gone.
pub struct Report {
    heard: Arc<Heard>,
}

struct Heard {
    log: Mutex<Log>,
    changed: Condvar,
}

#[derive(Default)]
struct Log {
    events: Vec<Reported>,
    strange: Vec<String>,
    gone: bool,
}

impl Report {
    /// Reads from `stream`, and keeps the lines in the file `log`.
    pub fn open(stream: UnixStream, log: &Path, clock: Clock) -> Result<Self> {
        let mut file = std::fs::File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let heard = Arc::new(Heard { log: Mutex::default(), changed: Condvar::new() });
        let shared = Arc::clone(&heard);
        std::thread::Builder::new().name("report".into()).spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while let Ok(1..) = reader.read_until(b'\n', &mut line) {
                let at = clock.now();
                let text = String::from_utf8_lossy(&line).trim().to_owned();
                line.clear();
                // A full disk costs the log, not the test.
                let _ = writeln!(file, "{at} {text}");
                let mut log = lock(&shared);
                match serde_json::from_str(&text) {
                    Ok(event) => log.events.push(Reported { at, event }),
                    Err(_) if text.is_empty() => {}
                    Err(_) => log.strange.push(text),
                }
                shared.changed.notify_all();
            }
            lock(&shared).gone = true;
            shared.changed.notify_all();
        })?;
        Ok(Self { heard })
    }

    /// The events so far.
    pub fn events(&self) -> Vec<Reported> {
        lock(&self.heard).events.clone()
    }

    /// How many events there are so far: a mark to wait from.
    pub fn mark(&self) -> usize {
        lock(&self.heard).events.len()
    }

    /// Lines that were no JSON.
    pub fn strange_lines(&self) -> Vec<String> {
        lock(&self.heard).strange.clone()
    }

    /// Waits for the first event, among those so far or later, that `fits`.
    pub fn expect(&self, what: &str, within: Duration, fits: impl Fn(&Reported) -> bool) -> Result<Reported> {
        self.expect_after(0, what, within, fits)
    }

    /// Waits for the first event behind `mark` that `fits`.
    pub fn expect_after(
        &self,
        mark: usize,
        what: &str,
        within: Duration,
        fits: impl Fn(&Reported) -> bool,
    ) -> Result<Reported> {
        let deadline = Instant::now() + within;
        let mut log = lock(&self.heard);
        loop {
            if let Some(found) = log.events.iter().skip(mark).find(|reported| fits(reported)) {
                return Ok(found.clone());
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || log.gone {
                let why = if log.gone { "the machine is gone" } else { "it did not come in time" };
                let last: Vec<_> =
                    log.events.iter().rev().take(8).rev().map(|one| one.event.to_string()).collect();
                bail!("waiting for {what}: {why}; last events:\n  {}", last.join("\n  "));
            }
            log = self.heard.changed.wait_timeout(log, left).expect("no reader panics with the lock").0;
        }
    }
}

fn lock(heard: &Heard) -> MutexGuard<'_, Log> {
    heard.log.lock().expect("no reader panics with the lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_awaited_from_a_mark_and_strangers_set_apart() {
        let (ours, mut theirs) = UnixStream::pair().expect("a socket pair");
        let log = std::env::temp_dir().join(format!("halcyon-report-{}", std::process::id()));
        let report = Report::open(ours, &log, Clock::start()).expect("a thread");
        let within = Duration::from_secs(5);
        writeln!(theirs, "junk\n{{\"event\":\"vrrp\",\"id\":7,\"state\":\"backup\",\"uptime\":1.5}}")
            .unwrap();
        let first = report.expect("backup", within, |event| event.is_vrrp(7, "backup")).expect("it came");
        assert_eq!(first.uptime(), 1.5);
        assert_eq!(report.strange_lines(), ["junk"]);
        let mark = report.mark();
        drop(theirs);
        let error = report.expect_after(mark, "backup", within, |event| event.is_vrrp(7, "backup"));
        assert!(error.expect_err("no second one").to_string().contains("gone"));
        std::fs::remove_file(log).expect("the log was written");
    }
}
