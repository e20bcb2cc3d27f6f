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

mod life;
mod shutdown;
mod slot;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use super::control::UnitStatus;
use super::event::{Command, Event};
use super::unit::{Tty, Unit};
use crate::moment::Moment;
use crate::report;
use shutdown::Shutdown;
use slot::{Slot, State};

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
            Event::StopRequested => self.begin_shutdown(now),
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

    /// Whether every critical unit runs.
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
            state: slot.shown().to_owned(),
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
        self.slots.entry(unit.name.clone()).or_insert_with(|| Slot::new(unit));
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

    fn report(&mut self, name: &str, state: &str, detail: Option<String>) {
        let pid = self.slots.get(name).and_then(|slot| slot.state.pid());
        let event = report::Event::Unit { name: name.to_owned(), state: state.to_owned(), pid, detail };
        self.commands.push_back(Command::Report(event));
    }
}
