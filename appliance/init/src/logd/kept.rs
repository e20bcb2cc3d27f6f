//! The log on STATE: every line is written to a file there as well, so that it can be read after the next start.
//!
//! A disk may hang for ever, so the file belongs to a thread of its own and nobody waits for that: lines that it does not
//! take in time are counted and left out. Two files of at most [`LARGEST`] bytes, the older one in whole. A line with
//! [`START`] says of which start of the machine the lines behind it are.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use halcyon_core::journal::START;

/// The unit `disks` makes it once STATE is mounted.
const DIRECTORY: &str = "/state/log";

/// The kernel's name of this start, new at each (`Documentation/admin-guide/sysctl/kernel.rst`, random).
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Bytes of a file.
const LARGEST: u64 = 4 << 20;

/// Lines on their way to the thread.
const QUEUE: usize = 4096;

/// Bytes that wait for a file: those of a start, until STATE is there.
const BACKLOG: usize = 512 * 1024;

/// A file that could not be opened or written is tried again after this.
const AGAIN: Duration = Duration::from_secs(2);

/// What a power cut may cost.
const SYNC: Duration = Duration::from_secs(5);

/// The way to the thread.
#[derive(Debug)]
pub(super) struct Kept {
    lines: SyncSender<String>,
    missed: Arc<AtomicU64>,
}

impl Kept {
    /// Starts the thread; `None`: the kernel gives none, and the log is in memory alone.
    pub(super) fn start() -> Option<Self> {
        let (lines, taken) = sync_channel(QUEUE);
        let missed = Arc::new(AtomicU64::new(0));
        let boot = fs::read_to_string(BOOT).unwrap_or_default();
        let keeper = Keeper::new(DIRECTORY.into(), boot.trim().to_owned(), Arc::clone(&missed));
        thread::Builder::new().name("kept".into()).spawn(move || keeper.run(&taken)).ok()?;
        Some(Self { lines, missed })
    }

    /// Hands a line over, without waiting.
    pub(super) fn push(&self, line: &str) {
        if self.lines.try_send(line.to_owned()).is_err() {
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Keeper {
    directory: PathBuf,
    boot: String,
    missed: Arc<AtomicU64>,
    backlog: VecDeque<String>,
    bytes: usize,
    file: Option<File>,
    tried: Option<Instant>,
    synced: Instant,
}

impl Keeper {
    fn new(directory: PathBuf, boot: String, missed: Arc<AtomicU64>) -> Self {
        let (backlog, synced) = (VecDeque::new(), Instant::now());
        Self { directory, boot, missed, backlog, bytes: 0, file: None, tried: None, synced }
    }

    fn run(mut self, lines: &Receiver<String>) {
        loop {
            match lines.recv_timeout(AGAIN) {
                Ok(line) => self.take(line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            lines.try_iter().take(QUEUE).for_each(|line| self.take(line));
            self.write_down();
        }
    }

    fn take(&mut self, line: String) {
        self.bytes += line.len();
        self.backlog.push_back(line);
        while self.bytes > BACKLOG
            && let Some(oldest) = self.backlog.pop_front()
        {
            self.bytes -= oldest.len();
            self.missed.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Writes what waits, if there is a file or it is time to try for one.
    fn write_down(&mut self) {
        if self.file.is_none() && self.tried.is_some_and(|tried| tried.elapsed() < AGAIN) {
            return;
        }
        if self.write().is_err() {
            self.file = None;
            self.tried = Some(Instant::now());
        }
    }

    fn write(&mut self) -> io::Result<()> {
        let current = self.directory.join("current");
        if self.file.as_ref().is_some_and(|file| file.metadata().is_ok_and(|facts| facts.len() > LARGEST)) {
            fs::rename(&current, self.directory.join("previous"))?;
            self.file = None;
        }
        let mut text = String::new();
        let file = match &mut self.file {
            Some(file) => file,
            none => {
                text = format!("{START}{}\n", self.boot);
                none.insert(File::options().create(true).append(true).open(&current)?)
            }
        };
        let missed = self.missed.swap(0, Ordering::Relaxed);
        if missed > 0 {
            text.push_str(&format!("({missed} lines are missing here)\n"));
        }
        for line in &self.backlog {
            text.push_str(line);
            text.push('\n');
        }
        file.write_all(text.as_bytes())?;
        self.backlog.clear();
        self.bytes = 0;
        if self.synced.elapsed() > SYNC {
            file.sync_data()?;
            self.synced = Instant::now();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(name: &str) -> Keeper {
        let directory = std::env::temp_dir().join(format!("halcyon-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        Keeper::new(directory, "7c1e".to_owned(), Arc::default())
    }

    #[test]
    fn lines_wait_for_state_and_are_written_once_it_is_there() {
        let mut keeper = keeper("kept");
        keeper.take("before".to_owned());
        keeper.write_down();
        fs::create_dir(&keeper.directory).unwrap();
        keeper.take("soon after".to_owned());
        keeper.write_down();
        assert!(!keeper.directory.join("current").exists(), "it was tried a moment ago");
        keeper.tried = None;
        keeper.write_down();
        let text = fs::read_to_string(keeper.directory.join("current")).unwrap();
        assert_eq!(text, "== start 7c1e\nbefore\nsoon after\n");
        fs::remove_dir_all(&keeper.directory).unwrap();
    }

    #[test]
    fn the_files_and_the_backlog_are_bounded_and_gaps_are_told() {
        let mut keeper = keeper("kept-bounds");
        let line = "x".repeat(1023);
        (0..=BACKLOG / line.len()).for_each(|_| keeper.take(line.clone()));
        assert!(keeper.bytes <= BACKLOG);
        fs::create_dir(&keeper.directory).unwrap();
        for _ in 0..12_000 {
            keeper.take(line.clone());
            keeper.write_down();
        }
        let size = |name: &str| fs::metadata(keeper.directory.join(name)).unwrap().len();
        assert!(size("current") <= LARGEST + 1024 && size("previous") <= LARGEST + BACKLOG as u64);
        assert_eq!(fs::read_dir(&keeper.directory).unwrap().count(), 2);
        keeper.missed.store(3, Ordering::Relaxed);
        keeper.write_down();
        let text = fs::read_to_string(keeper.directory.join("current")).unwrap();
        assert!(text.ends_with("(3 lines are missing here)\n"));
        fs::remove_dir_all(&keeper.directory).unwrap();
    }
}
