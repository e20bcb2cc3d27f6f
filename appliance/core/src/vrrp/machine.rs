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

mod event;
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

/// Shortest time between an advertisement and an answer to a lower priority.
const ANSWER_PAUSE: Duration = Duration::from_millis(10);
/// Shortest time between two reports of a heal.
const HEAL_PAUSE: Duration = Duration::from_secs(1);

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

/// The states of RFC 9568 §6.3 with their timers, and `Fault`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Init,
    Fault,
    Backup {
        /// `Master_Down_Timer`.
        down: Moment,
    },
    /// Backup whose `Master_Down_Timer` has fired while the master answered pings.
    Withheld,
    Master {
        /// `Adver_Timer`.
        advert: Moment,
        /// When the last advertisement was sent.
        sent: Moment,
        /// Set while it hands over: when it stops to wait for an heir.
        hand_over: Option<Moment>,
    },
}

/// A master that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Heard {
    source: IpAddr,
    priority: u8,
    interval: Duration,
    at: Moment,
}

impl Heard {
    /// Two advertisements in a row are missing.
    fn is_silent(&self, now: Moment) -> bool {
        now.since(self.at) > self.interval * 2
    }
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
            (State::Master { hand_over: None, .. }, Event::HandOver) => {
                let patience = self.settings.master_down(self.settings.interval) + self.settings.interval;
                self.send(LEAVING);
                self.advertised(now, Some(now + patience));
            }
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

    /// Tells when this box did not run for longer than others tolerate since `sent`.
    fn notice_sleep(&mut self, sent: Moment, now: Moment) {
        let tolerated = self.settings.master_down(self.settings.interval);
        let slept = now.since(sent);
        if slept > tolerated {
            self.actions.push_back(Action::Overslept { slept, tolerated });
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

    /// §6.4.2: an advertisement, as backup.
    fn advert_in_backup(&mut self, heard: Heard, now: Moment) {
        let preempts = self.settings.preempt
            && !self.hold
            && now.since(self.listening_since) >= self.settings.preempt_delay;
        if heard.priority == LEAVING {
            // Set the Master_Down_Timer to Skew_Time.
            (self.followed, self.rival, self.left) = (None, None, Some(heard.source));
            self.state = State::Backup { down: now + self.settings.skew(self.active_interval) };
        } else if !preempts || heard.priority >= self.settings.priority.get() {
            self.follow(heard, now);
        } else {
            // Discarded: the timer runs on, and at its end this box preempts. Whoever is heard is not silent.
            self.followed = self.followed.filter(|followed| followed.source != heard.source);
            self.rival = Some(heard);
            if self.state == State::Withheld {
                self.take_over(now);
            }
        }
    }

    /// The master that fell silent and yet answers pings; `None`: nobody stands against taking over.
    fn witnessed(&self) -> Option<Heard> {
        self.followed.filter(|master| {
            self.rival.is_none() && self.left.is_none() && self.answering.contains(&master.source)
        })
    }

    fn withhold(&mut self, master: Heard, now: Moment) {
        self.state = State::Withheld;
        self.actions.push_back(Action::Withheld { master: master.source, silence: now.since(master.at) });
    }

    /// §6.4.3: an advertisement, as master.
    fn advert_in_master(&mut self, heard: Heard, sent: Moment, handing_over: bool, now: Moment) {
        let Heard { source, priority: theirs, .. } = heard;
        let ours = self.settings.priority.get();
        let stronger = if theirs > ours {
            Some(Why::HigherPriority { master: source, theirs, ours })
        } else if theirs == ours && source > self.primary {
            Some(Why::HigherAddress { master: source, ours: self.primary, priority: ours })
        } else {
            None
        };
        match (handing_over, stronger) {
            (true, _) if theirs == LEAVING => {}
            (true, _) => {
                self.hold = true;
                self.enter(State::Backup { down: now }, Why::HandedOver { heir: source }, None);
                self.follow(heard, now);
            }
            (false, Some(why)) => {
                self.enter(State::Backup { down: now }, why, None);
                self.follow(heard, now);
            }
            // Discarded, and the sender is told at once who is master; priority 0 is answered alike.
            (false, None) => {
                if now.since(sent) >= ANSWER_PAUSE {
                    self.send(ours);
                    self.advertised(now, None);
                }
                if self.healed.is_none_or(|last| now.since(last) >= HEAL_PAUSE) {
                    self.healed = Some(now);
                    self.actions.push_back(Action::Healed { other: source });
                }
            }
        }
    }

    /// `Adver_Timer` fired, due at `due`.
    fn advertise(&mut self, due: Moment, now: Moment) {
        let State::Master { hand_over, .. } = self.state else { return };
        let next = due + self.settings.interval;
        match hand_over {
            Some(until) if now < until => self.send(LEAVING),
            Some(_) => {
                self.actions.push_back(Action::NoHeir);
                self.send(self.settings.priority.get());
            }
            None => self.send(self.settings.priority.get()),
        }
        self.state = State::Master {
            // The beat is kept, unless it is lost altogether.
            advert: if next > now { next } else { now + self.settings.interval },
            sent: now,
            hand_over: hand_over.filter(|until| now < *until),
        };
    }

    /// `Master_Down_Timer` fired.
    fn take_over(&mut self, now: Moment) {
        let silent = [self.followed, self.rival].into_iter().flatten().find(|heard| heard.is_silent(now));
        let ours = self.settings.priority.get();
        let why = match (self.left, self.rival.filter(|rival| !rival.is_silent(now)), silent) {
            (_, Some(Heard { source, priority, .. }), _) => {
                Why::Preempting { master: source, theirs: priority, ours }
            }
            (Some(master), None, _) => Why::Left { master },
            (None, None, Some(Heard { source, at, .. })) => {
                Why::Silent { master: source, silence: now.since(at) }
            }
            (None, None, None) => Why::NobodyHeard { listened: now.since(self.listening_since) },
        };
        self.become_master(why, silent.map(|heard| heard.source), now);
    }

    fn become_master(&mut self, why: Why, silent: Option<IpAddr>, now: Moment) {
        (self.followed, self.rival, self.left, self.hold) = (None, None, None, false);
        self.active_interval = self.settings.interval;
        self.statistics.became_master += 1;
        // Said on the wire first: the others must not wait for this box's own housekeeping.
        self.send(self.settings.priority.get());
        self.enter(State::Master { advert: now, sent: now, hand_over: None }, why, silent);
        self.advertised(now, None);
    }

    /// Master, having advertised at `now`.
    fn advertised(&mut self, now: Moment, hand_over: Option<Moment>) {
        self.state = State::Master { advert: now + self.settings.interval, sent: now, hand_over };
    }

    /// Backup that knows of no master.
    fn listen(&mut self, now: Moment, why: Why) {
        (self.followed, self.rival, self.left) = (None, None, None);
        self.active_interval = self.settings.interval;
        self.listening_since = now;
        let down = now + self.settings.master_down(self.active_interval);
        self.enter(State::Backup { down }, why, None);
    }

    /// Backup behind `heard`, whose interval counts in version 3 (RFC 9568 §6.4.2); `judge` has made sure that
    /// it is this box's own in version 2.
    fn follow(&mut self, heard: Heard, now: Moment) {
        self.active_interval = heard.interval;
        (self.followed, self.rival, self.left) = (Some(heard), None, None);
        self.state = State::Backup { down: now + self.settings.master_down(self.active_interval) };
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

impl Heard {
    fn new(source: IpAddr, advert: &Advert, at: Moment) -> Self {
        Self { source, priority: advert.priority, interval: advert.interval, at }
    }
}
