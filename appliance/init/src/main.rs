//! The box's first program, and the few that belong to it: one file, several roles.
//!
//! | started as | role |
//! |---|---|
//! | process 1 | [`early`]: mount the root image; then [`pid1`]: boot the rest, supervise units for ever |
//! | `init devices` | [`devices`]: drivers for the hardware |
//! | `init disks` | [`disks`]: STATE, installation, factory reset |
//! | `init logd` | [`logd`]: the log |
//! | `init ntp` | [`ntp`]: the clock, while the document names time servers |
//! | `init -q -- NAME` | [`modprobe`]: the kernel wants a module |
//! | `init poweroff` | the kernel wants to be switched off (`kernel.poweroff_cmd`) |
//!
//! No role uses a runtime, and threads only where a disk can make somebody wait: what PID 1 depends on can be read here.

mod early;
mod pid1;

mod announce;
mod cgroup;
mod cmdline;
mod devices;
mod disks;
mod inbox;
mod ioctl;
mod listen;
mod log;
mod logd;
mod machine;
mod modprobe;
mod modules;
mod mounts;
mod notify;
mod ntp;
mod output;
mod power;
mod reporter;
mod request;
mod shutdown;
mod spawn;
mod tty;
mod uevent;
mod watchdog;

use std::process::ExitCode;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

fn main() -> ExitCode {
    if std::process::id() == 1 {
        first_process();
    }
    let arguments: Vec<String> = std::env::args().collect();
    let called = arguments.first().map_or("", |path| path.rsplit('/').next().unwrap_or(path));
    match (called, arguments.get(1).map(String::as_str)) {
        ("logd", _) | (_, Some("logd")) => logd::run(),
        (_, Some("devices")) => devices::run(),
        (_, Some("disks")) => disks::run(),
        (_, Some("ntp")) => ntp::run(),
        (_, Some("-q")) => modprobe::run(&arguments[2..]),
        (_, Some("poweroff")) => ask_for_poweroff(),
        _ => {
            eprintln!(
                "this program is started by the kernel and by itself: as process 1, logd, devices, disks, ntp or -q -- MODULE"
            );
            ExitCode::FAILURE
        }
    }
}

fn first_process() -> ! {
    let started = boot_clock();
    // Without an image beside us the root was mounted by something else.
    if std::path::Path::new(early::IMAGE).exists()
        && let Err(why) = early::enter_root()
    {
        shutdown::give_up(&why);
    }
    pid1::run(started)
}

fn boot_clock() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn ask_for_poweroff() -> ExitCode {
    match nix::sys::signal::kill(nix::unistd::Pid::from_raw(1), nix::sys::signal::Signal::SIGUSR2) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
