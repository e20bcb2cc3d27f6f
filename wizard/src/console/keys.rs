//! From a terminal's bytes to keys. Takes any byte in any state. A sequence may come in pieces, as it does over a slow
//! line; an ESC that nothing follows is the key itself, which only time tells. What is pasted is text, never a command.

use std::time::{Duration, Instant};

/// How long a sequence may pause. The slowest line in use sends a byte each millisecond; a person is slower than this.
pub(crate) const PATIENCE: Duration = Duration::from_millis(60);
/// The longest sequence that is put together; nothing longer means anything here.
const LONGEST: usize = 24;

/// A key, or what the terminal itself answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A character, typed or pasted.
    Char(char),
    /// Enter.
    Enter,
    /// Tab.
    Tab,
    /// Shift and Tab.
    BackTab,
    /// The key that erases to the left, which terminals disagree about.
    Backspace,
    /// Delete.
    Delete,
    /// An arrow.
    Up,
    /// An arrow.
    Down,
    /// An arrow.
    Left,
    /// An arrow.
    Right,
    /// Home.
    Home,
    /// End.
    End,
    /// Page up.
    PageUp,
    /// Page down.
    PageDown,
    /// ESC, alone.
    Escape,
    /// Ctrl and a letter.
    Ctrl(char),
    /// Where the cursor is, from 1: the answer to `ESC [ 6 n` (ECMA-48 §8.3.14).
    Report {
        /// Line.
        row: u16,
        /// Column.
        column: u16,
    },
}

/// What has arrived of a key that is not complete.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    part: Vec<u8>,
    since: Option<Instant>,
    pasting: bool,
    /// The last byte was CR: a LF right after it is the same key.
    returned: bool,
}

impl Decoder {
    /// Takes a byte; the key that it completes.
    pub(crate) fn take(&mut self, byte: u8, now: Instant) -> Option<Key> {
        let returned = std::mem::take(&mut self.returned);
        if self.part.is_empty() {
            return match byte {
                0x1b => {
                    self.begin(byte, now);
                    None
                }
                0xc2..=0xf4 => {
                    self.begin(byte, now);
                    None
                }
                b'\n' if returned => None,
                _ => {
                    self.returned = byte == b'\r';
                    self.single(byte)
                }
            };
        }
        self.since = Some(now);
        if self.part[0] == 0x1b { self.within_sequence(byte, now) } else { self.within_character(byte, now) }
    }

    /// The key that a pause completes.
    pub(crate) fn pause(&mut self, now: Instant) -> Option<Key> {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        let part = std::mem::take(&mut self.part);
        self.since = None;
        (part == [0x1b] && !self.pasting).then_some(Key::Escape)
    }

    /// When [`Decoder::pause`] is worth a call.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + PATIENCE)
    }

    fn begin(&mut self, byte: u8, now: Instant) {
        self.part = vec![byte];
        self.since = Some(now);
    }

    fn finish(&mut self) -> Vec<u8> {
        self.since = None;
        std::mem::take(&mut self.part)
    }

    fn single(&self, byte: u8) -> Option<Key> {
        match byte {
            b' '..=b'~' => Some(Key::Char(char::from(byte))),
            _ if self.pasting => None,
            b'\r' | b'\n' => Some(Key::Enter),
            b'\t' => Some(Key::Tab),
            0x08 | 0x7f => Some(Key::Backspace),
            0x01..=0x1a => Some(Key::Ctrl(char::from(byte + b'a' - 1))),
            _ => None,
        }
    }

    fn within_character(&mut self, byte: u8, now: Instant) -> Option<Key> {
        if byte & 0xc0 != 0x80 {
            // Not UTF-8 after all: what came is dropped, and this byte begins anew.
            self.finish();
            return self.take(byte, now);
        }
        self.part.push(byte);
        let whole = match self.part[0] {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            _ => 4,
        };
        if self.part.len() < whole {
            return None;
        }
        let part = self.finish();
        let character = std::str::from_utf8(&part).ok()?.chars().next()?;
        (!character.is_control()).then_some(Key::Char(character))
    }

    fn within_sequence(&mut self, byte: u8, now: Instant) -> Option<Key> {
        match (self.part.len(), byte) {
            // ESC ESC: the first was the key.
            (1, 0x1b) => {
                self.begin(byte, now);
                (!self.pasting).then_some(Key::Escape)
            }
            (1, b'[' | b'O') => {
                self.part.push(byte);
                None
            }
            // Alt and a key: the key.
            (1, _) => {
                self.finish();
                self.take(byte, now)
            }
            (_, 0x1b) => {
                self.begin(byte, now);
                None
            }
            // The Linux console's function keys: ESC [ [ A.
            (2, b'[') => {
                self.part.push(byte);
                None
            }
            (_, 0x40..=0x7e) => {
                self.part.push(byte);
                let part = self.finish();
                self.sequence(&part[1..])
            }
            (length, 0x20..=0x3f) if length < LONGEST => {
                self.part.push(byte);
                None
            }
            // A control character within a sequence, or one without an end: noise.
            _ => {
                self.finish();
                self.single(byte)
            }
        }
    }

    fn sequence(&mut self, text: &[u8]) -> Option<Key> {
        match text {
            b"[200~" => self.pasting = true,
            b"[201~" => self.pasting = false,
            _ if self.pasting => {}
            [b'[', parameters @ .., b'R'] => return report(parameters),
            [b'[' | b'O', .., last @ (b'A' | b'B' | b'C' | b'D' | b'H' | b'F')] if text[1] != b'[' => {
                return Some(match last {
                    b'A' => Key::Up,
                    b'B' => Key::Down,
                    b'C' => Key::Right,
                    b'D' => Key::Left,
                    b'H' => Key::Home,
                    _ => Key::End,
                });
            }
            b"[Z" => return Some(Key::BackTab),
            b"OM" => return Some(Key::Enter),
            b"[1~" | b"[7~" => return Some(Key::Home),
            b"[3~" => return Some(Key::Delete),
            b"[4~" | b"[8~" => return Some(Key::End),
            b"[5~" => return Some(Key::PageUp),
            b"[6~" => return Some(Key::PageDown),
            _ => {}
        }
        None
    }
}

