//! PID 1 after the root is mounted: wake up, take in what happened, carry out what supervision decides; for ever.
//!
//! One thread, one `poll`. Nothing in the loop waits for anybody: not for a unit, a terminal, a disk or a client. The
//! decisions are [`Supervisor`]'s; this file connects it to the world: it carries out, [`waiting`] waits, [`intake`] takes in.

mod intake;
mod waiting;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use halcyon_core::journal::Level;
use halcyon_core::moment::Moment;
use halcyon_core::report::{self, Event as Report};
use halcyon_core::supervise::unit::{Greeting, Tty, Unit};
use halcyon_core::supervise::{self, Command, Event, Supervisor};
use nix::sys::signal::{self, SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::time::{ClockId, clock_gettime};

use crate::cmdline::CommandLine;
use crate::inbox::Inbox;
use crate::notify;
use crate::output::Output;
use crate::power::{self, Button};
use crate::reporter::Reporter;
use crate::request::Requests;
use crate::shutdown::{self, Action};
use crate::uevent::Uevents;
use crate::watchdog::Watchdog;
use crate::{cgroup, listen, machine, mounts, spawn, tty};

const UNITS: &str = "/usr/lib/halcyon/units";

/// A terminal that could not be opened or was hung up is tried again after this.
const KEY_RETRY: Duration = Duration::from_secs(5);

/// The running box.
struct Init {
    supervisor: Supervisor,
    reporter: Reporter,
    cmdline: CommandLine,
    /// By unit name: one pipe each, for ever.
    outputs: BTreeMap<String, Output>,
    /// By unit name: sockets bound for it.
    sockets: BTreeMap<String, Vec<OwnedFd>>,
    /// Silent consoles, by the unit that waits for a key there.
    keys: BTreeMap<String, File>,
    keys_retry: Option<Moment>,
    buttons: Vec<Button>,
    watchdog: Option<Watchdog>,
    signals: SignalFd,
    notify: Option<Inbox>,
    reports: Option<Inbox>,
    requests: Option<Requests>,
    uevents: Option<Uevents>,
    /// CONFIG is nobody's until the unit that wipes it is ready.
    resetting: bool,
    action: Action,
}

/// Boots the rest of the box and runs it; `started` is when the first stage began.
pub(crate) fn run(started: Duration) -> ! {
    hold_low_descriptors();
    // Standard error is nobody's; the kernel's log is where a broken PID 1 is looked for.
    std::panic::set_hook(Box::new(|panic| {
        let _ = fs::write("/dev/kmsg", format!("<26>init: {panic}").replace('\n', " "));
    }));
    let mount_problems = mounts::late();
    let cmdline = CommandLine::parse(&fs::read_to_string("/proc/cmdline").unwrap_or_default());
    let mut reporter = Reporter::open(&cmdline);
    let version = fs::read_to_string("/usr/lib/halcyon/version").unwrap_or_default();
    reporter.event(&Report::Boot { version: version.trim().to_owned() }, Moment::from_boot(started));
    let mut problems = mount_problems;
    problems.extend(machine::prepare());
    if let Err(error) = cgroup::enable_controllers() {
        problems.push(format!("units cannot be limited: {error}"));
    }
    let signals = match take_signals() {
        Ok(signals) => signals,
        Err(error) => shutdown::give_up(&format!("signals cannot be received: {error}")),
    };
    let mut init = Init {
        supervisor: Supervisor::new(),
        reporter,
        cmdline,
        outputs: BTreeMap::new(),
        sockets: BTreeMap::new(),
        keys: BTreeMap::new(),
        keys_retry: None,
        buttons: Vec::new(),
        watchdog: None,
        signals,
        notify: keep(Inbox::bind(notify::SOCKET, 0o666, 4096), "notify socket", &mut problems),
        reports: keep(Inbox::bind(report::SOCKET, 0o666, 64 * 1024), "report socket", &mut problems),
        requests: keep(Requests::bind(), "request socket", &mut problems),
        uevents: keep(Uevents::subscribe(), "news of devices", &mut problems),
        resetting: false,
        action: Action::Reboot,
    };
    init.resetting = init.cmdline.reset;
    init.add_units(&mut problems);
    for problem in problems {
        init.reporter.problem(&problem);
    }
    init.buttons = power::all();
    init.open_watchdog(now());
    loop {
        // A mistake of ours in one turn must not take the box down; the next turn derives everything anew.
        if catch_unwind(AssertUnwindSafe(|| init.turn())).is_err() {
            init.reporter.log.write(Level::Error, "a turn of PID 1's loop panicked; it goes on");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The boot clock.
fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Moment::from_boot(Duration::new(seconds, nanos))
}

/// Occupies the descriptors that units get their sockets at, so that nothing of ours comes to lie there.
fn hold_low_descriptors() {
    let Ok(nothing) = File::options().read(true).write(true).open("/dev/null") else { return };
    for _ in 0..listen::FIRST + listen::MOST {
        match rustix::io::fcntl_dupfd_cloexec(&nothing, 0) {
            // Held for as long as PID 1 lives.
            Ok(held) if std::os::fd::AsRawFd::as_raw_fd(&held) < listen::FIRST + listen::MOST => {
                std::mem::forget(held);
            }
            _ => break,
        }
    }
}

/// Turns the signals we know into something to poll, and Ctrl-Alt-Del into one of them.
fn take_signals() -> nix::Result<SignalFd> {
    let mut set = SigSet::empty();
    for signal in [
        Signal::SIGCHLD,
        Signal::SIGTERM,
        Signal::SIGINT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGPWR,
        Signal::SIGHUP,
    ] {
        set.add(signal);
    }
    set.thread_block()?;
    // Where there is no keyboard there is nothing to disable.
    let _ = rustix::system::reboot(rustix::system::RebootCommand::CadOff);
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

fn keep<T>(made: std::io::Result<T>, what: &str, problems: &mut Vec<String>) -> Option<T> {
    made.map_err(|error| problems.push(format!("no {what}: {error}"))).ok()
}

impl Init {
    fn add_units(&mut self, problems: &mut Vec<String>) {
        let mut files = BTreeMap::new();
        for path in fs::read_dir(UNITS).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
            if path.extension().is_some_and(|extension| extension == "toml") {
                files.insert(name, fs::read_to_string(&path).unwrap_or_default());
            }
        }
        let (units, wrong) = supervise::parse(&files);
        problems.extend(wrong.iter().map(ToString::to_string));
        let mut all = Vec::new();
        for unit in units {
            for socket in unit.sockets.iter().take(listen::MOST as usize) {
                match listen::for_unit(socket) {
                    Ok(bound) => self.sockets.entry(unit.name.clone()).or_default().push(bound),
                    Err(error) => problems.push(format!("{}: socket {}: {error}", unit.name, socket.path)),
                }
            }
            if unit.tty == Tty::Template {
                let consoles = tty::consoles(self.cmdline.report.as_deref());
                all.extend(consoles.iter().map(|name| self.instance(&unit, name)));
            }
            all.push(unit);
        }
        self.supervisor.handle(Event::Added(all), now());
    }

    fn instance(&self, template: &Unit, terminal: &str) -> Unit {
        let named = self.cmdline.consoles.iter().any(|console| console == terminal);
        template.on_tty(terminal, if named { Greeting::AtOnce } else { Greeting::OnKey })
    }

    /// One round: do, wait, take in.
    fn turn(&mut self) {
        self.carry_out(now());
        self.await_keys(now());
        for source in self.wait() {
            self.take_in(&source, now());
        }
        let now = now();
        if self.supervisor.poll_timeout().is_some_and(|at| at <= now) {
            self.supervisor.handle(Event::Tick, now);
        }
    }

    fn carry_out(&mut self, now: Moment) {
        while let Some(command) = self.supervisor.poll_command() {
            match command {
                Command::Start { unit } => {
                    let event = match self.start(&unit, now) {
                        Ok(pid) => Event::Started { unit, pid },
                        Err(why) => {
                            self.reporter
                                .log
                                .write(Level::Error, &format!("{unit} cannot be started: {why}"));
                            Event::NotStarted { unit, why }
                        }
                    };
                    self.supervisor.handle(event, now);
                }
                Command::Signal { pid, signal: supervise::Signal::Term, .. } => {
                    if let Ok(pid) = i32::try_from(pid) {
                        // It may be gone already; then its end is on the way.
                        let _ = signal::kill(nix::unistd::Pid::from_raw(pid), Signal::SIGTERM);
                    }
                }
                Command::KillAll { unit } => {
                    if let Err(error) = cgroup::kill(&unit) {
                        self.reporter.log.write(Level::Warn, &format!("{unit}: its cgroup: {error}"));
                    }
                }
                Command::Report(event) => self.reporter.event(&event, now),
                Command::Halt => {
                    if let Some(watchdog) = self.watchdog.take() {
                        watchdog.disarm();
                    }
                    shutdown::finish(self.action, &mut self.reporter);
                }
            }
        }
    }

    fn start(&mut self, name: &str, now: Moment) -> Result<u32, String> {
        let unit = self.supervisor.unit(name).ok_or("there is no such unit")?.clone();
        if !self.outputs.contains_key(name) {
            let output = Output::new(now).map_err(|error| format!("its output: {error}"))?;
            self.outputs.insert(name.to_owned(), output);
        }
        let sockets = self.sockets.get(name).map_or(&[][..], Vec::as_slice);
        spawn::start(&unit, self.outputs[name].writing_end(), sockets)
    }

    fn open_watchdog(&mut self, now: Moment) {
        if self.watchdog.is_none()
            && !self.supervisor.is_stopping()
            && let Some((watchdog, sentence)) = Watchdog::open(now)
        {
            self.reporter.log.write(Level::Info, &sentence);
            self.watchdog = Some(watchdog);
        }
    }

    fn go_down(&mut self, action: Action, now: Moment) {
        if self.supervisor.is_stopping() {
            return;
        }
        self.action = action;
        self.reporter.event(&Report::Shutdown { action: action.name().to_owned() }, now);
        self.supervisor.handle(Event::StopRequested, now);
    }
}
