//! The state machine of one virtual router on one box (RFC 9568 §6.4, RFC 3768 §6.4).
//!
//! ```text
//!                    link up                     Master_Down_Timer
//!   Init, Fault ───────────────▶ Backup ───────────────────────────▶ Master
//!        ▲   └── link up, master a moment ago ──────────────────────▶ │ │ │
//!        │                         ▲      higher priority              │ │ │
//!        │                         ├───────────────────────────────────┘ │ │
//!        │                         └── an heir took over ◀─ hand-over ───┘ │
//!        └──────────────── link down, stop ◀───────────────────────────────┘
//! ```
//! It decides states and advertisements. What a state means for addresses, announcements and rules is derived from the
//! state by others, so a lost step heals itself. It never reads a clock: [`Instance::handle`] is told `now`,
//! [`Instance::poll_timeout`] says when it wants to be woken, [`Instance::poll_action`] what is to be done.
//!
//! Where it does more than the RFC says:
//!
//! - **Overslept.** A master that did not run for `Master_Down_Interval` (a paused virtual machine, a starved thread) may
//!   have been replaced. It advertises and announces again at once: whoever took over meanwhile and ranks higher
//!   answers within one interval. To wait as backup first would be an outage each time that nobody had taken over, and
//!   two masters for one interval harm nothing, since no box forwards what a fellow forwarded.
//! - **Hand-over.** A master that hands over repeats priority 0 but keeps the addresses until an heir advertises, so
//!   there is no gap; if nobody does within `Master_Down_Interval` and one interval it stays master. Afterwards it holds:
//!   it does not preempt its heir, whatever the priorities, until [`Event::Release`] or until the heir falls silent.
//! - **Resume.** A restarted engine goes on as master when it was one less than `Master_Down_Interval` ago.
//! - **Standby.** Where the master is pinged besides ([`Event::Answering`]), a `Master_Down_Timer` that fires while it
//!   answers makes nobody master: the instance stays backup until the answers stop, too, or somebody is heard. Priority 0
//!   and a master of lower priority that is heard need no such second witness.
//! - **Answers** to lower priorities are sent at once (RFC 9568 §6.4.3), but at most every 10 ms, the shortest interval
//!   that the protocol has: a flood is not answered with a flood. A heal is reported at most once a second.

mod backup;
mod event;
mod master;
mod state;
#[cfg(test)]
mod tests;

pub use event::{Action, Event, Link, Start, TimeoutReason};

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::settings::Settings;
use super::statistics::{Misfit, Statistics, judge};
use super::why::Why;
use super::wire::{Advert, LEAVING, Packet};
use crate::config::VrrpVersion;
use crate::moment::Moment;
use crate::plan::VrrpState;
use state::{Heard, State};

/// One virtual router on this box.
#[derive(Clone, Debug)]
pub struct Instance {
    settings: Settings,
    start: Start,
    state: State,
    /// This box's own address; meaningless in `Init` and `Fault`.
    primary: IpAddr,
    /// `Active_Adver_Interval`: in version 3 that of the master (RFC 9568 §6.1).
    active_interval: Duration,
    /// Since it listens; counts for [`Settings::preempt_delay`].
    listening_since: Moment,
    /// The master that this box, as backup, follows.
    followed: Option<Heard>,
    /// A master of lower priority that this box is about to replace.
    rival: Option<Heard>,
    /// Who gave up by priority 0, while nobody has followed.
    left: Option<IpAddr>,
    /// Those who answer pings.
    answering: BTreeSet<IpAddr>,
    /// Handed over: does not preempt.
    hold: bool,
    /// When a heal was last reported.
    healed: Option<Moment>,
    statistics: Statistics,
    actions: VecDeque<Action>,
}

impl Instance {
    /// An instance in `Init`, which waits for its link.
    pub fn new(settings: Settings, start: Start, now: Moment) -> Self {
        Self {
            active_interval: settings.interval,
            settings,
            start,
            state: State::Init,
            primary: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            listening_since: now,
            followed: None,
            rival: None,
            left: None,
            answering: BTreeSet::new(),
            hold: false,
            healed: None,
            statistics: Statistics::default(),
            actions: VecDeque::new(),
        }
    }

    /// The state: everything else on the box is derived from it.
    pub fn state(&self) -> VrrpState {
        match self.state {
            State::Init => VrrpState::Init,
            State::Fault => VrrpState::Fault,
            State::Backup { .. } | State::Withheld => VrrpState::Backup,
            State::Master { .. } => VrrpState::Master,
        }
    }

    /// Its settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Its counters.
    pub fn statistics(&self) -> &Statistics {
        &self.statistics
    }

    /// The master that this box follows as backup.
    pub fn master(&self) -> Option<IpAddr> {
        self.followed.map(|heard| heard.source)
    }

    /// Whether it has handed over and does not preempt.
    pub fn holds(&self) -> bool {
        self.hold
    }

    /// The next thing to do, in order; to be called until `None` after every event.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Event::Timeout`] is wanted, and what for.
    pub fn poll_timeout(&self) -> Option<(Moment, TimeoutReason)> {
        match self.state {
            State::Init | State::Fault | State::Withheld => None,
            State::Backup { down } => Some((down, TimeoutReason::MasterDown)),
            State::Master { advert, .. } => Some((advert, TimeoutReason::Advert)),
        }
    }

    /// A packet of IP protocol 112 arrived at the interface.
    pub fn receive(&mut self, packet: &Packet<'_>, now: Moment) {
        match Advert::parse(packet) {
            Ok(advert) => self.handle(Event::Advert { source: packet.source, advert }, now),
            Err(malformed) => self.note(packet.source, malformed.into()),
        }
    }

