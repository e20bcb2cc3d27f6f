//! A question as it is shown: its label, what can be typed or chosen, and the complaints about the answer.

use halcyon_core::control::Port;

use super::{Tone, Writer};
use crate::model::document::Complaint;
use crate::model::field::{Field, Kind};
use crate::model::password::Strength;

/// Cells before a field's input begins.
const LABEL: usize = 24;
/// Cells of an input.
const INPUT: usize = 44;

impl Writer<'_> {
    pub(super) fn field(&mut self, field: Field) {
        let focused = self.next_item();
        let label = self.label(field);
        match field.kind() {
            Kind::Text(_) | Kind::Secret(_) | Kind::Number(_) => self.input(field, &label, focused),
            Kind::Inline(words) => self.inline(field, &label, words, focused),
            Kind::List(words) => self.list(field, &label, words, focused),
            Kind::Port => self.port(field, &label, focused),
        }
        if field == Field::Password {
            self.strength();
        }
        if let (true, Some(name)) =
            (self.wizard.kept.left.contains(&field), self.wizard.password_complaint(field))
        {
            let text = format!("! {}", self.texts.say(name));
            self.text(&text, 4, Tone::Bad);
        }
        if self.wizard.kept.left.contains(&field) {
            let complaints: Vec<Complaint> = self.wizard.judged.about(field).cloned().collect();
            complaints.iter().for_each(|complaint| self.complaint(complaint));
        }
    }

    /// How good the new password is; a row that is there before anything is typed, so that nothing moves.
    fn strength(&mut self) {
        let typed = self.wizard.given(Field::Password);
        if typed.is_empty() {
            return self.gap();
        }
        let strength = Strength::of(typed);
        let tone = if strength == Strength::TooWeak { Tone::Bad } else { Tone::Plain };
        let text = self.texts.say(strength.key());
        self.text(&text, LABEL + 1, tone);
    }

    fn input(&mut self, field: Field, label: &str, focused: bool) {
        let hidden = matches!(field.kind(), Kind::Secret(_));
        let text = self.wizard.given(field).chars().map(|key| if hidden { '*' } else { key });
        let text: Vec<char> = text.collect();
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
    pub(in crate::model) fn port_line(&self, port: &Port) -> String {
        let cable = self.texts.say(if port.carrier { "port-cable" } else { "port-no-cable" });
        let speed = port.speed.filter(|_| port.carrier).map_or_else(String::new, |speed| {
            format!(", {}", self.texts.with("port-speed", &[("speed", &speed.to_string())]))
        });
        let driver = port.driver.as_deref().unwrap_or("?");
        format!("{} {}  {driver}  {cable}{speed}", port.name, port.mac)
    }

    pub(super) fn complaint(&mut self, complaint: &Complaint) {
        self.text(&format!("! {}; {}", complaint.what, complaint.fix), 4, Tone::Bad);
    }

    pub(super) fn label(&self, field: Field) -> String {
        self.texts.say(&format!("field-{}", field.key()))
    }
}

/// `label` in its column, with a mark where the focus is.
fn marked(label: &str, focused: bool) -> String {
    let mark = if focused { "›" } else { " " };
    format!("{mark} {label:<width$}", width = LABEL - 2)
}
