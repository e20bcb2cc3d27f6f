//! The alarm about packets that would have looped. Decides when to raise it and how many packets it speaks of: at once
//! for the first, and then once a minute at most, so that a storm of them does not become one of alarms. None is lost:
//! what was stopped in between is in the next. Never reads a counter or a clock.

use std::time::Duration;

use crate::moment::Moment;

/// Shortest time between two alarms.
pub const PAUSE: Duration = Duration::from_secs(60);

/// What the alarm remembers.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoopAlarm {
    /// The counter when it was read last; `None`: never.
    seen: Option<u64>,
    /// Packets that no alarm spoke of yet.
    untold: u64,
    raised: Option<Moment>,
}

impl LoopAlarm {
    /// Takes in the counter of dropped packets. `Some`: raise an alarm now, about so many.
    ///
    /// The first reading of an engine raises none: the counter outlives engines, and the one before has spoken of it. One
    /// that fell was set anew, and counts from 0.
    pub fn observe(&mut self, dropped: u64, now: Moment) -> Option<u64> {
        let before = self.seen.replace(dropped).unwrap_or(dropped);
        self.untold += dropped.checked_sub(before).unwrap_or(dropped);
        let quiet = self.raised.is_some_and(|raised| now.since(raised) < PAUSE);
        if self.untold == 0 || quiet {
            return None;
        }
        self.raised = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_boot(Duration::from_secs(seconds))
    }

    #[test]
    fn the_first_packet_is_told_at_once_and_the_next_ones_together_after_a_minute() {
        let mut alarm = LoopAlarm::default();
        let told: Vec<Option<u64>> =
            [(0, 1), (1, 2), (5, 3), (9, 61), (9, 62), (9, 200), (10, 201), (10, 300)]
                .map(|(dropped, second)| alarm.observe(dropped, at(second)))
                .into();
        assert_eq!(told, [None, Some(1), None, None, Some(8), None, Some(1), None]);
    }

    #[test]
    fn an_engine_that_starts_again_does_not_repeat_what_was_told_and_a_counter_set_anew_counts() {
        let mut alarm = LoopAlarm::default();
        assert_eq!(alarm.observe(7, at(1)), None);
        assert_eq!(alarm.observe(2, at(2)), Some(2));
    }

    proptest! {
        #[test]
        fn no_packet_is_lost_and_no_two_alarms_are_close(steps in prop::collection::vec((0u64..5, 0u64..40), 1..60)) {
            let (mut alarm, mut total, mut now, mut told, mut last) = (LoopAlarm::default(), 0, 0, 0, None);
            alarm.observe(0, at(0));
            for (packets, seconds) in steps {
                total += packets;
                now += seconds;
                if let Some(count) = alarm.observe(total, at(now)) {
                    prop_assert!(last.is_none_or(|last| now - last >= PAUSE.as_secs()));
                    told += count;
                    last = Some(now);
                }
            }
            told += alarm.observe(total, at(now + PAUSE.as_secs())).unwrap_or(0);
            prop_assert_eq!(told, total);
        }
    }
}