    /// Takes other settings for the same virtual router without leaving the state.
    pub fn reconfigure(&mut self, settings: Settings, now: Moment) {
        if settings == self.settings {
            return;
        }
        self.settings = settings;
        match &mut self.state {
            State::Init | State::Fault => self.active_interval = self.settings.interval,
            // Its master is silent in VRRP, whatever the interval.
            State::Withheld => {}
            State::Backup { down } => {
                if self.followed.is_none() || self.settings.version() == VrrpVersion::V2 {
                    self.active_interval = self.settings.interval;
                }
                *down = now + self.settings.master_down(self.active_interval);
            }
            // The others should hear of it before they could miss the old interval's advertisement.
            State::Master { advert, .. } => *advert = now,
        }
    }

    /// Something happened at `now`.
    pub fn handle(&mut self, event: Event, now: Moment) {
        match (self.state, event) {
            // §6.4.1 Initialize: the start-up event.
            (State::Init | State::Fault, Event::Link(Link::Up { primary })) => self.start_up(primary, now),
            (State::Init, Event::Link(Link::Down)) => self.enter(State::Fault, Why::LinkDown, None),
            (State::Fault, Event::Link(Link::Down)) => {}
            (State::Init | State::Fault, Event::Advert { source, .. }) => {
                self.note(source, Misfit::NotRunning);
            }
            (State::Init | State::Fault, Event::Timeout | Event::HandOver) => {}

            // §6.4.2 Backup.
            (State::Backup { down }, Event::Timeout) if now >= down => match self.witnessed() {
                Some(master) => self.withhold(master, now),
                None => self.take_over(now),
            },
            (State::Backup { .. } | State::Withheld, Event::Timeout) => {}
            (State::Backup { .. } | State::Withheld, Event::Advert { source, advert }) => {
                if self.admit(source, &advert) {
                    self.advert_in_backup(Heard::new(source, &advert, now), now);
                }
            }
            (State::Backup { .. } | State::Withheld, Event::HandOver) => {}
            (State::Withheld, Event::Answering(answering)) => {
                self.answering = answering;
                if self.witnessed().is_none() {
                    self.take_over(now);
                }
            }
            (_, Event::Answering(answering)) => self.answering = answering,

            // §6.4.3 Active.
            (State::Master { advert, sent, .. }, Event::Timeout) if now >= advert => {
                self.notice_sleep(sent, now);
                self.advertise(advert, now);
            }
            (State::Master { .. }, Event::Timeout) => {}
            (State::Master { sent, hand_over, .. }, Event::Advert { source, advert }) => {
                if self.admit(source, &advert) {
                    self.advert_in_master(Heard::new(source, &advert, now), sent, hand_over.is_some(), now);
                }
            }
            (State::Master { hand_over: None, .. }, Event::HandOver) => self.seek_heir(now),
            (State::Master { hand_over: Some(_), .. }, Event::HandOver) => {}

            (
                State::Backup { .. } | State::Withheld | State::Master { .. },
                Event::Link(Link::Up { primary }),
            ) => {
                self.primary = primary;
            }
            (State::Backup { .. } | State::Withheld | State::Master { .. }, Event::Link(Link::Down)) => {
                self.enter(State::Fault, Why::LinkDown, None);
            }
            (_, Event::Release) => self.hold = false,
            (State::Init, Event::Stop) => {}
            (State::Fault | State::Backup { .. } | State::Withheld, Event::Stop) => {
                self.enter(State::Init, Why::Stopped, None)
            }
            // §6.4.3: the shutdown event.
            (State::Master { .. }, Event::Stop) => {
                self.send(LEAVING);
                self.enter(State::Init, Why::Stopped, None);
            }
        }
    }

    /// The link became usable.
    fn start_up(&mut self, primary: IpAddr, now: Moment) {
        self.primary = primary;
        self.active_interval = self.settings.interval;
        self.listening_since = now;
        let listening = self.settings.master_down(self.active_interval);
        match std::mem::replace(&mut self.start, Start::Fresh) {
            // A time in the future is garbage: nobody can have sent anything yet.
            Start::Resume { last_advert } if last_advert <= now && now.since(last_advert) < listening => {
                self.become_master(Why::Resumed { ago: now.since(last_advert) }, None, now);
            }
            Start::Resume { .. } | Start::Fresh => self.listen(now, Why::Started { listening }),
        }
    }

    fn enter(&mut self, state: State, why: Why, silent: Option<IpAddr>) {
        let from = self.state();
        self.state = state;
        self.actions.push_back(Action::Changed { from, to: self.state(), why, silent });
    }

    fn send(&mut self, priority: u8) {
        self.statistics.sent += 1;
        self.statistics.sent_leaving += u64::from(priority == LEAVING);
        self.actions.push_back(Action::Send(self.settings.advert(priority)));
    }

    /// Whether an advertisement fits the settings; counts either way.
    fn admit(&mut self, source: IpAddr, advert: &Advert) -> bool {
        let (accepted, misfit) = match judge(&self.settings, self.primary, source, advert) {
            Ok(misfit) => (true, misfit),
            Err(misfit) => (false, Some(misfit)),
        };
        if let Some(misfit) = misfit {
            self.note(source, misfit);
        }
        if accepted {
            self.statistics.received += 1;
            self.statistics.received_leaving += u64::from(advert.priority == LEAVING);
        }
        accepted
    }

    fn note(&mut self, source: IpAddr, misfit: Misfit) {
        if self.statistics.count(&misfit) {
            self.actions.push_back(Action::Misfit { source, misfit });
        }
    }
}
