//! Notices when the test host kept somebody waiting: itself, or the processors of the emulated machines.
//!
//! Under emulation on a shared host a limit of tens of milliseconds means nothing without it. Two measures, looked at
//! every few milliseconds by a thread of its own: how late that thread was, and how long the machines' processor threads
//! were ready to run and did not (`/proc/PID/task/TID/schedstat`, second number, nanoseconds).

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use halcyon_core::moment::Moment;

use crate::lab::Clock;

/// Between two looks.
const BEAT: Duration = Duration::from_millis(5);

/// Waiting below this is a scheduler's everyday business.
const NOTICED: Duration = Duration::from_millis(2);

/// When who was kept waiting how long.
pub struct Pulse {
    books: Arc<Mutex<Books>>,
    over: Arc<AtomicBool>,
}

#[derive(Default)]
struct Books {
    /// Ourselves.
    late: Vec<Wait>,
    /// The machines, by process.
    machines: BTreeMap<u32, Machine>,
}

#[derive(Default)]
struct Machine {
    /// `schedstat` of its processor threads; found once they exist.
    threads: Vec<PathBuf>,
    waited: Duration,
    waits: Vec<Wait>,
}

/// From when on, and how long.
type Wait = (Moment, Duration);

impl Pulse {
    /// Begins to watch; ends when dropped.
    pub fn start(clock: Clock) -> std::io::Result<Self> {
        let pulse = Self { books: Arc::default(), over: Arc::default() };
        let (books, over) = (Arc::clone(&pulse.books), Arc::clone(&pulse.over));
        std::thread::Builder::new().name("pulse".into()).spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let before = clock.now();
                std::thread::sleep(BEAT);
                let mut books = lock(&books);
                let late = clock.now().since(before + BEAT);
                note(&mut books.late, before, late);
                for (process, machine) in &mut books.machines {
                    machine.look(*process, before);
                }
            }
        })?;
        Ok(pulse)
    }

    /// Watches the machine in this process too.
    pub fn watch(&self, process: u32) {
        lock(&self.books).machines.entry(process).or_default();
    }

    /// How long whoever waited longest was kept waiting between two moments.
    pub fn stalled(&self, from: Moment, to: Moment) -> Duration {
        let books = lock(&self.books);
        let machines = books.machines.values().map(|machine| sum(&machine.waits, from, to));
        machines.fold(sum(&books.late, from, to), Duration::max)
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

impl Machine {
    fn look(&mut self, process: u32, at: Moment) {
        if self.threads.is_empty() {
            self.threads = processors(process);
        }
        let waited: Duration = self
            .threads
            .iter()
            .filter_map(|path| {
                let text = std::fs::read_to_string(path).ok()?;
                text.split_ascii_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
            })
            .sum();
        // A machine that is gone has no numbers, and waits no more.
        let more = waited.saturating_sub(self.waited);
        note(&mut self.waits, at, more);
        self.waited = self.waited.max(waited);
    }
}

/// QEMU names its processor threads `CPU 0/TCG` and so on.
fn processors(process: u32) -> Vec<PathBuf> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let named = tasks
        .map(|task| task.path())
        .filter(|task| std::fs::read_to_string(task.join("comm")).is_ok_and(|name| name.starts_with("CPU ")));
    named.map(|task| task.join("schedstat")).collect()
}

fn note(waits: &mut Vec<Wait>, at: Moment, waited: Duration) {
    if waited >= NOTICED {
        waits.push((at, waited));
    }
}

/// The parts of the waits that lie between the two moments.
fn sum(waits: &[Wait], from: Moment, to: Moment) -> Duration {
    let part = |(at, waited): &Wait| (*at + *waited).min(to).since((*at).max(from));
    waits.iter().map(part).sum()
}

fn lock(books: &Mutex<Books>) -> MutexGuard<'_, Books> {
    books.lock().expect("nobody panics with the lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_between_the_moments_counts() {
        let at = |millis| Moment::from_boot(Duration::from_millis(millis));
        let millis = Duration::from_millis;
        let waits = [(at(100), millis(50)), (at(300), millis(20))];
        assert_eq!(sum(&waits, at(0), at(1000)), millis(70));
        assert_eq!(sum(&waits, at(120), at(310)), millis(40));
        assert_eq!(sum(&waits, at(160), at(290)), Duration::ZERO);
    }

    #[test]
    fn a_process_without_processors_is_watched_in_vain() {
        assert!(processors(std::process::id()).is_empty(), "this is no emulator");
        let mut machine = Machine::default();
        machine.look(0, Moment::ZERO);
        assert!(machine.waits.is_empty());
    }
}
