//! What is shown of the wizard: rows of spans, each with a tone, for a screen of some width. Decides which words stand where;
//! what a tone looks like is the view's to decide.

use super::document::Complaint;
use super::field::{Field, Kind};
use super::step::Step;
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

/// Cells before a field's input begins.
const LABEL: usize = 24;
/// Cells of an input.
const INPUT: usize = 44;

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
        self.prose(&format!("{name}-text"), Tone::Plain);
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
            let document = self.wizard.judged.text.clone();
            document.lines().for_each(|line| self.row(&[(line, Tone::Faint)]));
        }
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

    fn field(&mut self, field: Field) {
        let focused = self.next_item();
        let label = self.label(field);
        match field.kind() {
            Kind::Text(_) | Kind::Number(_) => self.input(field, &label, focused),
            Kind::Inline(words) => self.inline(field, &label, words, focused),
            Kind::List(words) => self.list(field, &label, words, focused),
            Kind::Port => self.port(field, &label, focused),
        }
        if self.wizard.kept.left.contains(&field) {
            let complaints: Vec<Complaint> = self.wizard.judged.about(field).cloned().collect();
            complaints.iter().for_each(|complaint| self.complaint(complaint));
        }
    }

    fn input(&mut self, field: Field, label: &str, focused: bool) {
        let text: Vec<char> = self.wizard.given(field).chars().collect();
        let cursor = self.wizard.cursor.min(text.len());
        // The part around the cursor, when there is more than fits.
        let from = if focused { cursor.saturating_sub(INPUT - 2) } else { 0 };
        let shown = |range: std::ops::Range<usize>| -> String {
            let range = range.start.min(text.len())..range.end.min(text.len());
            text[range].iter().collect()
        };
        let mut spans = vec![(marked(label, focused), Tone::Plain), ("[".to_owned(), Tone::Faint)];
        if focused {
            let under = text.get(cursor).copied().unwrap_or(' ');
            let after = shown(cursor + 1..from + INPUT);
            let used = cursor - from + 1 + after.chars().count();
            spans.push((shown(from..cursor), Tone::Input));
            spans.push((under.to_string(), Tone::Cursor));
            spans.push((after + &" ".repeat(INPUT.saturating_sub(used)), Tone::Input));
        } else {
            let shown = shown(0..INPUT);
            let rest = INPUT - shown.chars().count();
            spans.push((shown + &" ".repeat(rest), Tone::Input));
        }
        spans.push(("]".to_owned(), Tone::Faint));
        self.spans(spans);
        self.focus_last(focused);
    }

    fn inline(&mut self, field: Field, label: &str, words: &[&str], focused: bool) {
        let mut spans = vec![(marked(label, focused), Tone::Plain)];
        for word in words {
            let chosen = self.wizard.given(field) == *word;
            let text = self.texts.say(&format!("{}-{word}", field.key()));
            let (text, tone) = match (chosen, focused) {
                (true, true) => (format!("({text})"), Tone::Focus),
                (true, false) => (format!("({text})"), Tone::Input),
                (false, _) => (format!(" {text} "), Tone::Plain),
            };
            spans.push((text, tone));
        }
        self.spans(spans);
        self.focus_last(focused);
    }

    fn list(&mut self, field: Field, label: &str, words: &[&str], focused: bool) {
        let name = field.key();
        self.spans(vec![(marked(label, focused), Tone::Plain)]);
        self.focus_last(focused);
        for (index, word) in words.iter().enumerate() {
            let chosen = self.wizard.given(field) == *word;
            let text = self.texts.say(&format!("{name}-{word}"));
            self.option(index, &text, chosen, focused);
            if let Some(more) = self.texts.find(&format!("{name}-{word}-more"), &[]) {
                self.text(&more, 9, Tone::Faint);
            }
            for line in (1..).map_while(|n| self.texts.find(&format!("{name}-{word}-drawing-{n}"), &[])) {
                if chosen {
                    self.row(&[("         ", Tone::Plain), (&line, Tone::Plain)]);
                }
            }
        }
    }

    fn option(&mut self, index: usize, text: &str, chosen: bool, focused: bool) {
        let tone = if chosen && focused { Tone::Focus } else { Tone::Plain };
        let dot = if chosen { "(●)" } else { "( )" };
        self.spans(vec![(format!("   {dot} {} ", index + 1), Tone::Plain), (text.to_owned(), tone)]);
        self.focus_last(chosen && focused);
    }

    fn port(&mut self, field: Field, label: &str, focused: bool) {
        self.spans(vec![(marked(label, focused), Tone::Plain)]);
        self.focus_last(focused);
        let ports = self.wizard.ports().to_vec();
        if ports.is_empty() {
            self.prose("port-none", Tone::Bad);
        }
        for (index, port) in ports.iter().enumerate() {
            let text = self.port_line(port);
            self.option(index, &text, self.wizard.given(field) == port.mac, focused);
        }
    }

    /// A port as it is told from others.
    pub(super) fn port_line(&self, port: &halcyon_core::control::Port) -> String {
        let cable = self.texts.say(if port.carrier { "port-cable" } else { "port-no-cable" });
        let speed = port.speed.filter(|_| port.carrier).map_or_else(String::new, |speed| {
            format!(", {}", self.texts.with("port-speed", &[("speed", &speed.to_string())]))
        });
        let driver = port.driver.as_deref().unwrap_or("?");
        format!("{} {}  {driver}  {cable}{speed}", port.name, port.mac)
    }

    fn complaint(&mut self, complaint: &Complaint) {
        self.text(&format!("! {}; {}", complaint.what, complaint.fix), 4, Tone::Bad);
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
            };
            let text = if focused { format!("›{text}‹") } else { format!(" {text} ") };
            spans.push((format!("[{text}]"), if focused { Tone::Focus } else { Tone::Plain }));
            spans.push(("   ".to_owned(), Tone::Plain));
        }
        self.spans(spans);
        self.focus_last(any);
    }

    fn label(&self, field: Field) -> String {
        self.texts.say(&format!("field-{}", field.key()))
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

    /// An empty row.
    pub(super) fn gap(&mut self) {
        self.page.rows.push(Row::default());
    }

    /// A text of the catalogue, over as many rows as it needs.
    pub(super) fn prose(&mut self, name: &str, tone: Tone) {
        let text = self.texts.say(name);
        self.text(&text, 0, tone);
    }

    /// A text over as many rows as it needs, so many cells from the left.
    pub(super) fn text(&mut self, text: &str, indent: usize, tone: Tone) {
        for line in wrapped(text, self.width.saturating_sub(indent).max(10)) {
            self.row(&[(&" ".repeat(indent), Tone::Plain), (&line, tone)]);
        }
    }

    /// One row.
    pub(super) fn row(&mut self, spans: &[(&str, Tone)]) {
        self.spans(spans.iter().map(|(text, tone)| ((*text).to_owned(), *tone)).collect());
    }

    fn spans(&mut self, spans: Vec<(String, Tone)>) {
        let spans = spans.into_iter().filter(|(text, _)| !text.is_empty());
        let spans = spans.map(|(text, tone)| Span { text: clean(&text), tone }).collect();
        self.page.rows.push(Row { spans, focused: false });
    }
}

/// `label` in its column, with a mark where the focus is.
fn marked(label: &str, focused: bool) -> String {
    let mark = if focused { "›" } else { " " };
    format!("{mark} {label:<width$}", width = LABEL - 2)
}

/// What others wrote moves no cursor.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// `text` in lines of `width` characters at most, broken at blanks where there are any.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let line = lines.last_mut().expect("there is one line at least");
            let used = line.chars().count();
            let blank = usize::from(used > 0);
            if used + blank + word.len() <= width {
                line.extend([' '].iter().take(blank).chain(&word));
                break;
            }
            if used == 0 {
                line.extend(word.drain(..width));
            }
            lines.push(String::new());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_broken_at_blanks_and_where_it_must() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrapped("", 4), [""]);
        assert_eq!(wrapped("abcd efgh", 4), ["abcd", "efgh"]);
    }
}
