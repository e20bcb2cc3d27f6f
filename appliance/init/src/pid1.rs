//! PID 1 after the root is mounted: wake up, take in what happened, carry out what supervision decides; for ever.
//!
//! One thread, one `poll`. Nothing in the loop waits for anybody: not for a unit, a terminal, a disk or a client. The
//! decisions are [`Supervisor`]'s; this file connects it to the world.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use halcyon_core::journal::Level;
use halcyon_core::moment::Moment;
use halcyon_core::report::{self, Event as Report};
use halcyon_core::supervise::control::{Request, Response};
use halcyon_core::supervise::unit::{Greeting, Tty, Unit};
use halcyon_core::supervise::{self, Command, Event, Exit, Supervisor};
use nix::sys::signal::{self, SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::WaitOptions;
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::cmdline::CommandLine;
use crate::inbox::Inbox;
use crate::notify::{self, Statements};
use crate::output::Output;
use crate::power::{self, Button};
use crate::reporter::Reporter;
use crate::request::{Asked, Requests};
use crate::shutdown::{self, Action};
use crate::uevent::{News, Uevent, Uevents};
use crate::watchdog::Watchdog;
use crate::{cgroup, listen, machine, mounts, spawn, tty};

const UNITS: &str = "/usr/lib/halcyon/units";

/// Units whose users may ask PID 1 for things, beside root.
const TRUSTED: &[&str] = &["engine", "console"];

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
    action: Action,
}

/// What can wake the loop.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Source {
    Signals,
    Notify,
    Reports,
    Requests,
    Uevents,
    Terminal,
    Output(String),
    Key(String),
    Button(usize),
}

