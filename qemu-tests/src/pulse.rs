//! Notices when the test host itself stands still: a thread that wants to run every few milliseconds and writes down how
//! late it was. Under emulation on a shared host, a limit of tens of milliseconds means nothing without it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use halcyon_core::moment::Moment;

use crate::lab::Clock;

/// Between two beats.
const BEAT: Duration = Duration::from_millis(5);

/// Lateness below this is a scheduler's everyday business.
const NOTICED: Duration = Duration::from_millis(10);

/// The times at which the host stood still.
pub struct Pulse {
    stalls: Arc<Mutex<Vec<(Moment, Duration)>>>,
    over: Arc<AtomicBool>,
}

impl Pulse {
    /// Begins to watch; ends when dropped.
    pub fn start(clock: Clock) -> std::io::Result<Self> {
        let pulse = Self { stalls: Arc::default(), over: Arc::default() };
        let (stalls, over) = (Arc::clone(&pulse.stalls), Arc::clone(&pulse.over));
        std::thread::Builder::new().name("pulse".into()).spawn(move || {
            while !over.load(Ordering::Relaxed) {
                let before = clock.now();
                std::thread::sleep(BEAT);
                let late = clock.now().since(before + BEAT);
                if late >= NOTICED {
                    lock(&stalls).push((before, late));
                }
            }
        })?;
        Ok(pulse)
    }

    /// How long the host stood still between two moments, all stalls together.
    pub fn stalled(&self, from: Moment, to: Moment) -> Duration {
        sum(&lock(&self.stalls), from, to)
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// The parts of the stalls that lie between the two moments.
fn sum(stalls: &[(Moment, Duration)], from: Moment, to: Moment) -> Duration {
    let part = |(at, late): &(Moment, Duration)| (*at + *late).min(to).since((*at).max(from));
    stalls.iter().map(part).sum()
}

fn lock(stalls: &Mutex<Vec<(Moment, Duration)>>) -> MutexGuard<'_, Vec<(Moment, Duration)>> {
    stalls.lock().expect("nobody panics with the lock")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_part_between_the_moments_counts() {
        let at = |millis| Moment::from_boot(Duration::from_millis(millis));
        let millis = Duration::from_millis;
        let stalls = [(at(100), millis(50)), (at(300), millis(20))];
        assert_eq!(sum(&stalls, at(0), at(1000)), millis(70));
        assert_eq!(sum(&stalls, at(120), at(310)), millis(40));
        assert_eq!(sum(&stalls, at(160), at(290)), Duration::ZERO);
    }
}
