//! From field to field, from step to step and back. Nothing that was typed is lost on the way.

use halcyon_core::control::Typed;

use super::field::Field;
use super::step::Step;
use super::words::Room;
use super::{Ask, Effect, Item, Scene, Wizard};

impl Wizard {
    pub(super) fn travel(&mut self, by: isize) {
        self.leave_field();
        let count = self.items().len().max(1);
        self.focus = self.focus.saturating_add_signed(by).min(count - 1);
        self.place_cursor();
    }

    pub(super) fn leave_field(&mut self) {
        if let Some(Item::Field(field)) = self.focused() {
            self.kept.left.insert(field);
        }
    }

    pub(super) fn place_cursor(&mut self) {
        self.cursor = match self.focused() {
            Some(Item::Field(field)) => self.given(field).chars().count(),
            _ => 0,
        };
    }

    pub(super) fn go_to(&mut self, step: Step, focus: usize) {
        self.kept.step = step;
        self.focus = focus;
        self.said = None;
        self.place_cursor();
    }

    pub(super) fn go_on(&mut self) -> Vec<Effect> {
        if self.kept.step == Step::Welcome {
            match self.given(Field::Way) {
                "line" => return vec![Effect::CommandLine { full: self.full }],
                "volume" => return Vec::new(),
                _ => {}
            }
        }
        let fields = self.kept.step.fields(&self.kept.answers);
        self.kept.left.extend(&fields);
        let wrong = fields.iter().position(|field| {
            self.judged.about(*field).next().is_some() || self.password_complaint(*field).is_some()
        });
        let typed = self.given(Field::Password).to_owned();
        if self.kept.step == Step::Password && wrong.is_none() && !typed.is_empty() {
            return self.ask(Ask::Hash(Typed(typed)));
        }
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

    pub(super) fn back(&mut self) {
        self.leave_field();
        if !matches!(self.scene(), Scene::SetUp | Scene::Dashboard | Scene::Waiting | Scene::Trial) {
            return self.leave_room();
        }
        if self.scene() == Scene::SetUp
            && let Some(step) = self.kept.step.previous(&self.kept.answers)
        {
            self.go_to(step, 0);
        } else if self.room == Room::Change {
            self.leave_room();
        }
    }

    pub(super) fn jump(&mut self, field: Field) {
        let step = Step::of(field);
        let index = step.fields(&self.kept.answers).iter().position(|own| *own == field);
        self.kept.left.insert(field);
        self.go_to(step, index.unwrap_or(0));
    }
}
