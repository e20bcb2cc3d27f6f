//! The life of units, from the first start to the last kill.
//!
//! ```text
//!   Dormant ─key─▶ Waiting ─after ready─▶ Starting ─▶ Running ─end─▶ Pausing ─▶ Waiting …
//!                                                        │  └─ restart says no ─▶ Stopped
//!                                                        └─ shutdown ─▶ Stopping ─end─▶ Stopped
//! ```
//!
//! What is to be done follows from the state every unit is in ([`Supervisor::advance`]), not from the event that was
//! seen, so a lost or late event costs time and nothing else. `after` is an order, not a need: a unit that does not
//! become ready in time holds its followers up no longer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::backoff::Backoff;
use super::control::UnitStatus;
use super::event::{Command, Event, Exit, Signal};
use super::unit::{Greeting, Restart, StopPhase, Tty, Unit, family};
use crate::moment::Moment;
use crate::report;

/// How long a unit that announces its readiness may hold up those after it.
pub const READY_LIMIT: Duration = Duration::from_secs(30);

/// From TERM to KILL for a unit that stops first: it hands its work over and drains meanwhile.
pub const FIRST_GRACE: Duration = Duration::from_secs(5);

/// From TERM to KILL for every other unit.
pub const GRACE: Duration = Duration::from_secs(10);

/// After this long a shutdown kills whatever still runs.
pub const SHUTDOWN_LIMIT: Duration = Duration::from_secs(30);

/// A killed process that has not ended by then sits in the kernel; nothing more can be done.
const ABANDON: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Dormant,
    Waiting,
    Starting,
    Running {
        pid: u32,
        since: Moment,
        beat: Option<Moment>,
    },
    Pausing {
        until: Moment,
    },
    /// Was told to end.
    Stopping {
        pid: u32,
        kill_at: Moment,
    },
    /// Killed in a shutdown; from `gone_at` on nobody waits for it any more.
    Killed {
        pid: u32,
        gone_at: Moment,
    },
    Stopped,
}

/// How far a shutdown is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Shutdown {
    /// None was asked for.
    #[default]
    No,
    /// Units stop in order; at this moment patience ends.
    Orderly(Moment),
    /// Whatever still runs is killed.
    Overdue,
    /// Nothing runs any more.
    Halted,
}

#[derive(Clone, Debug)]
struct Slot {
    unit: Unit,
    state: State,
    backoff: Backoff,
    starts: u64,
    /// Until when those after it wait for its readiness; set by its first start.
    late_at: Option<Moment>,
    /// Whether those after it may start.
    released: bool,
    /// Whether the running process said that it is ready.
    ready: bool,
}

/// All units of the box.
#[derive(Clone, Debug, Default)]
pub struct Supervisor {
    slots: BTreeMap<String, Slot>,
    templates: Vec<Unit>,
    commands: VecDeque<Command>,
    shutdown: Shutdown,
}

impl Supervisor {
    /// Looks after nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in what happened at `now`; afterwards poll the commands.
    pub fn handle(&mut self, event: Event, now: Moment) {
        match event {
            Event::Added(units) => units.into_iter().for_each(|unit| self.add(unit)),
            Event::Started { unit, pid } => self.started(&unit, pid, now),
            Event::NotStarted { unit, why } => self.not_started(&unit, &why, now),
            Event::Exited { pid, exit } => self.exited(pid, exit, now),
            Event::Ready { unit } => self.became_ready(&unit),
            Event::Beat { unit } => {
                if let Some(Slot { state: State::Running { beat, .. }, .. }) = self.slots.get_mut(&unit) {
                    *beat = Some(now);
                }
            }
            Event::Woken { unit } => {
                if let Some(slot) = self.slots.get_mut(&unit)
                    && slot.state == State::Dormant
                {
                    slot.state = State::Waiting;
                }
            }
            Event::StopRequested => {
                if self.shutdown == Shutdown::No {
                    self.shutdown = Shutdown::Orderly(now + SHUTDOWN_LIMIT);
                }
            }
            Event::Tick => {}
        }
        self.advance(now);
    }

