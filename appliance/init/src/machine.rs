//! What the machine is set to before anything runs: kernel settings, limits, name, loopback, clock.

use std::fs;
use std::time::{Duration, SystemTime};

use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::time::{ClockId, Timespec, clock_gettime, clock_settime};

/// The name of a box that has none yet.
const HOSTNAME: &str = "halcyon";

/// Kernel settings. The engine owns those of single interfaces, IPVS and forwarding; these are the machine's.
const SETTINGS: &[(&str, &str)] = &[
    // Before any socket is made: how many log entries may wait for their reader.
    ("net/unix/max_dgram_qlen", "512"),
    // Consoles show errors of the kernel and nothing milder; the log has it all.
    ("kernel/printk", "4 4 1 4"),
    ("kernel/printk_devkmsg", "on"),
    ("kernel/modprobe", "/usr/lib/halcyon/bin/init"),
    ("kernel/poweroff_cmd", "/usr/lib/halcyon/bin/init poweroff"),
    // A box that nobody is near to starts again by itself.
    ("kernel/panic", "10"),
    ("kernel/panic_on_oops", "1"),
    ("kernel/sysrq", "0"),
    ("kernel/core_pattern", "|/bin/false"),
    ("kernel/kptr_restrict", "2"),
    ("kernel/dmesg_restrict", "1"),
    ("kernel/unprivileged_bpf_disabled", "1"),
    ("kernel/kexec_load_disabled", "1"),
    ("kernel/yama/ptrace_scope", "2"),
    ("net/core/bpf_jit_harden", "2"),
    ("fs/protected_fifos", "2"),
    ("fs/protected_regular", "2"),
    ("fs/protected_hardlinks", "1"),
    ("fs/protected_symlinks", "1"),
    ("fs/suid_dumpable", "0"),
    ("vm/overcommit_memory", "0"),
    ("vm/panic_on_oom", "0"),
];

/// Holds the time that the clock was raised to at the start; missing: it needed no raising.
const RAISED: &str = "/run/halcyon/clock-raised";

/// Applies everything; the problems, one sentence each.
pub(crate) fn prepare() -> Vec<String> {
    let mut problems = Vec::new();
    for (name, value) in SETTINGS {
        // With an end of line: kernel.printk_devkmsg insists on it.
        match fs::write(format!("/proc/sys/{name}"), format!("{value}\n")) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                problems.push(format!("{name} cannot be set to {value}: {error}"));
            }
            _ => {}
        }
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(1 << 16), maximum: Some(1 << 20) })
        .unwrap_or_else(|error| problems.push(format!("open files cannot be limited: {error}")));
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })
        .unwrap_or_else(|error| problems.push(format!("core files cannot be forbidden: {error}")));
    set_hostname(HOSTNAME).unwrap_or_else(|why| problems.push(why));
    loopback_up()
        .unwrap_or_else(|error| problems.push(format!("the loopback interface stays down: {error}")));
    problems.extend(raise_clock());
    problems
}

/// Names the machine.
pub(crate) fn set_hostname(name: &str) -> Result<(), String> {
    let valid = (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    if !valid {
        return Err(format!("{name:?} is no host name; use letters, digits, -, _ and ., at most 64"));
    }
    rustix::system::sethostname(name.as_bytes()).map_err(|error| format!("the host name stays: {error}"))
}

/// `RTM_NEWLINK` for interface 1 with `IFF_UP` (`include/uapi/linux/rtnetlink.h`, `struct ifinfomsg`).
fn loopback_up() -> rustix::io::Result<()> {
    const RTM_NEWLINK: u16 = 16;
    const NLM_F_REQUEST: u16 = 1;
    const LOOPBACK: i32 = 1;
    const IFF_UP: u32 = 1;
    let mut message = Vec::with_capacity(32);
    message.extend(32u32.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend(NLM_F_REQUEST.to_ne_bytes());
    message.extend([0; 8]); // sequence, port
    message.extend([0; 4]); // family, padding, type
    message.extend(LOOPBACK.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    message.extend(IFF_UP.to_ne_bytes());
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let kernel = netlink::SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &message, rustix::net::SendFlags::empty(), &kernel).map(|_| ())
}

/// Sets the clock to the image's time if it stands before it: a battery that died must not bring 1970 back, in which
/// no certificate is valid.
fn raise_clock() -> Option<String> {
    let floor = clock_floor();
    let now = clock_gettime(ClockId::Realtime);
    let floor_seconds = i64::try_from(floor.as_secs()).ok()?;
    if now.tv_sec >= floor_seconds {
        return None;
    }
    match clock_settime(ClockId::Realtime, Timespec { tv_sec: floor_seconds, tv_nsec: 0 }) {
        Ok(()) => {
            // For whoever knows a later time once a disk is there; without it the image's stands.
            let _ = fs::create_dir_all("/run/halcyon");
            let _ = fs::write(RAISED, floor_seconds.to_string());
            Some(format!("the clock stood before the image's own time and was set to it ({floor_seconds})"))
        }
        Err(error) => Some(format!("the clock is wrong and cannot be set: {error}")),
    }
}

/// The image's time, if the clock had to be raised to it.
pub(crate) fn raised_to() -> Option<Duration> {
    Some(Duration::from_secs(fs::read_to_string(RAISED).ok()?.trim().parse().ok()?))
}

/// The latest time that certainly has passed: the image's, or the day its kernel was built.
fn clock_floor() -> Duration {
    let image = fs::metadata("/usr/lib/halcyon/version")
        .and_then(|file| file.modified())
        .ok()
        .and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok())
        .unwrap_or_default();
    let kernel = rustix::system::uname().version().to_string_lossy().into_owned();
    image.max(build_day(&kernel).unwrap_or_default())
}

/// The date in a kernel's version text, `… Debian 6.12.57-1 (2025-11-05)`, since 1970.
fn build_day(version: &str) -> Option<Duration> {
    let (_, rest) = version.rsplit_once('(')?;
    let mut parts = rest.split_once(')')?.0.split('-');
    let mut number = || parts.next()?.parse::<u64>().ok();
    let (year, month, day) = (number()?, number()?, number()?);
    if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days before a date in the proleptic Gregorian calendar, years beginning in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some(Duration::from_secs(days.checked_sub(719_468)? * 86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_build_day_is_read() {
        for (version, seconds) in [
            ("#1 SMP PREEMPT_DYNAMIC Debian 6.12.57-1 (2025-11-05)", Some(1_762_300_800)),
            ("x (1970-01-01)", Some(0)),
            ("x (2000-02-29)", Some(951_782_400)),
            ("#1 SMP Mon Nov 3", None),
            ("x (2025-13-01)", None),
        ] {
            assert_eq!(build_day(version).map(|time| time.as_secs()), seconds, "{version}");
        }
    }
}
