//! The first serial port as a person would see it: a vt100 screen of 80x24, its text so far, and keys to it.

use std::io::{Read, Write};
use std::num::NonZero;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The screen's height and width.
const LINES: NonZero<u16> = NonZero::new(24).expect("not zero");
const COLUMNS: NonZero<u16> = NonZero::new(80).expect("not zero");

/// A console. Reading goes on in a thread of its own until the machine is gone.
pub struct Console {
    stream: UnixStream,
    seen: Arc<Seen>,
}

struct Seen {
    view: Mutex<View>,
    changed: Condvar,
}

struct View {
    parser: vt100::Parser,
    text: String,
    gone: bool,
}

impl Console {
    /// Reads from `stream`, and keeps everything in `log` too.
    pub fn open(stream: UnixStream, log: &Path) -> Result<Self> {
        let view = View { parser: vt100::Parser::new(LINES, COLUMNS, 0), text: String::new(), gone: false };
        let seen = Arc::new(Seen { view: Mutex::new(view), changed: Condvar::new() });
        let mut log = std::fs::File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let mut input = stream.try_clone()?;
        let shared = Arc::clone(&seen);
        std::thread::Builder::new().name("console".into()).spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = input.read(&mut buffer) {
                let bytes = &buffer[..length];
                // A full disk costs the log, not the test.
                let _ = log.write_all(bytes);
                let mut view = lock(&shared);
                view.parser.process(bytes);
                view.text.push_str(&String::from_utf8_lossy(bytes));
                shared.changed.notify_all();
            }
            lock(&shared).gone = true;
            shared.changed.notify_all();
        })?;
        Ok(Self { stream, seen })
    }

    /// The screen's 24 lines.
    pub fn screen(&self) -> String {
        lock(&self.seen).parser.screen().contents()
    }

    /// Everything that came so far, escape sequences included.
    pub fn text(&self) -> String {
        lock(&self.seen).text.clone()
    }

    /// Types `keys`.
    pub fn type_keys(&mut self, keys: &str) -> Result<()> {
        self.stream.write_all(keys.as_bytes()).context("typing on the console")
    }

    /// Waits until `text` came, anywhere in what came so far.
    pub fn expect(&self, text: &str, within: Duration) -> Result<()> {
        self.wait(within, |view| view.text.contains(text)).with_context(|| format!("waiting for “{text}”"))
    }

    /// Waits until the screen shows `text`.
    pub fn expect_on_screen(&self, text: &str, within: Duration) -> Result<()> {
        let shows = |view: &View| view.parser.screen().contents().contains(text);
        self.wait(within, shows).with_context(|| format!("waiting for “{text}” on the screen"))
    }

    fn wait(&self, within: Duration, holds: impl Fn(&View) -> bool) -> Result<()> {
        let deadline = Instant::now() + within;
        let mut view = lock(&self.seen);
        while !holds(&view) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || view.gone {
                let why = if view.gone { "the machine is gone" } else { "it did not come in time" };
                bail!("{why}; the screen shows:\n{}", view.parser.screen().contents());
            }
            view = self.seen.changed.wait_timeout(view, left).expect("no reader panics with the lock").0;
        }
        Ok(())
    }
}

fn lock(seen: &Seen) -> MutexGuard<'_, View> {
    seen.view.lock().expect("no reader panics with the lock")
}
