//! One unit with the state that it is in. What leads from state to state is decided by the supervisor.

use std::time::Duration;

use crate::moment::Moment;
use crate::supervise::backoff::Backoff;
use crate::supervise::unit::Unit;

/// How long a unit that announces its readiness may hold up those after it.
pub(super) const READY_LIMIT: Duration = Duration::from_secs(30);

/// Where a unit is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
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

impl State {
    /// The main process, while there is one.
    pub(super) fn pid(self) -> Option<u32> {
        match self {
            Self::Running { pid, .. } | Self::Stopping { pid, .. } | Self::Killed { pid, .. } => Some(pid),
            _ => None,
        }
    }
}

/// One unit under supervision.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) unit: Unit,
    pub(super) state: State,
    pub(super) backoff: Backoff,
    pub(super) starts: u64,
    /// Until when those after it wait for its readiness; set by its first start.
    pub(super) late_at: Option<Moment>,
    /// Whether those after it may start.
    pub(super) released: bool,
    /// Whether the running process said that it is ready.
    pub(super) ready: bool,
}

impl Slot {
    /// A unit that has not been started.
    pub(super) fn new(unit: Unit) -> Self {
        let dormant = unit.waits_for_key();
        Self {
            state: if dormant { State::Dormant } else { State::Waiting },
            backoff: Backoff::default(),
            starts: 0,
            late_at: None,
            released: dormant,
            ready: false,
            unit,
        }
    }

    /// A start was tried at `now`: from here on those after it wait for its readiness, if it tells of that at all.
    pub(super) fn tried(&mut self, now: Moment) {
        self.late_at.get_or_insert(now + READY_LIMIT);
        self.released |= !self.unit.notify;
    }

    /// The state's name, for people.
    pub(super) fn shown(&self) -> &'static str {
        match self.state {
            State::Dormant => "dormant",
            State::Waiting => "waiting",
            State::Starting => "starting",
            State::Running { .. } if self.ready => "ready",
            State::Running { .. } => "running",
            State::Pausing { .. } => "pausing",
            State::Stopping { .. } | State::Killed { .. } => "stopping",
            State::Stopped => "stopped",
        }
    }
}
