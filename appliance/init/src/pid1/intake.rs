//! Taking in what happened: from each source to the events that supervision understands.

use std::fs;

use halcyon_core::journal::Level;
use halcyon_core::moment::Moment;
use halcyon_core::report::Event as Report;
use halcyon_core::supervise::control::{Request, Response};
use halcyon_core::supervise::unit::Unit;
use halcyon_core::supervise::{Event, Exit};
use nix::sys::signal::Signal;
use rustix::process::WaitOptions;

use super::waiting::Source;
use super::{Init, KEY_RETRY};
use crate::inbox::Inbox;
use crate::notify::Statements;
use crate::power::{self, Button};
use crate::request::{Asked, Requests};
use crate::shutdown::Action;
use crate::uevent::{News, Uevent, Uevents};
use crate::{cgroup, machine, tty};

/// Units whose users may ask PID 1 for things, beside root.
const TRUSTED: &[&str] = &["engine", "console"];

/// The unit that carries out a factory reset, and is ready after that.
const RESETTER: &str = "disks";

impl Init {
    pub(super) fn take_in(&mut self, source: &Source, now: Moment) {
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
                if unit == RESETTER && std::mem::take(&mut self.resetting) {
                    self.look_again(now);
                }
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
                News::Event(_) => {}
                News::Lost => self.look_again(now),
            }
        }
    }

    /// Takes every device that is there as if it came just now; those that were taken before mean nothing new.
    fn look_again(&mut self, now: Moment) {
        for subsystem in ["block", "watchdog", "input"] {
            let devices = fs::read_dir(format!("/sys/class/{subsystem}")).into_iter().flatten().flatten();
            for device in devices {
                let text = fs::read_to_string(device.path().join("uevent")).unwrap_or_default();
                self.take_device(&Uevent::of_present(subsystem, &text), now);
            }
        }
    }

    fn take_device(&mut self, event: &Uevent, now: Moment) {
        let name = event.get("DEVNAME").unwrap_or_default();
        match event.get("SUBSYSTEM") {
            // A partition for the configuration: the engine is the one user that may read and write it.
            Some("block") if event.get("PARTNAME") == Some("config") && !self.resetting => {
                self.hand_over_partition(name)
            }
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

    fn hand_over_partition(&mut self, name: &str) {
        let Some(user) = self.supervisor.unit("engine").map(|unit| unit.user) else { return };
        if let Err(error) = std::os::unix::fs::chown(format!("/dev/{name}"), Some(user), None) {
            self.reporter
                .log
                .write(Level::Warn, &format!("/dev/{name} cannot be given to the engine: {error}"));
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
}
