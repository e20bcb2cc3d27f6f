//! How text comes to stand in rows: broken at blanks, and without anything that would move a cursor.

use super::{Row, Span, Tone, Writer};

impl Writer<'_> {
    /// An empty row.
    pub(in crate::model) fn gap(&mut self) {
        self.page.rows.push(Row::default());
    }

    /// A text of the catalogue, over as many rows as it needs.
    pub(in crate::model) fn prose(&mut self, name: &str, tone: Tone) {
        let text = self.texts.say(name);
        self.text(&text, 0, tone);
    }

    /// A text over as many rows as it needs, so many cells from the left.
    pub(in crate::model) fn text(&mut self, text: &str, indent: usize, tone: Tone) {
        for line in wrapped(text, self.width.saturating_sub(indent).max(10)) {
            self.row(&[(&" ".repeat(indent), Tone::Plain), (&line, tone)]);
        }
    }

    /// One row.
    pub(in crate::model) fn row(&mut self, spans: &[(&str, Tone)]) {
        self.spans(spans.iter().map(|(text, tone)| ((*text).to_owned(), *tone)).collect());
    }

    pub(super) fn spans(&mut self, spans: Vec<(String, Tone)>) {
        let spans = spans.into_iter().filter(|(text, _)| !text.is_empty());
        let spans = spans.map(|(text, tone)| Span { text: clean(&text), tone }).collect();
        self.page.rows.push(Row { spans, focused: false });
    }
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
