//! The engine's one look at the time.

use std::time::Duration;

use halcyon_core::moment::Moment;
use nix::time::{ClockId, clock_gettime};

/// Now, on the boot clock.
pub fn now() -> Moment {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has had a boot clock since 2.6.39");
    Moment::from_boot(Duration::from(time))
}

/// Differs between boxes and between runs: what several boxes do at intervals spreads over time.
pub fn seed() -> u64 {
    u64::try_from(now().since_boot().as_nanos()).unwrap_or(0)
}
