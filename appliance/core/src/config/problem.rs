//! What is wrong with a document, in words for the person who wrote it: where, what, and what to do. Every check adds
//! to one list, so that all problems are told at once. Decides nothing.

use std::fmt;

use super::types::Malformed;

/// One problem of a document, printed as `path: what is wrong; what to do (line 12)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as TOML counts: `member[1].interface[0].mac`, elements from 0. A syntax error has `line 3, column 7`.
    pub path: String,
    /// Line in the document, from 1; `None` where the path says it, or for the document as a whole.
    pub line: Option<u32>,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub fix: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.path, self.what, self.fix)?;
        match self.line {
            Some(line) => write!(f, " (line {line})"),
            None => Ok(()),
        }
    }
}

/// A place in the document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// As [`Problem::path`].
    pub path: String,
    /// Line, from 1; 0 for the document as a whole.
    pub line: u32,
}

/// A value with the place where it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written<T> {
    /// The value.
    pub value: T,
    /// Where it stands; for a default, where it would.
    pub at: Place,
}

/// The list that every check adds to.
#[derive(Debug, Default)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// Adds a problem at `at`.
    pub fn add(&mut self, at: &Place, what: impl Into<String>, fix: impl Into<String>) {
        self.push(Problem {
            path: at.path.clone(),
            line: (at.line > 0).then_some(at.line),
            what: what.into(),
            fix: fix.into(),
        });
    }

    /// Adds a small value's own complaint.
    pub fn malformed(&mut self, at: &Place, error: Malformed) {
        self.add(at, error.what, error.fix);
    }

    /// Adds a problem that has no ordinary place.
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them in the document's order.
    pub fn into_sorted(mut self) -> Vec<Problem> {
        self.0.sort_by_key(|problem| problem.line);
        self.0
    }
}

/// `text` in quotes, escaped, and cut when it is too long to be shown.
pub fn quoted(text: &str) -> String {
    const SHOWN: usize = 48;
    match text.char_indices().nth(SHOWN) {
        Some((cut, _)) => format!("{:?}…", &text[..cut]),
        None => format!("{text:?}"),
    }
}

/// ASCII text, cut when it is too long to be shown.
pub fn cut(text: &str) -> String {
    const SHOWN: usize = 48;
    if text.len() <= SHOWN { text.to_owned() } else { format!("{}…", &text[..SHOWN]) }
}
