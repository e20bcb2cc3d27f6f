//! The wizard as a function of values: what was answered, where the person is, what is known of the box; an intent comes in,
//! effects go out. Knows no terminal, no socket and no clock; [`page`] says what is shown of it.
//!
//! Nothing that was typed is lost: going back keeps it, so does a refusal, and every change is handed out to be kept.

pub(crate) mod document;
pub(crate) mod field;
pub(crate) mod page;
pub(crate) mod step;

mod dashboard;
mod entry;
mod words;

use std::collections::BTreeSet;

use halcyon_core::control::{Port, Request, Response};
use serde::{Deserialize, Serialize};

use document::Judged;
use field::{Answers, Field, Kind, answer};
use step::Step;

pub(crate) use words::{Button, Effect, Intent, Item, Press, Scene, Seen};

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
}

/// The wizard.
#[derive(Clone, Debug)]
pub(crate) struct Wizard {
    kept: Kept,
    /// This console's terminal.
    here: String,
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
        Self { answers: field::beginning(), left: BTreeSet::new(), step: Step::Welcome, mine: false }
    }
}

impl Wizard {
    /// Goes on where another one was.
    pub(crate) fn new(kept: Kept, here: String) -> Self {
        let mut wizard = Self {
            kept,
            here,
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
        };
        if self.scene() != scene {
            self.kept.mine &= self.scene() == Scene::Trial;
            self.focus = 0;
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
            Some(seen) if seen.status.on_trial => Scene::Trial,
            Some(seen) if seen.status.member.is_some() || seen.status.revision > 0 => Scene::Dashboard,
            Some(_) if self.holder.as_ref().is_some_and(|holder| *holder != self.here) => Scene::Elsewhere,
            Some(_) => Scene::SetUp,
        }
    }

