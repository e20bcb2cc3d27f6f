//! From cells to a terminal's bytes, as few as possible: a position or a colour is sent when something is written that
//! needs it, and not before. Decides how a character looks on a terminal that knows ASCII only.

use std::io::Write as _;

use cursive::style::{Color, ColorPair, Effect};
use unicode_width::UnicodeWidthStr;

/// The characters that a terminal shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charset {
    /// ASCII: lines become `+`, `-` and `|`.
    Ascii,
    /// UTF-8.
    Utf8,
}

/// How a cell looks. Colours are the eight that every terminal has, by their number in SGR (ECMA-48 §8.3.117).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// The writing's colour; `None`: the terminal's own.
    pub(crate) front: Option<u8>,
    /// The ground's colour; `None`: the terminal's own.
    pub(crate) back: Option<u8>,
    /// Bold.
    pub(crate) bold: bool,
    /// Front and back exchanged.
    pub(crate) reverse: bool,
    /// Underlined.
    pub(crate) underline: bool,
}

/// What is to be sent, and what the terminal knows.
#[derive(Debug)]
pub(crate) struct Painter {
    out: Vec<u8>,
    charset: Charset,
    width: usize,
    goal: (usize, usize),
    /// Where the terminal's cursor is, column and line from 0; `None`: not known.
    at: Option<(usize, usize)>,
    /// How the next cell is to look.
    pub(crate) look: Look,
    given: Option<Look>,
}

impl Painter {
    /// Knows nothing of the terminal.
    pub(crate) fn new(charset: Charset, width: usize) -> Self {
        Self { out: Vec::new(), charset, width, goal: (0, 0), at: None, look: Look::default(), given: None }
    }

    /// The terminal is another than was thought.
    pub(crate) fn adapt(&mut self, charset: Charset, width: usize) {
        (self.charset, self.width) = (charset, width);
        self.forget();
    }

    /// The characters in use.
    pub(crate) fn charset(&self) -> Charset {
        self.charset
    }

    /// Somebody else wrote on the terminal.
    pub(crate) fn forget(&mut self) {
        self.at = None;
        self.given = None;
    }

    /// Sends something as it is.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
        self.forget();
    }

    /// The next text goes there, column and line from 0.
    pub(crate) fn move_to(&mut self, column: usize, line: usize) {
        self.goal = (column, line);
    }

    /// Writes `text`, which must not pass the end of the line.
    pub(crate) fn print(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        self.travel();
        if self.given != Some(self.look) {
            self.dress();
        }
        let width = match self.charset {
            Charset::Utf8 => {
                self.out.extend_from_slice(text.as_bytes());
                text.width()
            }
            Charset::Ascii => {
                // A wide character takes as many cells here, or all after it would stand wrong.
                let before = self.out.len();
                for character in text.chars() {
                    let width = UnicodeWidthStr::width(character.encode_utf8(&mut [0; 4]) as &str);
                    self.out.extend(std::iter::repeat_n(ascii(character), width));
                }
                self.out.len() - before
            }
        };
        let column = self.goal.0 + width;
        self.goal = (column, self.goal.1);
        // Behind the last column terminals differ.
        self.at = (column < self.width).then_some(self.goal);
    }

    /// Wipes the whole screen.
    pub(crate) fn wipe(&mut self) {
        self.raw(b"\x1b[0m\x1b[2J");
    }

    /// The colours of what is written next; what they were before.
    pub(crate) fn colour(&mut self, colours: ColorPair) -> ColorPair {
        let Look { front, back, .. } = self.look;
        (self.look.front, self.look.back) = (number(colours.front), number(colours.back));
        ColorPair { front: named(front), back: named(back) }
    }

    /// An effect of what is written next. One that not every terminal has is none.
    pub(crate) fn effect(&mut self, effect: Effect, on: bool) {
        match effect {
            Effect::Bold => self.look.bold = on,
            Effect::Reverse => self.look.reverse = on,
            Effect::Underline => self.look.underline = on,
            _ => {}
        }
    }

    /// What is to be sent.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    fn travel(&mut self) {
        let (column, line) = self.goal;
        match self.at {
            Some(at) if at == self.goal => return,
            Some((0, there)) if column == 0 && there + 1 == line => self.out.push(b'\n'),
            Some((from, there)) if there == line && from + 1 == column => self.out.extend(b"\x1b[C"),
            Some((from, there)) if there == line && from < column => {
                write!(self.out, "\x1b[{}C", column - from).expect("a Vec takes everything");
            }
            _ => write!(self.out, "\x1b[{};{}H", line + 1, column + 1).expect("a Vec takes everything"),
        }
        self.at = Some(self.goal);
    }

    fn dress(&mut self) {
        let Look { front, back, bold, reverse, underline } = self.look;
        self.out.extend(b"\x1b[0");
        for (wanted, code) in [(bold, 1), (underline, 4), (reverse, 7)] {
            if wanted {
                write!(self.out, ";{code}").expect("a Vec takes everything");
            }
        }
        for (colour, base) in [(front, 30), (back, 40)] {
            if let Some(colour) = colour {
                write!(self.out, ";{}", base + colour % 8).expect("a Vec takes everything");
            }
        }
        self.out.push(b'm');
        self.given = Some(self.look);
    }
}

fn number(colour: Color) -> Option<u8> {
    match colour {
        Color::Dark(base) | Color::Light(base) => Some(base as u8),
        _ => None,
    }
}

fn named(colour: Option<u8>) -> Color {
    colour.map_or(Color::TerminalDefault, |colour| Color::from_256colors(colour % 8))
}

/// The nearest that ASCII has.
fn ascii(character: char) -> u8 {
    match character {
        ' '..='~' => character as u8,
        '─' | '━' | '–' | '—' => b'-',
        '│' | '┃' => b'|',
        '┌' | '┐' | '└' | '┘' | '├' | '┤' | '┬' | '┴' | '┼' => b'+',
        '▶' | '►' | '›' | '→' => b'>',
        '◀' | '◄' | '‹' | '←' => b'<',
        '●' => b'*',
        '○' => b'o',
        '…' => b'.',
        '█' => b'#',
        '░' | '·' => b'.',
        '×' => b'x',
        _ => b'?',
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_costs_its_position_once() {
        let mut painter = Painter::new(Charset::Utf8, 80);
        painter.move_to(3, 2);
        for letter in ["a", "b", "c"] {
            painter.print(letter);
        }
        painter.move_to(8, 2);
        painter.print("d");
        assert_eq!(painter.take(), b"\x1b[3;4H\x1b[0mabc\x1b[2Cd");
    }

    #[test]
    fn a_look_is_sent_when_something_is_written_in_it() {
        let mut painter = Painter::new(Charset::Utf8, 80);
        painter.look.bold = true;
        painter.look = Look { front: Some(1), reverse: true, ..Look::default() };
        assert_eq!(painter.take(), b"");
        painter.print("x");
        assert_eq!(painter.take(), b"\x1b[1;1H\x1b[0;7;31mx");
    }

    #[test]
    fn behind_the_last_column_the_position_is_sent_again() {
        let mut painter = Painter::new(Charset::Utf8, 2);
        painter.print("ab");
        painter.move_to(0, 1);
        painter.print("c");
        assert_eq!(painter.take(), b"\x1b[1;1H\x1b[0mab\x1b[2;1Hc");
    }

    #[test]
    fn lines_are_drawn_in_ascii_and_wide_characters_keep_their_place() {
        let mut painter = Painter::new(Charset::Ascii, 80);
        painter.print("┌─┐│é中x");
        assert!(painter.take().ends_with(b"+-+|???x"));
    }
}
