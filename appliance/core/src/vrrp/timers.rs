//! The times of RFC 9568 §6.1 and RFC 3768 §6.1, as durations. Centiseconds do not exist here, so nothing is truncated:
//! with an interval of 10 ms and priority 254 the skew is 78 µs, not 0.

use std::time::Duration;

use crate::config::VrrpVersion;

/// `Skew_Time`: how much longer a lower priority waits, so that the highest is first.
///
/// Version 2: (256 − priority) / 256 seconds. Version 3: the same share of `active_interval`, the interval of the router
/// that holds the addresses (`Active_Adver_Interval`).
pub fn skew(version: VrrpVersion, priority: u8, active_interval: Duration) -> Duration {
    let unit = match version {
        VrrpVersion::V2 => Duration::from_secs(1),
        VrrpVersion::V3 => active_interval,
    };
    unit * (256 - u32::from(priority)) / 256
}

/// `Master_Down_Interval` (`Active_Down_Interval` in RFC 9568): silence after which a backup takes over, three
/// intervals and the skew.
pub fn master_down(version: VrrpVersion, priority: u8, active_interval: Duration) -> Duration {
    active_interval * 3 + skew(version, priority, active_interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_rfcs_formulas() {
        use VrrpVersion::{V2, V3};
        // (version, priority, interval in ms, skew in ns, master down in ns)
        let table = [
            (V2, 100, 1_000, 609_375_000, 3_609_375_000),
            (V2, 99, 1_000, 613_281_250, 3_613_281_250),
            (V2, 254, 1_000, 7_812_500, 3_007_812_500),
            (V2, 1, 5_000, 996_093_750, 15_996_093_750), // seconds, whatever the interval
            (V3, 100, 1_000, 609_375_000, 3_609_375_000),
            (V3, 100, 100, 60_937_500, 360_937_500),
            (V3, 254, 10, 78_125, 30_078_125), // 0 in centiseconds
            (V3, 1, 40_950, 40_790_039_062, 163_640_039_062),
        ];
        for (version, priority, interval, skew_ns, down_ns) in table {
            let interval = Duration::from_millis(interval);
            assert_eq!(
                skew(version, priority, interval),
                Duration::from_nanos(skew_ns),
                "{version:?} {priority}"
            );
            assert_eq!(master_down(version, priority, interval), Duration::from_nanos(down_ns));
        }
    }

    proptest! {
        #[test]
        fn a_higher_priority_is_always_first(low in 1u8..254, above in 1u8..=253, interval_ms in 10u64..=40_950) {
            let high = low.saturating_add(above).min(254);
            prop_assume!(high > low);
            for version in [VrrpVersion::V2, VrrpVersion::V3] {
                let interval = Duration::from_millis(interval_ms);
                prop_assert!(skew(version, high, interval) < skew(version, low, interval));
                prop_assert!(skew(version, high, interval) > Duration::ZERO);
                prop_assert!(master_down(version, low, interval) - interval * 3 == skew(version, low, interval));
            }
        }
    }
}
