//! A unit's life while the box runs: when it starts, what its end leads to, what its silence does. The order in which
//! everything ends is decided in [`shutdown`](super::shutdown).

use std::collections::BTreeSet;
use std::time::Duration;

use super::Supervisor;
use super::slot::State;
use crate::moment::Moment;
use crate::supervise::event::{Command, Exit};
use crate::supervise::unit::{Restart, family};

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Finished,
    Failed,
}

impl Supervisor {
    /// Starts what waits for nobody.
    pub(super) fn start_what_may(&mut self, now: Moment) {
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

    /// The process is there.
    pub(super) fn started(&mut self, unit: &str, pid: u32, now: Moment) {
        let Some(slot) = self.slots.get_mut(unit) else { return };
        slot.state = State::Running { pid, since: now, beat: None };
        slot.starts += 1;
        slot.ready = false;
        slot.tried(now);
        self.report(unit, "started", None);
    }

    /// There is no process; counts as one that failed at once.
    pub(super) fn not_started(&mut self, unit: &str, why: &str, now: Moment) {
        let Some(slot) = self.slots.get_mut(unit) else { return };
        slot.tried(now);
        self.ended(unit, now, Duration::ZERO, Outcome::Failed, &format!("could not be started: {why}"));
    }

    /// A process ended: a unit's, or an orphan that PID 1 inherited.
    pub(super) fn exited(&mut self, pid: u32, exit: Exit, now: Moment) {
        let Some((name, slot)) = self.slots.iter().find(|(_, slot)| slot.state.pid() == Some(pid)) else {
            return;
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
        if slot.unit.waits_for_key() {
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

    /// The unit does not run again.
    pub(super) fn stopped(&mut self, name: &str, how: &str) {
        let slot = self.slots.get_mut(name).expect("the caller looked it up");
        slot.state = State::Stopped;
        slot.released = true;
        slot.ready = false;
        self.report(name, "stopped", Some(how.to_owned()));
    }

    /// The running process said that it is ready.
    pub(super) fn became_ready(&mut self, unit: &str) {
        let Some(slot) = self.slots.get_mut(unit) else { return };
        if !matches!(slot.state, State::Running { .. }) || slot.ready {
            return;
        }
        slot.ready = true;
        slot.released = true;
        self.report(unit, "ready", None);
    }

    /// Kills those whose heartbeat has stopped; their end starts them again.
    pub(super) fn kill_the_silent(&mut self, now: Moment) {
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
}
