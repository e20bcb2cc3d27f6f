//! What can wake the loop, and waiting for it.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use halcyon_core::moment::Moment;
use halcyon_core::supervise::unit::Tty;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

use super::{Init, KEY_RETRY, now};
use crate::request::Requests;
use crate::tty;

/// What can wake the loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
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

impl Init {
    /// Opens the terminals on which a key is awaited.
    pub(super) fn await_keys(&mut self, now: Moment) {
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
    pub(super) fn wait(&mut self) -> Vec<Source> {
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
}

fn timespec(duration: Duration) -> Timespec {
    // Up, so that the loop does not turn once in vain just before the moment.
    let duration = duration + Duration::from_micros(50);
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(duration.subsec_nanos()),
    }
}