    /// The next thing to do.
    pub fn poll_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// When to send [`Event::Tick`] if nothing else happens.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let of_unit = |slot: &Slot| {
            let late = slot.late_at.filter(|_| !slot.released && !self.is_stopping());
            let state = match slot.state {
                State::Pausing { until } => Some(until),
                State::Running { beat: Some(beat), .. } => slot.unit.heartbeat.map(|limit| beat + limit),
                State::Stopping { kill_at: next, .. } | State::Killed { gone_at: next, .. } => Some(next),
                _ => None,
            };
            late.into_iter().chain(state).min()
        };
        let limit = match self.shutdown {
            Shutdown::Orderly(until) => Some(until),
            _ => None,
        };
        self.slots.values().filter_map(of_unit).chain(limit).min()
    }

    /// The unit of that name.
    pub fn unit(&self, name: &str) -> Option<&Unit> {
        self.slots.get(name).map(|slot| &slot.unit)
    }

    /// Every unit.
    pub fn units(&self) -> impl Iterator<Item = &Unit> {
        self.slots.values().map(|slot| &slot.unit)
    }

    /// The units of which each console gets an instance.
    pub fn templates(&self) -> &[Unit] {
        &self.templates
    }

    /// The unit whose main process this is.
    pub fn unit_of(&self, pid: u32) -> Option<&Unit> {
        self.slots.values().find(|slot| slot.state.pid() == Some(pid)).map(|slot| &slot.unit)
    }

    /// The units that wait for a key on their console.
    pub fn dormant(&self) -> impl Iterator<Item = &Unit> {
        self.slots.values().filter(|slot| slot.state == State::Dormant).map(|slot| &slot.unit)
    }

    /// Whether every critical unit runs (a pause before a restart counts as running while it is short).
    pub fn is_healthy(&self) -> bool {
        self.slots.values().filter(|slot| slot.unit.critical).all(|slot| slot.state.pid().is_some())
    }

    /// Whether a shutdown is under way.
    pub fn is_stopping(&self) -> bool {
        self.shutdown != Shutdown::No
    }

    /// Every unit's state, for people.
    pub fn status(&self) -> Vec<UnitStatus> {
        let one = |slot: &Slot| UnitStatus {
            name: slot.unit.name.clone(),
            state: match slot.state {
                State::Dormant => "dormant",
                State::Waiting => "waiting",
                State::Starting => "starting",
                State::Running { .. } if slot.ready => "ready",
                State::Running { .. } => "running",
                State::Pausing { .. } => "pausing",
                State::Stopping { .. } | State::Killed { .. } => "stopping",
                State::Stopped => "stopped",
            }
            .to_owned(),
            pid: slot.state.pid(),
            starts: slot.starts,
        };
        self.slots.values().map(one).collect()
    }

    fn add(&mut self, unit: Unit) {
        if unit.tty == Tty::Template {
            self.templates.push(unit);
            return;
        }
        if self.slots.contains_key(&unit.name) {
            return;
        }
        let silent = matches!(unit.tty, Tty::On { greeting: Greeting::OnKey, .. });
        let slot = Slot {
            state: if silent { State::Dormant } else { State::Waiting },
            backoff: Backoff::default(),
            starts: 0,
            late_at: None,
            released: silent,
            ready: false,
            unit,
        };
        self.slots.insert(slot.unit.name.clone(), slot);
    }

    fn started(&mut self, unit: &str, pid: u32, now: Moment) {
        let Some(slot) = self.slots.get_mut(unit) else { return };
        slot.state = State::Running { pid, since: now, beat: None };
        slot.starts += 1;
        slot.ready = false;
        slot.late_at.get_or_insert(now + READY_LIMIT);
        slot.released |= !slot.unit.notify;
        self.report(unit, "started", None);
    }

    fn not_started(&mut self, unit: &str, why: &str, now: Moment) {
        let Some(slot) = self.slots.get_mut(unit) else { return };
        slot.late_at.get_or_insert(now + READY_LIMIT);
        slot.released |= !slot.unit.notify;
        self.ended(unit, now, Duration::ZERO, Outcome::Failed, &format!("could not be started: {why}"));
    }

    fn exited(&mut self, pid: u32, exit: Exit, now: Moment) {
        let Some((name, slot)) = self.slots.iter().find(|(_, slot)| slot.state.pid() == Some(pid)) else {
            return; // an orphan that was reaped
        };
        let name = name.clone();
        // What the main process leaves behind would hold on to ports, files and memory.
        self.commands.push_back(Command::KillAll { unit: name.clone() });
        match slot.state {
            State::Stopping { .. } | State::Killed { .. } => self.stopped(&name, &exit.to_string()),
            State::Running { since, .. } => {
                let outcome = if exit == Exit::Status(0) { Outcome::Finished } else { Outcome::Failed };
                self.ended(&name, now, now.since(since), outcome, &exit.to_string());
            }
            _ => {}
        }
    }

    fn ended(&mut self, name: &str, now: Moment, ran: Duration, outcome: Outcome, how: &str) {
        let stopping = self.is_stopping();
        let slot = self.slots.get_mut(name).expect("the caller looked it up");
        let again = match (slot.unit.restart, outcome) {
            (Restart::Always, _) | (Restart::OnFailure, Outcome::Failed) => !stopping,
            (Restart::OnFailure, Outcome::Finished) | (Restart::Never, _) => false,
        };
        if !again {
            self.stopped(name, how);
            return;
        }
        slot.ready = false;
        if matches!(slot.unit.tty, Tty::On { greeting: Greeting::OnKey, .. }) {
            slot.state = State::Dormant;
            self.report(name, "exited", Some(how.to_owned()));
            return;
        }
        let pause = slot.backoff.ended(ran);
        slot.state = State::Pausing { until: now + pause };
        self.report(name, "exited", Some(how.to_owned()));
        if !pause.is_zero() {
            self.report(name, "waiting", Some(format!("starts again in {:.1} s", pause.as_secs_f64())));
        }
    }

    fn stopped(&mut self, name: &str, how: &str) {
        let slot = self.slots.get_mut(name).expect("the caller looked it up");
        slot.state = State::Stopped;
        slot.released = true;
        slot.ready = false;
        self.report(name, "stopped", Some(how.to_owned()));
    }

    fn became_ready(&mut self, unit: &str) {
        let Some(slot) = self.slots.get_mut(unit) else { return };
        if !matches!(slot.state, State::Running { .. }) || slot.ready {
            return;
        }
        slot.ready = true;
        slot.released = true;
        self.report(unit, "ready", None);
    }

    fn report(&mut self, name: &str, state: &str, detail: Option<String>) {
        let pid = self.slots.get(name).and_then(|slot| slot.state.pid());
        let event = report::Event::Unit { name: name.to_owned(), state: state.to_owned(), pid, detail };
        self.commands.push_back(Command::Report(event));
    }

    /// Does what the states call for at `now`.
    fn advance(&mut self, now: Moment) {
        self.kill_the_silent(now);
        if matches!(self.shutdown, Shutdown::Orderly(until) if until <= now) {
            self.shutdown = Shutdown::Overdue;
        }
        match self.shutdown {
            Shutdown::No => self.start_what_may(now),
            Shutdown::Orderly(_) => self.stop_what_may(false, now),
            Shutdown::Overdue => self.stop_what_may(true, now),
            Shutdown::Halted => {}
        }
    }

    fn kill_the_silent(&mut self, now: Moment) {
        let mut silent = Vec::new();
        for (name, slot) in &mut self.slots {
            let State::Running { beat: Some(beat), .. } = &mut slot.state else { continue };
            if slot.unit.heartbeat.is_some_and(|limit| *beat + limit <= now) {
                *beat = now; // once more after another silence, should the kill not take
                silent.push(name.clone());
            }
        }
        for unit in silent {
            self.report(&unit, "silent", Some("no heartbeat; killed".to_owned()));
            self.commands.push_back(Command::KillAll { unit });
        }
    }

    fn start_what_may(&mut self, now: Moment) {
        for slot in self.slots.values_mut() {
            slot.released |= slot.late_at.is_some_and(|late| late <= now);
            if matches!(slot.state, State::Pausing { until } if until <= now) {
                slot.state = State::Waiting;
            }
        }
        let held_up: BTreeSet<String> = self
            .slots
            .values()
            .filter(|slot| !slot.released)
            .map(|slot| slot.unit.family().to_owned())
            .collect();
        // A start takes tens of milliseconds on a slow machine; what the box cannot be without goes first.
        let urgent = self.urgent();
        for turn in [true, false] {
            for (name, slot) in &mut self.slots {
                let its_turn = urgent.contains(slot.unit.family()) == turn;
                if its_turn && slot.state == State::Waiting && slot.unit.after.is_disjoint(&held_up) {
                    slot.state = State::Starting;
                    self.commands.push_back(Command::Start { unit: name.clone() });
                }
            }
        }
    }

    /// The critical units, and those that they come after.
    fn urgent(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut open: Vec<String> = self
            .slots
            .values()
            .filter(|slot| slot.unit.critical)
            .map(|s| s.unit.family().to_owned())
            .collect();
        while let Some(name) = open.pop() {
            let units = self.slots.values().filter(|slot| slot.unit.family() == name);
            open.extend(
                units.flat_map(|slot| slot.unit.after.iter().map(|before| family(before).to_owned())),
            );
            open.retain(|before| !found.contains(before) && *before != name);
            found.insert(name);
        }
        found
    }

    fn stop_what_may(&mut self, over_time: bool, now: Moment) {
        let mut abandoned = Vec::new();
        for (name, slot) in &mut self.slots {
            match slot.state {
                State::Dormant | State::Waiting | State::Pausing { .. } => slot.state = State::Stopped,
                State::Stopping { pid, kill_at } if kill_at <= now || over_time => {
                    slot.state = State::Killed { pid, gone_at: now + ABANDON };
                    self.commands.push_back(Command::KillAll { unit: name.clone() });
                }
                State::Killed { gone_at, .. } if gone_at <= now => abandoned.push(name.clone()),
                _ => {}
            }
        }
        for name in abandoned {
            self.stopped(&name, "killed, but its process does not end");
        }
        for name in self.next_to_stop(over_time) {
            let slot = self.slots.get_mut(&name).expect("the name comes from the map");
            let State::Running { pid, .. } = slot.state else { continue };
            if over_time {
                slot.state = State::Killed { pid, gone_at: now + ABANDON };
                self.commands.push_back(Command::KillAll { unit: name });
                continue;
            }
            let grace = if slot.unit.stop == StopPhase::First { FIRST_GRACE } else { GRACE };
            slot.state = State::Stopping { pid, kill_at: now + grace };
            self.commands.push_back(Command::Signal { unit: name, pid, signal: Signal::Term });
        }
        if self.slots.values().all(|slot| slot.state == State::Stopped) {
            self.shutdown = Shutdown::Halted;
            self.commands.push_back(Command::Halt);
        }
    }

    /// The running units whose turn it is: those of the earliest phase, and in it those that nobody came after.
    fn next_to_stop(&self, all_at_once: bool) -> Vec<String> {
        let alive = || self.slots.values().filter(|slot| slot.state != State::Stopped);
        let Some(phase) = alive().map(|slot| slot.unit.stop).min() else { return Vec::new() };
        let needed: BTreeSet<&str> = alive()
            .filter(|slot| slot.unit.stop == phase)
            .flat_map(|slot| slot.unit.after.iter().map(|name| family(name)))
            .collect();
        alive()
            .filter(|slot| all_at_once || (slot.unit.stop == phase && !needed.contains(slot.unit.family())))
            .map(|slot| slot.unit.name.clone())
            .collect()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Finished,
    Failed,
}

impl State {
    fn pid(self) -> Option<u32> {
        match self {
            Self::Running { pid, .. } | Self::Stopping { pid, .. } | Self::Killed { pid, .. } => Some(pid),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "supervisor_tests.rs"]
mod tests;
