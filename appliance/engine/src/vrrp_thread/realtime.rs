//! Real-time priority for the calling thread, and the clock that it lives by.
#![expect(unsafe_code, reason = "no safe binding of sched_setscheduler(2) exists in the crates we use")]

use std::io;

use halcyon_core::moment::Moment;
use nix::libc;
use nix::time::{ClockId, clock_gettime};

/// Above ordinary threads, below the kernel's own real-time threads (threaded interrupts have 50).
const PRIORITY: i32 = 40;

/// Puts the calling thread under `SCHED_FIFO`; threads that it starts would not inherit it.
///
/// # Errors
/// `EPERM` without `CAP_SYS_NICE` and without an `RLIMIT_RTPRIO` of at least 40.
pub(super) fn enter() -> io::Result<()> {
    let policy = libc::SCHED_FIFO | libc::SCHED_RESET_ON_FORK;
    let parameters = libc::sched_param { sched_priority: PRIORITY };
    // SAFETY: pid 0 is the calling thread; `parameters` is a live, initialised value that the kernel only reads.
    let result = unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The time on `CLOCK_BOOTTIME`, which runs on while the box is suspended.
pub(super) fn now() -> Moment {
    let time = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has had this clock since 2.6.39");
    Moment::from_boot(time.into())
}
