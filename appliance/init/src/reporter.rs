//! Where events go: the report tty for machines, a sentence on the consoles for people, the log for later.

use std::time::Duration;

use halcyon_core::journal::Level;
use halcyon_core::moment::Moment;
use halcyon_core::report::{self, Event};

use crate::announce;
use crate::cmdline::CommandLine;
use crate::log::Log;
use crate::tty::{Mode, Writer};

/// All ways out of PID 1.
#[derive(Debug)]
pub(crate) struct Reporter {
    /// The log, for what is no event.
    pub(crate) log: Log,
    report: Option<Writer>,
    consoles: Vec<Writer>,
}

impl Reporter {
    /// Opens the terminals that the command line names.
    pub(crate) fn open(cmdline: &CommandLine) -> Self {
        let mut log = Log::open();
        let report = cmdline.report.as_deref().and_then(|name| {
            let opened = Writer::open(name, Mode::Raw);
            opened.inspect_err(|error| log.write(Level::Error, &format!("report tty {name}: {error}"))).ok()
        });
        let people = cmdline.consoles.iter().filter(|name| Some(*name) != cmdline.report.as_ref());
        let consoles = people.filter_map(|name| Writer::open(name, Mode::AsItIs).ok()).collect();
        Self { log, report, consoles }
    }

    /// Tells everybody whom it concerns.
    pub(crate) fn event(&mut self, event: &Event, at: Moment) {
        let line = report::line(event, at.since_boot().as_secs_f64());
        if let Some(tty) = &mut self.report {
            tty.line(&line);
        }
        if let Some(sentence) = announce::sentence(event) {
            for console in &mut self.consoles {
                console.line(&sentence);
            }
        }
        self.log.write(Level::Info, &line);
    }

    /// A problem of PID 1's own that an operator may have to do something about.
    pub(crate) fn problem(&mut self, why: &str) {
        for console in &mut self.consoles {
            console.line(why);
        }
        self.log.write(Level::Warn, why);
    }

    /// The terminals that have not taken everything yet.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &Writer> {
        self.report.iter().chain(&self.consoles).filter(|writer| writer.is_waiting())
    }

    /// Writes what the terminals take now.
    pub(crate) fn flush(&mut self) {
        self.report.iter_mut().chain(&mut self.consoles).for_each(Writer::flush);
    }

    /// Gives the terminals a moment to take the last lines; the box goes down without them if they do not.
    pub(crate) fn drain(&mut self) {
        for _ in 0..20 {
            self.flush();
            if self.waiting().next().is_none() {
                break;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        let lost: u64 = self.report.iter().map(Writer::lost).sum();
        if lost > 0 {
            self.log.write(Level::Warn, &format!("{lost} report lines were lost"));
        }
    }
}