/// Boots the rest of the box and runs it; `started` is when the first stage began.
pub(crate) fn run(started: Duration) -> ! {
    hold_low_descriptors();
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
        action: Action::Reboot,
    };
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

    /// Opens the terminals on which a key is awaited.
    fn await_keys(&mut self, now: Moment) {
        if self.keys_retry.is_some_and(|at| now < at) {
            return;
        }
        self.keys_retry = None;
        let wanted: Vec<(String, String)> = self
            .supervisor
            .dormant()
            .filter_map(|unit| match &unit.tty {
                Tty::On { name, .. } if !self.keys.contains_key(&unit.name) => {
                    Some((unit.name.clone(), name.clone()))
                }
                _ => None,
            })
            .collect();
        for (unit, terminal) in wanted {
            match tty::for_key(&terminal) {
                Ok(file) => drop(self.keys.insert(unit, file)),
                Err(_) => self.keys_retry = Some(now + KEY_RETRY),
            }
        }
    }

    /// Waits until something happens or is due; says what is ready.
    fn wait(&mut self) -> Vec<Source> {
        let feed = match &mut self.watchdog {
            Some(watchdog) => Some(watchdog.feed(self.supervisor.is_healthy(), now())),
            None => None,
        };
        let due = [feed, self.supervisor.poll_timeout(), self.keys_retry].into_iter().flatten().min();
        let timeout = due.map(|due| timespec(due.since(now())));
        let mut sources = Vec::new();
        let mut fds = Vec::new();
        self.each_source(|source, fd, flags| {
            sources.push(source);
            fds.push(PollFd::from_borrowed_fd(fd, flags));
        });
        if poll(&mut fds, timeout.as_ref()).is_err() {
            return Vec::new(); // interrupted: the next turn asks again
        }
        let ready = fds.iter().map(|fd| !fd.revents().is_empty());
        let mut happened: Vec<Source> =
            sources.into_iter().zip(ready).filter(|(_, ready)| *ready).map(|(source, _)| source).collect();
        happened.dedup();
        happened
    }

    fn each_source<'a>(&'a self, mut add: impl FnMut(Source, BorrowedFd<'a>, PollFlags)) {
        add(Source::Signals, self.signals.as_fd(), PollFlags::IN);
        if let Some(inbox) = &self.notify {
            add(Source::Notify, inbox.as_fd(), PollFlags::IN);
        }
        if let Some(inbox) = &self.reports {
            add(Source::Reports, inbox.as_fd(), PollFlags::IN);
        }
        for fd in self.requests.iter().flat_map(Requests::descriptors) {
            add(Source::Requests, fd, PollFlags::IN);
        }
        if let Some(uevents) = &self.uevents {
            add(Source::Uevents, uevents.as_fd(), PollFlags::IN);
        }
        for writer in self.reporter.waiting() {
            add(Source::Terminal, writer.as_fd(), PollFlags::OUT);
        }
        for (unit, output) in &self.outputs {
            add(Source::Output(unit.clone()), output.as_fd(), PollFlags::IN);
        }
        for (unit, file) in &self.keys {
            add(Source::Key(unit.clone()), file.as_fd(), PollFlags::IN);
        }
        for (index, button) in self.buttons.iter().enumerate() {
            add(Source::Button(index), button.as_fd(), PollFlags::IN);
        }
    }

    fn take_in(&mut self, source: &Source, now: Moment) {
        match source {
            Source::Signals => self.take_signals(now),
            Source::Notify => self.take_notifications(now),
            Source::Reports => self.take_reports(now),
            Source::Requests => {
                let asked = self.requests.as_mut().map(Requests::read).unwrap_or_default();
                asked.into_iter().for_each(|asked| self.answer(asked, now));
            }
            Source::Uevents => self.take_uevents(now),
            Source::Terminal => self.reporter.flush(),
            Source::Output(unit) => {
                if let Some(output) = self.outputs.get_mut(unit) {
                    output.drain(now, |line| self.reporter.log.captured(unit, line));
                }
            }
            Source::Key(unit) => self.take_key(unit, now),
            Source::Button(index) => match self.buttons.get_mut(*index).map(Button::read) {
                Some(power::Reading::Pressed) => self.go_down(Action::PowerOff, now),
                // Its place is taken by another; what that has to say is read in the next turn.
                Some(power::Reading::Gone) => drop(self.buttons.remove(*index)),
                Some(power::Reading::Nothing) | None => {}
            },
        }
    }

    fn take_signals(&mut self, now: Moment) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok()) {
                Some(Signal::SIGTERM | Signal::SIGINT) => self.go_down(Action::Reboot, now),
                Some(Signal::SIGUSR2 | Signal::SIGPWR) => self.go_down(Action::PowerOff, now),
                _ => {}
            }
        }
        // Whatever the signal was: one SIGCHLD may stand for many ends.
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let exit = match (status.exit_status(), status.terminating_signal()) {
                (Some(status), _) => Exit::Status(status),
                (None, Some(signal)) => Exit::Signal(signal),
                (None, None) => continue, // stopped or continued
            };
            self.supervisor
                .handle(Event::Exited { pid: pid.as_raw_nonzero().get().unsigned_abs(), exit }, now);
        }
    }

    fn take_notifications(&mut self, now: Moment) {
        while let Some(letter) = self.notify.as_mut().and_then(Inbox::next) {
            let statements = Statements::parse(letter.bytes);
            let pid = letter.sender.map(|sender| sender.pid.as_raw_nonzero().get().unsigned_abs());
            let main = pid.and_then(|pid| self.supervisor.unit_of(pid)).map(|unit| unit.name.clone());
            let Some(unit) = main.or_else(|| cgroup::unit_of(pid?)) else { continue };
            if statements.ready {
                self.supervisor.handle(Event::Ready { unit: unit.clone() }, now);
            }
            if statements.beat {
                self.supervisor.handle(Event::Beat { unit }, now);
            }
        }
    }

    fn take_reports(&mut self, now: Moment) {
        let engine = self.supervisor.unit("engine").map(|unit| unit.user);
        while let Some(letter) = self.reports.as_mut().and_then(Inbox::next) {
            let user = letter.sender.map(|sender| sender.uid.as_raw());
            let trusted = user == Some(0) || (user.is_some() && user == engine);
            match serde_json::from_slice::<Report>(letter.bytes) {
                Ok(event) if trusted => self.reporter.event(&event, now),
                Ok(_) => {
                    self.reporter.log.write(Level::Warn, &format!("an event of user {user:?} was refused"))
                }
                Err(error) => {
                    self.reporter
                        .log
                        .write(Level::Warn, &format!("an event could not be understood: {error}"));
                }
            }
        }
    }

    fn answer(&mut self, asked: Asked, now: Moment) {
        let is_trusted = |unit: &Unit| TRUSTED.contains(&unit.family()) && unit.user == asked.user;
        let trusted = asked.user == 0 || self.supervisor.units().any(is_trusted);
        let response = match &asked.request {
            Err(why) => Response::Refused(why.clone()),
            Ok(Request::Units) => Response::Units(self.supervisor.status()),
            Ok(_) if !trusted => {
                Response::Refused("only root, the engine and the consoles may ask that".to_owned())
            }
            Ok(Request::Hostname { name }) => match machine::set_hostname(name) {
                Ok(()) => Response::Done(format!("the box is named {name}")),
                Err(why) => Response::Refused(why),
            },
            Ok(request @ (Request::Reboot | Request::Poweroff)) => {
                let action = if *request == Request::Reboot { Action::Reboot } else { Action::PowerOff };
                self.go_down(action, now);
                Response::Done("going down".to_owned())
            }
        };
        asked.answer(&response);
    }

    fn take_uevents(&mut self, now: Moment) {
        while let Some(news) = self.uevents.as_ref().and_then(Uevents::next) {
            match news {
                News::Event(event) if event.get("ACTION") == Some("add") => self.take_device(&event, now),
                News::Event(_) | News::Lost => {}
            }
        }
    }

    fn take_device(&mut self, event: &Uevent, now: Moment) {
        let name = event.get("DEVNAME").unwrap_or_default();
        match event.get("SUBSYSTEM") {
            Some("watchdog") => self.open_watchdog(now),
            Some("input") => {
                let name = name.strip_prefix("input/").unwrap_or(name);
                if name.starts_with("event") && self.buttons.iter().all(|button| button.name() != name) {
                    self.buttons.extend(Button::open(name));
                }
            }
            Some("tty") if tty::is_console(name) && self.cmdline.report.as_deref() != Some(name) => {
                let templates = self.supervisor.templates().iter();
                let instances = templates.map(|template| self.instance(template, name)).collect();
                self.supervisor.handle(Event::Added(instances), now);
            }
            _ => {}
        }
    }

    fn take_key(&mut self, unit: &str, now: Moment) {
        let Some(file) = self.keys.remove(unit) else { return };
        let mut buffer = [0; 64];
        match rustix::io::read(&file, &mut buffer) {
            Ok(1..) => self.supervisor.handle(Event::Woken { unit: unit.to_owned() }, now),
            Err(rustix::io::Errno::AGAIN) => drop(self.keys.insert(unit.to_owned(), file)),
            // Hung up: the terminal is gone, or nobody is at the other end.
            Ok(0) | Err(_) => self.keys_retry = Some(now + KEY_RETRY),
        }
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

fn timespec(duration: Duration) -> Timespec {
    // Up, so that the loop does not turn once in vain just before the moment.
    let duration = duration + Duration::from_micros(50);
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
