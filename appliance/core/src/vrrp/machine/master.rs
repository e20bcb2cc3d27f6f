//! What a master does (RFC 9568 §6.4.3): advertise, answer or yield to another master, hand over to an heir.

use std::net::IpAddr;
use std::time::Duration;

use super::state::{Heard, State};
use super::{Action, Instance};
use crate::moment::Moment;
use crate::vrrp::why::Why;
use crate::vrrp::wire::LEAVING;

/// Shortest time between an advertisement and an answer to a lower priority.
const ANSWER_PAUSE: Duration = Duration::from_millis(10);
/// Shortest time between two reports of a heal.
const HEAL_PAUSE: Duration = Duration::from_secs(1);

impl Instance {
    pub(super) fn become_master(&mut self, why: Why, silent: Option<IpAddr>, now: Moment) {
        (self.followed, self.rival, self.left, self.hold) = (None, None, None, false);
        self.active_interval = self.settings.interval;
        // What the preempted master still says ends no split: this box has heard it all along.
        self.healed = matches!(why, Why::Preempting { .. }).then_some(now);
        self.statistics.became_master += 1;
        // Said on the wire first: the others must not wait for this box's own housekeeping.
        self.send(self.settings.priority.get());
        self.enter(State::Master { advert: now, sent: now, hand_over: None }, why, silent);
        self.advertised(now, None);
    }

    /// Master, having advertised at `now`.
    pub(super) fn advertised(&mut self, now: Moment, hand_over: Option<Moment>) {
        self.state = State::Master { advert: now + self.settings.interval, sent: now, hand_over };
    }

    /// Tells when this box did not run for longer than others tolerate since `sent`.
    pub(super) fn notice_sleep(&mut self, sent: Moment, now: Moment) {
        let tolerated = self.settings.master_down(self.settings.interval);
        let slept = now.since(sent);
        if slept > tolerated {
            self.actions.push_back(Action::Overslept { slept, tolerated });
        }
    }

    /// §6.4.3: an advertisement, as master.
    pub(super) fn advert_in_master(&mut self, heard: Heard, sent: Moment, handing_over: bool, now: Moment) {
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
                // Where two were masters at a time, as when a split ends, the other one may not have heard of it, and has
                // clients to call back: this tells it. A box that overslept drew nobody meanwhile.
                if now.since(sent) <= self.settings.master_down(self.settings.interval) {
                    self.send(ours);
                }
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

    /// Begins to leave, and waits for one who takes over.
    pub(super) fn seek_heir(&mut self, now: Moment) {
        let patience = self.settings.master_down(self.settings.interval) + self.settings.interval;
        self.send(LEAVING);
        self.advertised(now, Some(now + patience));
    }

    /// `Adver_Timer` fired, due at `due`.
    pub(super) fn advertise(&mut self, due: Moment, now: Moment) {
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
}
