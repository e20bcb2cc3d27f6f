//! A document that is pasted at a console: its text, then its signature's, then a line with a single dot. Decides where
//! one ends and the other begins; whether they fit is the engine's to say, so that nothing that a line garbles is taken.

use anyhow::{Result, bail};
use halcyon_core::config::check::LARGEST;

/// How a signature begins (minisign(1)); no TOML line does.
const SIGNATURE: &str = "untrusted comment:";
/// The line that ends it.
const END: &[u8] = b".";
/// Ctrl-C.
const INTERRUPT: u8 = 3;

/// What was pasted so far.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Paste {
    text: Vec<u8>,
    /// Where the last line begins.
    line: usize,
    /// The byte before was a carriage return.
    returned: bool,
}

/// What a byte means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pasted {
    /// There is more to come.
    More,
    /// That was all.
    Whole(String),
    /// It was given up, for this reason.
    Ended(&'static str),
}

impl Paste {
    /// Takes a byte as the terminal gives it: lines end with a carriage return, a line feed, or both.
    pub(crate) fn take(&mut self, byte: u8) -> Pasted {
        let follows = std::mem::replace(&mut self.returned, byte == b'\r');
        match byte {
            INTERRUPT => return Pasted::Ended("nothing was pasted, nothing was done"),
            b'\n' if follows => return Pasted::More,
            b'\r' | b'\n' => {
                if self.text[self.line..] == *END {
                    self.text.truncate(self.line);
                    return match String::from_utf8(std::mem::take(&mut self.text)) {
                        Ok(text) => Pasted::Whole(text),
                        Err(_) => Pasted::Ended("that is not UTF-8 text, so nothing was done"),
                    };
                }
                self.text.push(b'\n');
                self.line = self.text.len();
            }
            _ => self.text.push(byte),
        }
        if self.text.len() > 2 * LARGEST {
            return Pasted::Ended("that is longer than any document, so nothing was done");
        }
        Pasted::More
    }
}

/// A document and its signature, one behind the other.
///
/// # Errors
/// When there is no signature.
pub(crate) fn split(text: &str) -> Result<(String, String)> {
    let begins = text.rmatch_indices(SIGNATURE).map(|(at, _)| at);
    // A signature has a comment that is trusted, too, whose line this must not be taken for.
    let mut at_lines = begins.filter(|at| *at == 0 || text.as_bytes()[at - 1] == b'\n');
    let Some(at) = at_lines.next() else {
        bail!(
            "there is no signature behind the document; paste FILE, then FILE.minisig, then a line with a dot"
        );
    };
    let (document, signature) = text.split_at(at);
    Ok((document.to_owned(), signature.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pasted(keys: &[u8]) -> Pasted {
        let mut paste = Paste::default();
        keys.iter().map(|key| paste.take(*key)).find(|said| *said != Pasted::More).unwrap_or(Pasted::More)
    }

    #[test]
    fn a_dot_by_itself_ends_it_whatever_ends_the_lines() {
        for keys in [
            &b"a = 1\r\tb. = \".\"\r\r.\r"[..],
            b"a = 1\n\tb. = \".\"\n\n.\n",
            b"a = 1\r\n\tb. = \".\"\r\n\r\n.\r\n",
        ] {
            assert_eq!(pasted(keys), Pasted::Whole("a = 1\n\tb. = \".\"\n\n".to_owned()));
        }
        assert_eq!(pasted(b"..\r. \ra.\r"), Pasted::More);
    }

    #[test]
    fn it_can_be_given_up_and_is_not_endless() {
        assert!(matches!(pasted(b"a = 1\r\x03"), Pasted::Ended(_)));
        assert!(matches!(pasted(b"\xff\r.\r"), Pasted::Ended(_)));
        assert!(matches!(pasted(&vec![b'#'; 2 * LARGEST + 1]), Pasted::Ended(_)));
    }

    #[test]
    fn the_signature_begins_with_its_comment() {
        let signature = "untrusted comment: a\nRUQ=\ntrusted comment: untrusted comment: b\nxyz=\n";
        let document = "x = 1 # untrusted comment: c\n";
        let split = split(&format!("{document}{signature}")).unwrap();
        assert_eq!(split, (document.to_owned(), signature.to_owned()));
        assert!(super::split(document).unwrap_err().to_string().contains("no signature"));
    }
}
