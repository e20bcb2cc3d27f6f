//! How long a unit that ended waits before it starts again.
//!
//! The first end after a stable time costs nothing: a box whose engine died once is whole again at once. From the
//! second on the pause doubles, so that a program that cannot start does not eat the processor; it never ends in
//! giving up, because nobody is near the box to start it by hand.

use std::time::Duration;

/// The pause before the second restart in a row.
pub const FIRST: Duration = Duration::from_millis(100);

/// The longest pause.
pub const LONGEST: Duration = Duration::from_secs(30);

/// A run this long makes the next end a first one again.
pub const STABLE: Duration = Duration::from_secs(60);

/// The pauses of one unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    /// Ends in a row without a stable run between them.
    ends: u32,
}

impl Backoff {
    /// The unit ended after running for `ran`: the pause before its next start.
    pub fn ended(&mut self, ran: Duration) -> Duration {
        if ran >= STABLE {
            self.ends = 0;
        }
        self.ends = self.ends.saturating_add(1);
        match self.ends {
            1 => Duration::ZERO,
            ends => FIRST.saturating_mul(1 << (ends - 2).min(20)).min(LONGEST),
        }
    }

    /// Ends in a row.
    pub fn ends(self) -> u32 {
        self.ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_end_is_free_then_the_pause_doubles_to_its_limit() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..12).map(|_| backoff.ended(Duration::ZERO).as_millis()).collect();
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000]);
    }

    #[test]
    fn a_stable_run_forgives_and_a_shorter_one_does_not() {
        let mut backoff = Backoff::default();
        for _ in 0..1000 {
            backoff.ended(Duration::ZERO);
        }
        assert_eq!(backoff.ended(STABLE - Duration::from_millis(1)), LONGEST);
        assert_eq!(backoff.ended(STABLE), Duration::ZERO);
        assert_eq!(backoff.ended(Duration::ZERO), FIRST);
    }
}
