//! What is shown of the wizard: rows of spans, each with a tone, for a screen of some width. Decides which words stand where;
//! what a tone looks like is the view's to decide.

mod question;
mod text;

use halcyon_core::config::difference::difference;
use halcyon_core::config::redact::redacted;

use super::field::Field;
use super::step::Step;
use super::words::Room;
use super::{Button, Item, Scene, TRIAL, Wizard};
use crate::texts::Texts;

/// What a piece of text is. Never told by colour alone: each has a mark or a place of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// Ordinary.
    Plain,
    /// A heading.
    Strong,
    /// Less important.
    Faint,
    /// Where something can be typed.
    Input,
    /// What has the focus.
    Focus,
    /// The cell of the cursor.
    Cursor,
    /// As it should be.
    Good,
    /// Wrong.
    Bad,
}

/// A piece of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    /// Its text, on one line.
    pub(crate) text: String,
    /// What it is.
    pub(crate) tone: Tone,
}

/// A line of the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    /// From left to right.
    pub(crate) spans: Vec<Span>,
    /// It belongs to what has the focus, and should be seen.
    pub(crate) focused: bool,
}

/// A screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// What it is about.
    pub(crate) title: String,
    /// Where it stands among others.
    pub(crate) place: String,
    /// Its rows; more than fit are scrolled.
    pub(crate) rows: Vec<Row>,
    /// The keys that mean something.
    pub(crate) keys: String,
}

/// What `wizard` shows on a screen of `width` cells.
pub(crate) fn page(wizard: &Wizard, texts: &Texts, width: usize) -> Page {
    let mut page =
        Writer { wizard, texts, width: width.saturating_sub(2).max(20), page: Page::default(), item: 0 };
    page.write();
    page.page
}

/// A page that is being written.
pub(super) struct Writer<'a> {
    pub(super) wizard: &'a Wizard,
    pub(super) texts: &'a Texts,
    width: usize,
    page: Page,
    /// How many items were written.
    item: usize,
}

