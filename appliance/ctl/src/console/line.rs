//! A line being typed, key by key: what is echoed, and when it is complete. Takes any byte in any state; keeps printable
//! ASCII only, which is all that the verbs are made of.

/// The longest line, in characters.
const LONGEST: usize = 200;

/// What has been typed so far.
#[derive(Debug, Default)]
pub(super) struct Line {
    text: String,
    overlong: bool,
    escape: Escape,
}

/// Where in a terminal's escape sequence the input is (ECMA-48 §5.3, §5.4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Escape {
    /// In none.
    #[default]
    Outside,
    /// After ESC.
    Begun,
    /// After ESC [ or ESC O, until a final byte.
    Within,
}

/// What became of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is to be shown so.
    Echo(&'static [u8]),
    /// The line was thrown away.
    Cleared,
    /// The line is complete.
    Line(String),
    /// The line is complete, and was too long to be kept.
    TooLong,
}

impl Line {
    /// Nothing has been typed.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty() && !self.overlong
    }

    /// Takes one byte of input.
    pub(super) fn take(&mut self, key: u8) -> Taken {
        match (self.escape, key) {
            // The keys that always work, so that half a sequence cannot swallow them.
            (_, b'\r' | b'\n' | 0x03) => self.escape = Escape::Outside,
            (_, 0x1b) => {
                self.escape = Escape::Begun;
                return Taken::Echo(b"");
            }
            (Escape::Begun, b'[' | b'O') => {
                self.escape = Escape::Within;
                return Taken::Echo(b"");
            }
            (Escape::Begun, _) | (Escape::Within, 0x40..=0x7e) => {
                self.escape = Escape::Outside;
                return Taken::Echo(b"");
            }
            (Escape::Within, _) => return Taken::Echo(b""),
            (Escape::Outside, _) => {}
        }
        match key {
            b'\r' | b'\n' => {
                let text = std::mem::take(&mut self.text);
                if std::mem::take(&mut self.overlong) { Taken::TooLong } else { Taken::Line(text) }
            }
            0x03 => {
                *self = Self::default();
                Taken::Cleared
            }
            // Backspace, or Delete where a terminal sends that for it.
            0x08 | 0x7f => {
                self.overlong = false;
                Taken::Echo(if self.text.pop().is_some() { b"\x08 \x08" } else { b"" })
            }
            // Ctrl-U.
            0x15 => {
                *self = Self::default();
                Taken::Echo(b"\r\x1b[Khalctl> ")
            }
            b' '..=b'~' if self.text.len() < LONGEST => {
                self.text.push(char::from(key));
                let at = usize::from(key - b' ');
                Taken::Echo(&PRINTABLE[at..=at])
            }
            b' '..=b'~' => {
                self.overlong = true;
                Taken::Echo(b"\x07")
            }
            _ => Taken::Echo(b""),
        }
    }
}

/// Printable ASCII, so that an echo can be a slice of it.
const PRINTABLE: &[u8; 95] =
    b" !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~";

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines that `keys` complete, and everything echoed.
    fn typed(keys: &[u8]) -> (Vec<Taken>, Vec<u8>) {
        let (mut line, mut done, mut echoed) = (Line::default(), Vec::new(), Vec::new());
        for key in keys {
            match line.take(*key) {
                Taken::Echo(text) => echoed.extend_from_slice(text),
                other => done.push(other),
            }
        }
        (done, echoed)
    }

    #[test]
    fn what_is_typed_is_echoed_and_completed() {
        let (done, echoed) = typed(b"status --json~\r");
        assert_eq!(done, [Taken::Line("status --json~".to_owned())]);
        assert_eq!(echoed, b"status --json~");
    }

    #[test]
    fn corrections_are_taken() {
        for (keys, line) in [
            (&b"statsu\x7f\x7fus\n"[..], "status"),
            (b"\x08\x08ipvs\n", "ipvs"),
            (b"nonsense\x15ipvs\n", "ipvs"),
            (b"ip\x1b[Av\x1bOBs\x1b[1;5C\n", "ipvs"),
            (b"ip\x04\x00\x1av\xc3\xa4s\n", "ipvs"),
        ] {
            assert_eq!(typed(keys).0, [Taken::Line(line.to_owned())], "{keys:?}");
        }
    }

    #[test]
    fn ctrl_c_throws_the_line_away_and_ends_nothing() {
        assert_eq!(
            typed(b"reboot\x03\x1b\x03ipvs\n").0,
            [Taken::Cleared, Taken::Cleared, Taken::Line("ipvs".to_owned())]
        );
    }

    #[test]
    fn a_line_that_is_too_long_is_not_run() {
        let mut keys = vec![b'a'; LONGEST + 1];
        keys.extend(b"\nipvs\n");
        assert_eq!(typed(&keys).0, [Taken::TooLong, Taken::Line("ipvs".to_owned())]);
    }
}