    /// What can have the focus, in the order of Tab.
    pub(crate) fn items(&self) -> Vec<Item> {
        match self.scene() {
            Scene::Waiting => vec![Item::Button(Button::CommandLine)],
            Scene::Dashboard => vec![Item::Button(Button::CommandLine)],
            Scene::Elsewhere => vec![Item::Button(Button::TakeOver), Item::Button(Button::CommandLine)],
            Scene::Trial if self.kept.mine => {
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
        if step.previous(&self.kept.answers).is_some() {
            items.push(Item::Button(Button::Back));
        }
        items
    }

    fn focused(&self) -> Option<Item> {
        self.items().get(self.focus).copied()
    }

    fn given(&self, field: Field) -> &str {
        answer(&self.kept.answers, field)
    }

    fn press(&mut self, press: Press) -> Vec<Effect> {
        let mut effects = self.key(press);
        if self.scene() == Scene::SetUp && self.holder.is_none() {
            self.holder = Some(self.here.clone());
            effects.push(Effect::Hold);
        }
        effects
    }

    fn key(&mut self, press: Press) -> Vec<Effect> {
        match (self.focused(), press) {
            (Some(Item::Field(field)), press) if self.edit(field, press) => {}
            (_, Press::Next | Press::Down) => self.travel(1),
            (_, Press::Previous | Press::Up) => self.travel(-1),
            (_, Press::Right) if self.on_a_button() => self.travel(1),
            (_, Press::Left) if self.on_a_button() => self.travel(-1),
            (_, Press::Back) => self.back(),
            (Some(Item::Field(_)), Press::Enter) => self.travel(1),
            (Some(Item::Jump(field)), Press::Enter) => self.jump(field),
            (Some(Item::Button(button)), Press::Enter | Press::Char(' ')) => return self.act(button),
            (_, Press::Char('c')) if self.scene() == Scene::Dashboard => {
                return self.act(Button::CommandLine);
            }
            _ => {}
        }
        Vec::new()
    }

    fn on_a_button(&self) -> bool {
        matches!(self.focused(), Some(Item::Button(_) | Item::Jump(_)))
    }

    fn act(&mut self, button: Button) -> Vec<Effect> {
        match button {
            Button::Continue => return self.go_on(),
            Button::Back => self.back(),
            Button::CommandLine => return vec![Effect::CommandLine],
            Button::TakeOver => return vec![Effect::TakeOver],
            Button::Try => {
                self.kept.mine = true;
                let document = self.judged.text.clone();
                return self.ask(Request::SetUp { document, confirm_within: Some(TRIAL) });
            }
            Button::Keep => return self.ask(Request::ConfigConfirm),
            Button::Undo => return self.ask(Request::ConfigRollback { generation: None }),
        }
        Vec::new()
    }

    fn ask(&mut self, request: Request) -> Vec<Effect> {
        // One at a time: an impatient Enter asks nothing twice.
        if std::mem::replace(&mut self.asking, true) {
            return Vec::new();
        }
        self.said = None;
        vec![Effect::Ask(request)]
    }

    fn hear(&mut self, answered: Result<Response, String>) -> Vec<Effect> {
        self.asking = false;
        self.said = Some(match answered {
            Ok(Response::Done(sentence)) => Ok(sentence),
            Ok(Response::Refused(why)) | Err(why) => Err(why),
            Ok(_) => Err("the engine answered another question".to_owned()),
        });
        self.kept.mine &= !matches!(self.said, Some(Err(_))) || self.scene() == Scene::Trial;
        Vec::new()
    }

    fn see(&mut self, seen: Option<Box<Seen>>) {
        self.seen = seen;
        // A port is proposed as soon as one is there: the first with a cable, or the first.
        if self.given(Field::Port).is_empty()
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
            Step::Storm | Step::Review => document::proved(&self.kept.answers, self.revision()),
            _ => document::checked(&self.kept.answers, self.revision()),
        };
    }

    fn travel(&mut self, by: isize) {
        self.leave_field();
        let count = self.items().len().max(1);
        self.focus = self.focus.saturating_add_signed(by).min(count - 1);
        self.place_cursor();
    }

    fn leave_field(&mut self) {
        if let Some(Item::Field(field)) = self.focused() {
            self.kept.left.insert(field);
        }
    }

    fn place_cursor(&mut self) {
        self.cursor = match self.focused() {
            Some(Item::Field(field)) => self.given(field).chars().count(),
            _ => 0,
        };
    }

    fn go_to(&mut self, step: Step, focus: usize) {
        self.kept.step = step;
        self.focus = focus;
        self.said = None;
        self.place_cursor();
    }

    fn go_on(&mut self) -> Vec<Effect> {
        if self.kept.step == Step::Welcome {
            match self.given(Field::Way) {
                "line" => return vec![Effect::CommandLine],
                "volume" => return Vec::new(),
                _ => {}
            }
        }
        let fields = self.kept.step.fields(&self.kept.answers);
        self.kept.left.extend(&fields);
        let wrong = fields.iter().position(|field| self.judged.about(*field).next().is_some());
        match (wrong, self.kept.step.next(&self.kept.answers)) {
            (Some(index), _) => {
                self.focus = index;
                self.place_cursor();
            }
            (None, Some(next)) => self.go_to(next, 0),
            (None, None) => {}
        }
        Vec::new()
    }

    fn back(&mut self) {
        self.leave_field();
        if self.scene() == Scene::SetUp
            && let Some(step) = self.kept.step.previous(&self.kept.answers)
        {
            self.go_to(step, 0);
        }
    }

    fn jump(&mut self, field: Field) {
        let step = Step::of(field);
        let index = step.fields(&self.kept.answers).iter().position(|own| *own == field);
        self.kept.left.insert(field);
        self.go_to(step, index.unwrap_or(0));
    }

    /// The words that a field can have; empty for one that is typed.
    fn words(&self, field: Field) -> Vec<String> {
        match field.kind() {
            Kind::List(words) | Kind::Inline(words) => words.iter().map(|word| (*word).to_owned()).collect(),
            Kind::Port => self.ports().iter().map(|port| port.mac.clone()).collect(),
            Kind::Text(_) | Kind::Number(_) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