/// `row ; column`.
fn report(parameters: &[u8]) -> Option<Key> {
    let (row, column) = std::str::from_utf8(parameters).ok()?.split_once(';')?;
    Some(Key::Report { row: row.parse().ok()?, column: column.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The keys of `pieces`, with a long pause after each.
    fn keys(pieces: &[&[u8]]) -> Vec<Key> {
        let (mut decoder, mut now, mut keys) = (Decoder::default(), Instant::now(), Vec::new());
        for piece in pieces {
            keys.extend(piece.iter().filter_map(|byte| decoder.take(*byte, now)));
            now += PATIENCE;
            keys.extend(decoder.pause(now));
        }
        keys
    }

    #[test]
    fn keys_of_all_terminals_are_known() {
        for (bytes, key) in [
            (&b"\x1b[A"[..], Key::Up),
            (b"\x1bOB", Key::Down),
            (b"\x1b[1;5C", Key::Right),
            (b"\x1b[Z", Key::BackTab),
            (b"\x1b[3~", Key::Delete),
            (b"\x1b[7~", Key::Home),
            (b"\x7f", Key::Backspace),
            (b"\x08", Key::Backspace),
            (b"\r\n", Key::Enter),
            (b"\n", Key::Enter),
            (b"\x0c", Key::Ctrl('l')),
            (b"\xc3\xa4", Key::Char('ä')),
            (b"\x1b", Key::Escape),
            (b"\x1b[24;80R", Key::Report { row: 24, column: 80 }),
        ] {
            assert_eq!(keys(&[bytes]), [key], "{bytes:?}");
        }
        assert_eq!(keys(&[b"\x1b[[A", b"\x1b[17~"]), [], "function keys mean nothing here");
    }

    #[test]
    fn a_sequence_in_pieces_is_one_key() {
        let (mut decoder, mut now) = (Decoder::default(), Instant::now());
        for byte in [0x1b, b'['] {
            assert_eq!(decoder.take(byte, now), None);
            now += PATIENCE - Duration::from_millis(1);
            assert_eq!(decoder.pause(now), None);
        }
        assert_eq!(decoder.take(b'B', now), Some(Key::Down));
        assert_eq!(decoder.deadline(), None);
    }

    #[test]
    fn escape_twice_is_twice_escape() {
        assert_eq!(keys(&[b"\x1b\x1b"]), [Key::Escape, Key::Escape]);
        assert_eq!(keys(&[b"\x1b", b"x"]), [Key::Escape, Key::Char('x')]);
    }

    #[test]
    fn what_is_pasted_is_text_alone() {
        let pasted = keys(&[b"\x1b[200~10.0\r\n.0.1\t\x1b[A\x03\x1b[201~\r"]);
        let text: Vec<Key> = "10.0.0.1".chars().map(Key::Char).chain([Key::Enter]).collect();
        assert_eq!(pasted, text);
    }

    proptest! {
        #[test]
        fn after_any_noise_a_key_is_a_key(noise: Vec<u8>) {
            let (mut decoder, now) = (Decoder::default(), Instant::now());
            for byte in noise {
                decoder.take(byte, now);
            }
            decoder.pause(now + PATIENCE);
            for byte in *b"\x1b[201~" {
                decoder.take(byte, now);
            }
            prop_assert_eq!(decoder.take(b'x', now), Some(Key::Char('x')));
        }
    }
}
