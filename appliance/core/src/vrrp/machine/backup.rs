//! What a backup does (RFC 9568 §6.4.2): follow a master, wait out one of lower priority, withhold itself from one that
//! still answers pings, take over. How a master speaks is decided in [`master`](super::master).

use super::state::{Heard, State};
use super::{Action, Instance};
use crate::moment::Moment;
use crate::vrrp::why::Why;
use crate::vrrp::wire::LEAVING;

impl Instance {
    /// Backup that knows of no master.
    pub(super) fn listen(&mut self, now: Moment, why: Why) {
        (self.followed, self.rival, self.left) = (None, None, None);
        self.active_interval = self.settings.interval;
        self.listening_since = now;
        let down = now + self.settings.master_down(self.active_interval);
        self.enter(State::Backup { down }, why, None);
    }

    /// Backup behind `heard`, whose interval counts in version 3 (RFC 9568 §6.4.2); `judge` has made sure that
    /// it is this box's own in version 2.
    pub(super) fn follow(&mut self, heard: Heard, now: Moment) {
        self.active_interval = heard.interval;
        (self.followed, self.rival, self.left) = (Some(heard), None, None);
        self.state = State::Backup { down: now + self.settings.master_down(self.active_interval) };
    }

    /// §6.4.2: an advertisement, as backup.
    pub(super) fn advert_in_backup(&mut self, heard: Heard, now: Moment) {
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
    pub(super) fn witnessed(&self) -> Option<Heard> {
        self.followed.filter(|master| {
            self.rival.is_none() && self.left.is_none() && self.answering.contains(&master.source)
        })
    }

    pub(super) fn withhold(&mut self, master: Heard, now: Moment) {
        self.state = State::Withheld;
        self.actions.push_back(Action::Withheld { master: master.source, silence: now.since(master.at) });
    }

    /// `Master_Down_Timer` fired.
    pub(super) fn take_over(&mut self, now: Moment) {
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
}
