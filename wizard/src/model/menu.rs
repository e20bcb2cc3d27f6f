//! What can be done with a box at work, behind the password: the menu, the question before what cannot be taken back, and
//! the beginning of a change. Decides what is asked of whom; the engine and PID 1 decide whether it is done.

use halcyon_core::control::{Request, Response, Typed};
use halcyon_core::supervise::control::Request as PowerRequest;

use super::change::Base;
use super::field::Field;
use super::step::Step;
use super::words::{Ask, Room, Verb};
use super::{Button, Effect, Scene, Wizard};

/// What the menu offers, in its order.
pub(super) const VERBS: [Verb; 8] = [
    Verb::Change,
    Verb::HandOver,
    Verb::Release,
    Verb::RollBack,
    Verb::Reboot,
    Verb::PowerOff,
    Verb::CommandLine,
    Verb::Lock,
];

impl Wizard {
    /// Whether what is behind the password may be done here now.
    pub(super) fn may_change(&self) -> bool {
        self.full || self.unlocked
    }

    /// The document sets a password.
    pub(super) fn has_password(&self) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.status.password)
    }

    /// Goes to a room, past the password where there is one.
    pub(super) fn enter(&mut self, room: Room) -> Vec<Effect> {
        if self.may_change() {
            self.said = None;
            return match room {
                Room::Line => vec![Effect::CommandLine { full: true }],
                room => {
                    self.room = room;
                    Vec::new()
                }
            };
        }
        match (self.has_password(), room) {
            (true, Room::Line) => self.room = Room::Unlock { to_line: true },
            (true, _) => self.room = Room::Unlock { to_line: false },
            // Without a password the line only shows, and there is nothing else to enter.
            (false, Room::Line) => return vec![Effect::CommandLine { full: false }],
            (false, _) => {}
        }
        self.said = None;
        self.secrets.clear();
        Vec::new()
    }

    /// Asks for the password to be judged.
    pub(super) fn unlock(&mut self) -> Vec<Effect> {
        let typed = self.secrets.remove(&Field::Unlock).unwrap_or_default();
        self.cursor = 0;
        self.focus = 0;
        match typed.is_empty() {
            true => Vec::new(),
            false => self.ask(Ask::Engine(Request::Unlock { password: Typed(typed) })),
        }
    }

    /// Nobody types any more.
    pub(super) fn lock(&mut self) {
        self.unlocked = false;
        self.secrets.clear();
        self.said = None;
        self.room = Room::Dashboard;
    }

    /// Chooses from the menu.
    pub(super) fn choose_verb(&mut self, verb: Verb) -> Vec<Effect> {
        self.said = None;
        match verb {
            Verb::Change => {
                let in_force = self.seen.as_ref().map(|seen| seen.status.revision);
                if self.kept.base.is_some() && self.kept.base.as_ref().map(|base| base.revision) == in_force {
                    return self.begin_change();
                }
                return self.ask(Ask::Engine(Request::ConfigDocument));
            }
            Verb::CommandLine => return self.enter(Room::Line),
            Verb::Lock => self.lock(),
            Verb::Release => return self.ask(Ask::Engine(Request::Release)),
            verb => self.room = Room::Sure(verb),
        }
        Vec::new()
    }

    /// Does what was asked about.
    pub(super) fn do_it(&mut self) -> Vec<Effect> {
        let Room::Sure(verb) = self.room else { return Vec::new() };
        self.room = Room::Menu;
        let ask = match verb {
            Verb::HandOver => Ask::Engine(Request::Failover),
            Verb::RollBack => Ask::Engine(Request::ConfigRollback { generation: None }),
            Verb::Reboot => Ask::Power(PowerRequest::Reboot),
            Verb::PowerOff => Ask::Power(PowerRequest::Poweroff),
            Verb::Change | Verb::Release | Verb::CommandLine | Verb::Lock => return Vec::new(),
        };
        self.ask(ask)
    }

    /// What the engine's answer means here, beside what is said of it.
    pub(super) fn heard(&mut self, response: &Response) -> Vec<Effect> {
        match (response, self.room) {
            (Response::Done(_), Room::Unlock { to_line }) => {
                self.unlocked = true;
                self.room = Room::Menu;
                if to_line {
                    return vec![Effect::CommandLine { full: true }];
                }
            }
            (Response::Text(document), Room::Menu) => {
                let Some(seen) = &self.seen else { return Vec::new() };
                let me = seen.status.member.clone().unwrap_or_default();
                let base = Base::new(document.clone(), me, seen.status.revision);
                self.kept.answers = base.answers();
                self.kept.left.clear();
                self.kept.base = Some(base);
                self.kept.step = Step::Welcome;
                return self.begin_change();
            }
            _ => {}
        }
        Vec::new()
    }

    /// Goes on with the change where it was left, or at its first question.
    fn begin_change(&mut self) -> Vec<Effect> {
        self.room = Room::Change;
        if self.kept.step == Step::Welcome {
            self.kept.step = self.kept.step.next(&self.kept.answers).unwrap_or(Step::Review);
        }
        self.said = None;
        self.judge();
        self.holder = Some(self.here.clone());
        vec![Effect::Hold]
    }

    /// A change is about the document in force: when another takes its place, it begins anew.
    pub(super) fn watch_change(&mut self) {
        let Some(seen) = &self.seen else { return };
        let Some(base) = &self.kept.base else { return };
        if seen.status.on_trial || base.revision == seen.status.revision {
            return;
        }
        let configured = seen.status.member.is_some() || seen.status.revision > 0;
        if !configured {
            self.kept = super::Kept::default();
        }
        self.kept.base = None;
        if self.room == Room::Change {
            self.room = Room::Menu;
        }
    }

    /// Back from wherever this is.
    pub(super) fn leave_room(&mut self) {
        self.said = None;
        self.secrets.clear();
        self.room = match self.room {
            Room::Sure(_) | Room::Change => Room::Menu,
            _ => Room::Dashboard,
        };
    }

    /// A digit is the number of an item.
    pub(super) fn pick(&mut self, digit: char) -> Vec<Effect> {
        let number = digit.to_digit(10).and_then(|digit| (digit as usize).checked_sub(1));
        match number.and_then(|number| VERBS.get(number).map(|verb| (number, *verb))) {
            Some((number, verb)) if self.scene() == Scene::Menu => {
                self.focus = number;
                self.act(Button::Verb(verb))
            }
            _ => Vec::new(),
        }
    }
}
