//! The end of everything, in phases and in the reverse of the order of starts; whoever does not end in time is killed, and
//! whom not even that ends is left behind.

use std::collections::BTreeSet;
use std::time::Duration;

use super::Supervisor;
use super::slot::State;
use crate::moment::Moment;
use crate::supervise::event::{Command, Signal};
use crate::supervise::unit::{StopPhase, family};

/// From TERM to KILL for a unit that stops first: it hands its work over and drains meanwhile.
const FIRST_GRACE: Duration = Duration::from_secs(5);

/// From TERM to KILL for every other unit.
pub(super) const GRACE: Duration = Duration::from_secs(10);

/// After this long a shutdown kills whatever still runs.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(30);

/// A killed process that has not ended by then sits in the kernel; nothing more can be done.
pub(super) const ABANDON: Duration = Duration::from_secs(2);

/// How far a shutdown is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Shutdown {
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

impl Supervisor {
    /// From here on nothing starts. Asked for twice, it goes on as it began.
    pub(super) fn begin_shutdown(&mut self, now: Moment) {
        if self.shutdown == Shutdown::No {
            self.shutdown = Shutdown::Orderly(now + SHUTDOWN_LIMIT);
        }
    }

    /// Ends those whose turn it is, and everybody once it is `over_time`.
    pub(super) fn stop_what_may(&mut self, over_time: bool, now: Moment) {
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
