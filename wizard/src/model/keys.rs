//! What a key does, by what has the focus. Decides that alone; where it leads is [`walking`](super::walking)'s and
//! [`menu`](super::menu)'s.

use halcyon_core::control::Request;

use super::field::Field;
use super::words::Room;
use super::{Ask, Button, Effect, Item, Press, Scene, TRIAL, Wizard};

impl Wizard {
    pub(super) fn press(&mut self, press: Press) -> Vec<Effect> {
        let mut effects = self.key(press);
        if self.scene() == Scene::SetUp && self.holder.is_none() {
            self.holder = Some(self.here.clone());
            effects.push(Effect::Hold);
        }
        effects
    }

    pub(super) fn key(&mut self, press: Press) -> Vec<Effect> {
        match (self.focused(), press) {
            (Some(Item::Field(field)), press) if self.edit(field, press) => {}
            (_, Press::Next | Press::Down) => self.travel(1),
            (_, Press::Previous | Press::Up) => self.travel(-1),
            (_, Press::Right) if self.on_a_button() => self.travel(1),
            (_, Press::Left) if self.on_a_button() => self.travel(-1),
            (_, Press::Back) => self.back(),
            (Some(Item::Field(Field::Unlock)), Press::Enter) => return self.unlock(),
            (_, Press::Char(digit)) if digit.is_ascii_digit() => return self.pick(digit),
            (Some(Item::Field(_)), Press::Enter) => self.travel(1),
            (Some(Item::Jump(field)), Press::Enter) => self.jump(field),
            (Some(Item::Button(button)), Press::Enter | Press::Char(' ')) => return self.act(button),
            (_, Press::Char('c')) if self.scene() == Scene::Dashboard => {
                return self.act(Button::CommandLine);
            }
            (_, Press::Char('m')) if self.scene() == Scene::Dashboard => return self.act(Button::Menu),
            _ => {}
        }
        Vec::new()
    }

    pub(super) fn on_a_button(&self) -> bool {
        matches!(self.focused(), Some(Item::Button(_) | Item::Jump(_)))
    }

    pub(super) fn act(&mut self, button: Button) -> Vec<Effect> {
        match button {
            Button::Continue => return self.go_on(),
            Button::Back => self.back(),
            Button::CommandLine if self.scene() == Scene::SetUp || self.seen.is_none() => {
                return vec![Effect::CommandLine { full: false }];
            }
            Button::CommandLine => return self.enter(Room::Line),
            Button::Menu => return self.enter(Room::Menu),
            Button::Unlock => return self.unlock(),
            Button::Verb(verb) => return self.choose_verb(verb),
            Button::DoIt => return self.do_it(),
            Button::Leave => self.leave_room(),
            Button::TakeOver => return vec![Effect::TakeOver],
            Button::Try => {
                self.kept.mine = true;
                // Who set the password a moment ago need not give it to keep what he set up.
                self.unlocked |= self.kept.base.is_none();
                let document = self.judged.text.clone();
                return self.ask(Ask::Engine(Request::SetUp { document, confirm_within: Some(TRIAL) }));
            }
            Button::Keep => return self.ask(Ask::Engine(Request::ConfigConfirm)),
            Button::Undo => {
                return self.ask(Ask::Engine(Request::ConfigRollback { generation: None }));
            }
        }
        Vec::new()
    }
}
