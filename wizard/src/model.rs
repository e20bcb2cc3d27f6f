//! The wizard as a function of values: what was answered, where the person is, what is known of the box; an intent comes in,
//! effects go out. Knows no terminal, no socket and no clock; [`page`] says what is shown of it.
//!
//! Nothing that was typed is lost: going back keeps it, so does a refusal, and every change is handed out to be kept.

pub(crate) mod change;
pub(crate) mod document;
pub(crate) mod field;
pub(crate) mod page;
pub(crate) mod step;

mod dashboard;
mod entry;
mod keys;
mod menu;
mod password;
mod walking;
mod words;

use std::collections::BTreeSet;

use halcyon_core::control::{Port, Response};
use serde::{Deserialize, Serialize};

use change::Base;
use document::Judged;
use field::{Answers, Field, Kind, answer};
use password::Strength;
use step::Step;
use words::Room;

pub(crate) use words::{Ask, Button, Effect, Intent, Item, Press, Scene, Seen};

/// How long a new set-up is tried before it is undone by itself, in seconds: long enough to look at a client, too.
pub(crate) const TRIAL: u32 = 120;

/// What outlives the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    answers: Answers,
    left: BTreeSet<Field>,
    step: Step,
    /// The trial that runs was begun here.
    mine: bool,
    /// The answers change this document; `None`: they are a new one.
    #[serde(default)]
    base: Option<Base>,
}

/// The wizard.
#[derive(Clone, Debug)]
pub(crate) struct Wizard {
    kept: Kept,
    /// This console's terminal.
    here: String,
    /// The kernel's command line gives this console everything.
    full: bool,
    /// The password was given here.
    unlocked: bool,
    /// Where the person is at a box at work.
    room: Room,
    /// Passwords as they are typed: never kept, never shown.
    secrets: Answers,
    /// The terminal at which somebody types.
    holder: Option<String>,
    focus: usize,
    /// Where in the focused field the next character goes, in characters.
    cursor: usize,
    judged: Judged,
    seen: Option<Box<Seen>>,
    /// An answer is on its way.
    asking: bool,
    /// What the engine said last.
    said: Option<Result<String, String>>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            answers: field::beginning(),
            left: BTreeSet::new(),
            step: Step::Welcome,
            mine: false,
            base: None,
        }
    }
}

impl Wizard {
    /// Goes on where another one was. `full`: this console needs no password.
    pub(crate) fn new(kept: Kept, here: String, full: bool) -> Self {
        let mut wizard = Self {
            kept,
            here,
            full,
            unlocked: false,
            room: Room::Dashboard,
            secrets: Answers::new(),
            holder: None,
            focus: 0,
            cursor: 0,
            judged: Judged::default(),
            seen: None,
            asking: false,
            said: None,
        };
        wizard.judge();
        wizard.place_cursor();
        wizard
    }

    /// Takes an intent in. Total: a key that means nothing here does nothing.
    pub(crate) fn update(&mut self, intent: Intent) -> Vec<Effect> {
        let (before, scene) = (self.kept.clone(), self.scene());
        let mut effects = match intent {
            Intent::Press(press) => self.press(press),
            Intent::Seen(seen) => {
                self.see(seen);
                Vec::new()
            }
            Intent::Held(holder) => {
                self.holder = holder;
                Vec::new()
            }
            Intent::TakenOver(kept) => {
                self.kept = *kept;
                self.holder = Some(self.here.clone());
                self.judge();
                Vec::new()
            }
            Intent::Answered(answered) => self.hear(answered),
            Intent::Hashed(hash) => self.take_hash(hash),
            Intent::Idle => {
                self.lock();
                Vec::new()
            }
        };
        if self.scene() != scene {
            self.kept.mine &= self.scene() == Scene::Trial;
            // The first set-up is kept: from here on its password counts for everybody.
            self.unlocked &= (scene, self.scene()) != (Scene::Trial, Scene::Dashboard);
            self.focus = 0;
            self.place_cursor();
        }
        self.focus = self.focus.min(self.items().len().saturating_sub(1));
        if self.kept != before {
            self.judge();
            effects.push(Effect::Keep(Box::new(self.kept.clone())));
        }
        effects
    }

    /// What is on the screen.
    pub(crate) fn scene(&self) -> Scene {
        match &self.seen {
            None => Scene::Waiting,
            Some(_) if matches!(self.room, Room::Unlock { .. }) => Scene::Unlock,
            Some(seen) if seen.status.on_trial => Scene::Trial,
            Some(seen) if seen.status.member.is_some() || seen.status.revision > 0 => match self.room {
                Room::Menu => Scene::Menu,
                Room::Sure(_) => Scene::Sure,
                Room::Change => self.set_up_here(),
                Room::Dashboard | Room::Line | Room::Unlock { .. } => Scene::Dashboard,
            },
            Some(_) => self.set_up_here(),
        }
    }

    /// The questions, unless they are being answered at another console.
    fn set_up_here(&self) -> Scene {
        match &self.holder {
            Some(holder) if *holder != self.here => Scene::Elsewhere,
            _ => Scene::SetUp,
        }
    }

