//! Guessing the administrator's password: how soon after one attempt the next is judged, whichever console it comes from.
//! A function of moments; who judges is the driver.

use std::time::Duration;

use halcyon_core::moment::Moment;

/// Between two attempts, so that no two are judged at once: each costs memory.
const SHORTEST: Duration = Duration::from_secs(1);
/// So many wrong ones in a row cost nothing more: a person mistypes.
const FREE: u32 = 3;
/// The longest wait, which an administrator at another console has to bear, too.
const LONGEST: Duration = Duration::from_secs(60);

/// What was tried so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempts {
    /// Wrong ones since the last right one.
    wrong: u32,
    /// Before this none is judged.
    next: Moment,
}

impl Attempts {
    /// Begins one, which counts as wrong until [`Attempts::right`] says otherwise.
    ///
    /// # Errors
    /// How long to wait first.
    pub fn begin(&mut self, now: Moment) -> Result<(), Duration> {
        if self.next > now {
            return Err(self.next.since(now));
        }
        self.wrong = self.wrong.saturating_add(1);
        let doublings = self.wrong.saturating_sub(FREE).min(16);
        self.next = now + (SHORTEST * (1 << doublings)).min(LONGEST);
        Ok(())
    }

    /// The one that was begun last was right.
    pub fn right(&mut self) {
        self.wrong = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guessing_takes_longer_and_longer_and_a_right_one_ends_that() {
        let (mut attempts, mut now) = (Attempts::default(), Moment::ZERO);
        let mut waits = Vec::new();
        for _ in 0..11 {
            attempts.begin(now).expect("it was waited for");
            let wait = attempts.begin(now).expect_err("the next one at once is too soon");
            waits.push(wait.as_secs());
            now = now + wait;
        }
        assert_eq!(waits, [1, 1, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        attempts.begin(now).unwrap();
        attempts.right();
        now = now + LONGEST;
        attempts.begin(now).unwrap();
        assert_eq!(attempts.begin(now), Err(SHORTEST));
    }
}
