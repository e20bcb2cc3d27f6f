//! Starts a unit's program: everything decided before the fork, and between fork and exec only system calls.
//!
//! What the child is when its program begins: leader of its own session, in its cgroup, with the unit's user, with exactly the
//! unit's capabilities (bounding, permitted, inheritable and ambient sets; root has no privilege by being root), unable
//! to gain any, no descriptor but 0, 1, 2 and the unit's sockets.
#![expect(
    unsafe_code,
    reason = "std's hook between fork and exec is unsafe: only async-signal-safe calls may stand in it"
)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use halcyon_core::supervise::Unit;
use halcyon_core::supervise::unit::Tty;
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets};
use rustix::thread::{Gid, Uid};

use crate::{cgroup, listen, notify, tty};

/// For a unit that the box cannot be without: the kernel kills others first.
const OOM_CRITICAL: &[u8] = b"-900";
const OOM_ORDINARY: &[u8] = b"0";

/// Starts the program; its output goes to `output`, `sockets` become descriptors 3, 4, …
pub(crate) fn start(unit: &Unit, output: &OwnedFd, sockets: &[OwnedFd]) -> Result<u32, String> {
    for directory in &unit.directories {
        make_directory(directory, unit.user).map_err(|error| format!("{directory}: {error}"))?;
    }
    let mut command = Command::new(&unit.exec[0]);
    command.args(&unit.exec[1..]).env_clear().env("PATH", "/usr/sbin:/usr/bin").envs(&unit.environment);
    if unit.notify || unit.heartbeat.is_some() {
        command.env("NOTIFY_SOCKET", notify::SOCKET);
    }
    if let Some(limit) = unit.heartbeat {
        command.env("WATCHDOG_USEC", limit.as_micros().to_string());
    }
    command.current_dir("/");
    let has_terminal = give_standard_streams(&mut command, unit, output)?;
    let child =
        Child::prepare(unit, sockets, has_terminal).map_err(|error| format!("its cgroup: {error}"))?;
    // SAFETY: `become_unit` makes system calls on values prepared above; it allocates nothing and takes no lock.
    unsafe { command.pre_exec(move || child.become_unit()) };
    command.spawn().map(|child| child.id()).map_err(|error| format!("{}: {error}", unit.exec[0]))
}

/// Standard input, output and error; says whether they are a terminal.
fn give_standard_streams(command: &mut Command, unit: &Unit, output: &OwnedFd) -> Result<bool, String> {
    let copy = |file: &OwnedFd| file.try_clone().map_err(|error| format!("its output: {error}"));
    let Tty::On { name, .. } = &unit.tty else {
        command.stdin(Stdio::null()).stdout(copy(output)?).stderr(copy(output)?);
        return Ok(false);
    };
    let terminal: OwnedFd =
        tty::for_unit(name, unit.user).map_err(|error| format!("/dev/{name}: {error}"))?.into();
    // The kernel's own screen knows more than a serial line, whose terminal nobody knows.
    command.env("TERM", if name.starts_with("ttyS") { "vt220" } else { "linux" });
    command.stdin(copy(&terminal)?).stdout(copy(&terminal)?).stderr(terminal);
    Ok(true)
}

/// Owned by root with the unit's group and the sticky bit: the unit can add files, and remove only its own.
fn make_directory(path: &str, user: u32) -> io::Result<()> {
    std::fs::create_dir_all(path)?;
    std::os::unix::fs::chown(path, Some(0), Some(user))?;
    std::fs::set_permissions(Path::new(path), std::os::unix::fs::PermissionsExt::from_mode(0o1775))
}

/// All that the child needs between fork and exec.
struct Child {
    cgroup: File,
    oom_score: &'static [u8],
    real_time: u64,
    has_terminal: bool,
    sockets: Vec<i32>,
    user: u32,
    keep: CapabilitySet,
}

impl Child {
    fn prepare(unit: &Unit, sockets: &[OwnedFd], has_terminal: bool) -> io::Result<Self> {
        let keep = unit.capabilities.iter().fold(0, |set, capability| set | capability.bit());
        Ok(Self {
            cgroup: cgroup::prepare(unit)?,
            oom_score: if unit.critical { OOM_CRITICAL } else { OOM_ORDINARY },
            real_time: u64::from(unit.real_time.unwrap_or(0)),
            has_terminal,
            sockets: sockets.iter().map(AsRawFd::as_raw_fd).collect(),
            user: unit.user,
            keep: CapabilitySet::from_bits_retain(keep),
        })
    }

    /// Runs in the child, after its standard streams are in place.
    fn become_unit(&self) -> io::Result<()> {
        rustix::io::write(&self.cgroup, b"0")?;
        sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?;
        rustix::process::setsid()?;
        if self.has_terminal {
            rustix::process::ioctl_tiocsctty(rustix::stdio::stdin())?;
        }
        let score =
            rustix::fs::open(c"/proc/self/oom_score_adj", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::io::write(&score, self.oom_score)?;
        let limit = Some(self.real_time);
        setrlimit(Resource::Rtprio, Rlimit { current: limit, maximum: limit })?;
        rustix::process::umask(Mode::from_raw_mode(0o022));
        self.place_sockets()?;
        self.drop_privileges()
    }

    fn place_sockets(&self) -> io::Result<()> {
        for (socket, target) in self.sockets.iter().zip(listen::FIRST..) {
            // SAFETY: PID 1 keeps the socket open for ever, above the targets; the copy is closed nowhere.
            let source = unsafe { std::os::fd::BorrowedFd::borrow_raw(*socket) };
            // SAFETY: PID 1 holds these low descriptors free for this purpose; ownership ends with `forget`.
            let mut place = unsafe { OwnedFd::from_raw_fd(target) };
            let placed = rustix::io::dup2(source, &mut place);
            std::mem::forget(place);
            placed?;
        }
        Ok(())
    }

    fn drop_privileges(&self) -> io::Result<()> {
        for number in 0..64 {
            let capability = CapabilitySet::from_bits_retain(1 << number);
            if !self.keep.contains(capability) {
                match rustix::thread::remove_capability_from_bounding_set(capability) {
                    Err(rustix::io::Errno::INVAL) => break, // beyond the last that this kernel has
                    other => other?,
                }
            }
        }
        rustix::thread::set_capabilities_secure_bits(
            CapabilitiesSecureBits::NO_ROOT
                | CapabilitiesSecureBits::NO_ROOT_LOCKED
                | CapabilitiesSecureBits::KEEP_CAPS,
        )?;
        rustix::thread::set_thread_groups(&[])?;
        let (group, user) = (Gid::from_raw(self.user), Uid::from_raw(self.user));
        rustix::thread::set_thread_res_gid(group, group, group)?;
        rustix::thread::set_thread_res_uid(user, user, user)?;
        let sets = CapabilitySets { effective: self.keep, permitted: self.keep, inheritable: self.keep };
        rustix::thread::set_capabilities(None, sets)?;
        for capability in self.keep.iter() {
            rustix::thread::configure_capability_in_ambient_set(capability, true)?;
        }
        Ok(rustix::thread::set_no_new_privs(true)?)
    }
}