    /// What can have the focus, in the order of Tab.
    pub(crate) fn items(&self) -> Vec<Item> {
        match self.scene() {
            Scene::Waiting => vec![Item::Button(Button::CommandLine)],
            Scene::Dashboard if self.has_password() || self.full => {
                vec![Item::Button(Button::Menu), Item::Button(Button::CommandLine)]
            }
            Scene::Dashboard => vec![Item::Button(Button::CommandLine)],
            Scene::Unlock => {
                let buttons = [Button::Unlock, Button::Leave].map(Item::Button);
                [Item::Field(Field::Unlock)].into_iter().chain(buttons).collect()
            }
            Scene::Menu => menu::VERBS.map(|verb| Item::Button(Button::Verb(verb))).to_vec(),
            Scene::Sure => vec![Item::Button(Button::Leave), Item::Button(Button::DoIt)],
            Scene::Elsewhere => vec![Item::Button(Button::TakeOver), Item::Button(Button::CommandLine)],
            Scene::Trial if self.kept.mine && (self.may_change() || !self.has_password()) => {
                vec![Item::Button(Button::Keep), Item::Button(Button::Undo)]
            }
            Scene::Trial => vec![Item::Button(Button::CommandLine)],
            Scene::SetUp => self.questions(),
        }
    }

    fn questions(&self) -> Vec<Item> {
        let step = self.kept.step;
        let mut items: Vec<Item> = step.fields(&self.kept.answers).into_iter().map(Item::Field).collect();
        let on = match step {
            Step::Review => {
                let fields: BTreeSet<Field> = self.judged.complaints.iter().filter_map(|c| c.field).collect();
                items.extend(fields.into_iter().map(Item::Jump));
                self.judged.complaints.is_empty().then_some(Button::Try)
            }
            _ => Some(Button::Continue),
        };
        items.extend(on.map(Item::Button));
        if step.previous(&self.kept.answers).is_some() || self.room == Room::Change {
            items.push(Item::Button(Button::Back));
        }
        items
    }

    fn focused(&self) -> Option<Item> {
        self.items().get(self.focus).copied()
    }

    fn given(&self, field: Field) -> &str {
        match field.kind() {
            Kind::Secret(_) => answer(&self.secrets, field),
            _ => answer(&self.kept.answers, field),
        }
    }

    fn ask(&mut self, ask: Ask) -> Vec<Effect> {
        // One at a time: an impatient Enter asks nothing twice.
        if std::mem::replace(&mut self.asking, true) {
            return Vec::new();
        }
        self.said = None;
        vec![Effect::Ask(ask)]
    }

    fn hear(&mut self, answered: Result<Response, String>) -> Vec<Effect> {
        self.asking = false;
        let effects = answered.as_ref().map_or_else(|_| Vec::new(), |response| self.heard(response));
        self.said = match answered {
            Ok(Response::Done(sentence)) => Some(Ok(sentence)),
            Ok(Response::Refused(why)) | Err(why) => Some(Err(why)),
            Ok(Response::Text(_)) => None,
            Ok(_) => Some(Err("the engine answered another question".to_owned())),
        };
        self.kept.mine &= !matches!(self.said, Some(Err(_))) || self.scene() == Scene::Trial;
        effects
    }

    /// The password's hash is made: what was typed is forgotten.
    fn take_hash(&mut self, hash: Option<String>) -> Vec<Effect> {
        self.asking = false;
        if let (Some(hash), Step::Password) = (hash, self.kept.step) {
            self.kept.answers.insert(Field::Password, hash);
            self.secrets.clear();
            if let Some(next) = self.kept.step.next(&self.kept.answers) {
                self.go_to(next, 0);
            }
        }
        Vec::new()
    }

    /// What is wrong with the password that was typed, by its name in the catalogue.
    fn password_complaint(&self, field: Field) -> Option<&'static str> {
        let (first, again) = (self.given(Field::Password), self.given(Field::PasswordAgain));
        match field {
            Field::Password if !first.is_empty() && Strength::of(first) == Strength::TooWeak => {
                Some("password-refused")
            }
            Field::PasswordAgain if first != again => Some("password-differs"),
            _ => None,
        }
    }

    fn see(&mut self, seen: Option<Box<Seen>>) {
        self.seen = seen;
        self.watch_change();
        // A port is proposed as soon as one is there: the first with a cable, or the first.
        if self.given(Field::Port).is_empty()
            && self.kept.base.is_none()
            && let Some(port) = self.ports().iter().find(|port| port.carrier).or(self.ports().first())
        {
            let mac = port.mac.clone();
            self.kept.answers.insert(Field::Port, mac);
        }
    }

    fn ports(&self) -> &[Port] {
        self.seen.as_ref().map_or(&[], |seen| &seen.ports)
    }

    /// The revision that a new document gets.
    fn revision(&self) -> u64 {
        1 + self.seen.as_ref().map_or(0, |seen| seen.status.revision)
    }

    fn judge(&mut self) {
        self.judged = match self.kept.step {
            Step::Storm | Step::Review => {
                document::proved(&self.kept.answers, self.revision(), self.kept.base.as_ref())
            }
            _ => document::checked(&self.kept.answers, self.revision(), self.kept.base.as_ref()),
        };
    }

    /// The words that a field can have; empty for one that is typed.
    fn words(&self, field: Field) -> Vec<String> {
        match field.kind() {
            Kind::List(words) | Kind::Inline(words) => words.iter().map(|word| (*word).to_owned()).collect(),
            Kind::Port => self.ports().iter().map(|port| port.mac.clone()).collect(),
            Kind::Text(_) | Kind::Secret(_) | Kind::Number(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