impl Writer<'_> {
    fn write(&mut self) {
        self.page.place = self.texts.say("product");
        match self.wizard.scene() {
            Scene::Waiting => {
                self.head("waiting-title", "keys-dashboard");
                self.prose("waiting-text", Tone::Plain);
                self.buttons();
            }
            Scene::Elsewhere => self.elsewhere(),
            Scene::SetUp => self.set_up(),
            Scene::Trial => self.trial(),
            Scene::Dashboard => self.dashboard(),
            Scene::Unlock => self.unlock(),
            Scene::Menu => self.menu(),
            Scene::Sure => self.sure(),
        }
    }

    fn head(&mut self, title: &str, keys: &str) {
        self.page.title = self.texts.say(title);
        self.page.keys = self.texts.say(keys);
    }

    fn elsewhere(&mut self) {
        self.head("elsewhere-title", "keys-trial");
        let terminal = self.wizard.holder.clone().unwrap_or_default();
        let text = self.texts.with("elsewhere-text", &[("terminal", &terminal)]);
        self.text(&text, 0, Tone::Plain);
        self.gap();
        self.buttons();
    }

    fn set_up(&mut self) {
        let step = self.wizard.kept.step;
        let name = step.key();
        self.head(&format!("{name}-title"), "keys-set-up");
        let (number, count) = step.number(&self.wizard.kept.answers);
        let (number, count) = (number.to_string(), count.to_string());
        self.page.place = self.texts.with("step", &[("number", &number), ("count", &count)]);
        let change = step == Step::Review && self.wizard.kept.base.is_some();
        self.prose(
            &if change { "review-change-text".to_owned() } else { format!("{name}-text") },
            Tone::Plain,
        );
        self.gap();
        for field in step.fields(&self.wizard.kept.answers) {
            self.field(field);
        }
        match step {
            Step::Storm => self.proof(),
            Step::Review => self.review(),
            _ => {}
        }
        if step != Step::Review {
            self.gap();
        }
        self.said();
        self.buttons();
        if step == Step::Review {
            self.gap();
            self.outcome();
        }
    }

    /// The document, or what a change changes in it; without secrets, for others may look on.
    fn outcome(&mut self) {
        let after = redacted(self.wizard.judged.text.as_bytes());
        let Some(base) = &self.wizard.kept.base else {
            after.lines().for_each(|line| self.row(&[(line, Tone::Faint)]));
            return;
        };
        let lines = difference(&redacted(base.text().as_bytes()), &after);
        for line in lines.lines() {
            let tone = if line.starts_with('+') { Tone::Strong } else { Tone::Plain };
            self.row(&[(line, tone)]);
        }
    }

    fn unlock(&mut self) {
        self.head("unlock-title", "keys-set-up");
        self.prose("unlock-text", Tone::Plain);
        self.gap();
        self.field(Field::Unlock);
        self.gap();
        self.said();
        self.buttons();
    }

    fn menu(&mut self) {
        self.head("menu-title", "keys-menu");
        self.said();
        for (index, item) in self.wizard.items().into_iter().enumerate() {
            let Item::Button(Button::Verb(verb)) = item else { continue };
            let focused = self.next_item();
            let tone = if focused { Tone::Focus } else { Tone::Plain };
            let label = self.texts.say(verb.key());
            self.row(&[
                (if focused { "› " } else { "  " }, Tone::Plain),
                (&format!("{} {label}", index + 1), tone),
            ]);
            self.focus_last(focused);
            let more = self.texts.say(&format!("{}-more", verb.key()));
            self.text(&more, 5, Tone::Faint);
        }
    }

    fn sure(&mut self) {
        self.head("sure-title", "keys-trial");
        let Room::Sure(verb) = self.wizard.room else { return };
        self.prose(verb.key(), Tone::Strong);
        self.prose(&format!("{}-more", verb.key()), Tone::Plain);
        self.gap();
        self.buttons();
    }

    fn proof(&mut self) {
        self.gap();
        match self.wizard.judged.complaints.is_empty() {
            true => self.prose("storm-proved", Tone::Good),
            false => self.prose("storm-unknown", Tone::Faint),
        }
    }

    fn review(&mut self) {
        let complaints = self.wizard.judged.complaints.clone();
        if complaints.is_empty() {
            return;
        }
        let count = complaints.len().to_string();
        let text = self.texts.with("review-complaints", &[("count", &count)]);
        self.text(&text, 0, Tone::Bad);
        for complaint in complaints.iter().filter(|complaint| complaint.field.is_none()) {
            self.complaint(complaint);
        }
        let jumps: Vec<Field> = self
            .wizard
            .items()
            .into_iter()
            .filter_map(|item| match item {
                Item::Jump(field) => Some(field),
                _ => None,
            })
            .collect();
        for field in jumps {
            let focused = self.next_item();
            let label = self.label(field);
            let tone = if focused { Tone::Focus } else { Tone::Plain };
            self.row(&[(if focused { "› " } else { "  " }, Tone::Plain), (&label, tone)]);
            self.focus_last(focused);
            for complaint in complaints.iter().filter(|complaint| complaint.field == Some(field)) {
                self.complaint(complaint);
            }
        }
    }

    fn trial(&mut self) {
        self.head("trial-title", "keys-trial");
        self.prose("trial-text", Tone::Plain);
        let left = self.wizard.seen.as_ref().and_then(|seen| seen.status.trial_left);
        if let Some(left) = left {
            self.gap();
            let left = self.texts.with("trial-left", &[("seconds", &left.to_string())]);
            self.text(&left, 0, Tone::Strong);
        }
        if !self.wizard.kept.mine {
            self.prose("trial-other", Tone::Faint);
        }
        self.gap();
        self.said();
        self.buttons();
        self.gap();
        self.state();
    }

    /// What the engine said last.
    fn said(&mut self) {
        let Some(said) = &self.wizard.said else { return };
        let (mark, text, tone) = match said {
            Ok(text) => ("  ", text, Tone::Good),
            Err(text) => ("! ", text, Tone::Bad),
        };
        for line in text.lines() {
            self.text(&format!("{mark}{line}"), 2, tone);
        }
        self.gap();
    }

    pub(super) fn buttons(&mut self) {
        let buttons: Vec<Button> = self
            .wizard
            .items()
            .into_iter()
            .filter_map(|item| match item {
                Item::Button(button) => Some(button),
                _ => None,
            })
            .collect();
        let mut spans = vec![("  ".to_owned(), Tone::Plain)];
        let mut any = false;
        for button in buttons {
            let focused = self.next_item();
            any |= focused;
            let text = match button {
                Button::Continue => self.texts.say("button-continue"),
                Button::Back => self.texts.say("button-back"),
                Button::Try => self.texts.with("button-try", &[("seconds", &TRIAL.to_string())]),
                Button::Keep => self.texts.say("button-keep"),
                Button::Undo => self.texts.say("button-undo"),
                Button::TakeOver => self.texts.say("button-take-over"),
                Button::CommandLine => self.texts.say("button-command-line"),
                Button::Menu => self.texts.say("button-menu"),
                Button::Unlock => self.texts.say("button-unlock"),
                Button::Leave => self.texts.say("button-back"),
                Button::DoIt => self.texts.say("button-do-it"),
                Button::Verb(verb) => self.texts.say(verb.key()),
            };
            let text = if focused { format!("›{text}‹") } else { format!(" {text} ") };
            spans.push((format!("[{text}]"), if focused { Tone::Focus } else { Tone::Plain }));
            spans.push(("   ".to_owned(), Tone::Plain));
        }
        self.spans(spans);
        self.focus_last(any);
    }

    fn next_item(&mut self) -> bool {
        let focused = self.item == self.wizard.focus;
        self.item += 1;
        focused
    }

    fn focus_last(&mut self, focused: bool) {
        if let Some(row) = self.page.rows.last_mut() {
            row.focused |= focused;
        }
    }

    pub(super) fn title(&mut self, title: String, keys: &str) {
        self.page.title = title;
        self.page.keys = self.texts.say(keys);
    }
}
