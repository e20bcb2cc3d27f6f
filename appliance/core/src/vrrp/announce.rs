//! When a master announces its virtual addresses by gratuitous ARP.
//!
//! Decides the times only; the engine sends. An announcement can be lost, and hosts and switches can learn the wrong
//! box after a partition heals, so none is sent just once: at once, one and five seconds later, then every minute.
//! After a heal at once (at most once a second: a stubborn rival must not make us flood), again one, five and ten
//! seconds later.

use std::time::Duration;

use crate::moment::Moment;

/// Pauses before each announcement after a takeover, but the first.
const AFTER_TAKEOVER: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];
/// Pauses before each announcement after a heal, but the first.
const AFTER_HEAL: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(4), Duration::from_secs(5)];
/// Pause between two announcements in quiet times.
const REFRESH: Duration = Duration::from_secs(60);
/// Shortest time between two announcements that heals cause.
const GUARD: Duration = Duration::from_secs(1);

/// The announcements of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    next: Option<Moment>,
    last: Option<Moment>,
    pauses: std::collections::VecDeque<Duration>,
}

impl Schedule {
    /// Nothing to announce: the state of a box that is not master.
    pub fn idle() -> Self {
        Self::default()
    }

    /// This box became master at `now`.
    pub fn became_master(&mut self, now: Moment) {
        self.next = Some(now);
        self.pauses = AFTER_TAKEOVER.into();
    }

    /// This box is master and heard another one, which yields to it. Does nothing on a box that is not master.
    pub fn healed(&mut self, now: Moment) {
        let Some(next) = self.next else { return };
        let earliest = self.last.map_or(now, |last| last + GUARD);
        self.next = Some(next.min(now.max(earliest)));
        self.pauses = AFTER_HEAL.into();
    }

    /// This box is master no longer.
    pub fn left(&mut self) {
        *self = Self::idle();
    }

    /// Whether to announce now; if so, the next announcement is planned.
    pub fn due(&mut self, now: Moment) -> bool {
        if self.next.is_none_or(|next| next > now) {
            return false;
        }
        self.last = Some(now);
        self.next = Some(now + self.pauses.pop_front().unwrap_or(REFRESH));
        true
    }

    /// When [`due`](Self::due) should be asked next; `None`: never.
    pub fn next_due(&self) -> Option<Moment> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::ZERO + Duration::from_secs(seconds)
    }

    /// The times, in seconds, at which `schedule` announces until `end`.
    fn times(schedule: &mut Schedule, end: u64) -> Vec<u64> {
        let mut times = Vec::new();
        while let Some(next) = schedule.next_due().filter(|next| *next <= at(end)) {
            assert!(schedule.due(next), "due when it said so");
            assert!(!schedule.due(next), "and once only");
            times.push(next.since_boot().as_secs());
        }
        times
    }

    #[test]
    fn a_takeover_is_announced_at_once_and_again() {
        let mut schedule = Schedule::idle();
        assert!(times(&mut schedule, 1000).is_empty());
        schedule.became_master(at(10));
        assert_eq!(times(&mut schedule, 140), [10, 11, 15, 75, 135]);
    }

    #[test]
    fn a_heal_is_announced_at_once_and_seconds_later() {
        let mut schedule = Schedule::idle();
        schedule.became_master(at(10));
        times(&mut schedule, 100);
        schedule.healed(at(100));
        assert_eq!(times(&mut schedule, 180), [100, 101, 105, 110, 170]);
    }

    #[test]
    fn a_rival_that_does_not_yield_cannot_make_us_flood() {
        let mut schedule = Schedule::idle();
        schedule.became_master(at(0));
        let mut sent = 0;
        for millisecond in 0..60_000 {
            let now = Moment::ZERO + Duration::from_millis(millisecond);
            schedule.healed(now);
            sent += u32::from(schedule.due(now));
        }
        assert!((55..=61).contains(&sent), "{sent} announcements in a minute");
    }

    #[test]
    fn a_box_that_is_not_master_announces_nothing() {
        let mut schedule = Schedule::idle();
        schedule.healed(at(5));
        assert_eq!(schedule.next_due(), None);
        schedule.became_master(at(10));
        schedule.left();
        schedule.healed(at(11));
        assert!(times(&mut schedule, 1000).is_empty());
    }
}
