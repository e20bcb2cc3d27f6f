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

impl Problem {
    fn new(at: &Place, what: impl Into<String>, fix: impl Into<String>) -> Self {
        let line = (at.line > 0).then_some(at.line);
        Self { path: at.path.clone(), line, what: what.into(), fix: fix.into() }
    }
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
pub struct Problems {
    wrong: Vec<Problem>,
    unknown: Vec<Problem>,
}

impl Problems {
    /// Adds a problem at `at`.
    pub fn add(&mut self, at: &Place, what: impl Into<String>, fix: impl Into<String>) {
        self.push(Problem::new(at, what, fix));
    }

    /// Adds a key that this version does not know: what it says is without effect, and the rest means what it says.
    pub fn unknown(&mut self, at: &Place, what: impl Into<String>, fix: impl Into<String>) {
        self.unknown.push(Problem::new(at, what, fix));
    }

    /// Adds a small value's own complaint.
    pub fn malformed(&mut self, at: &Place, error: Malformed) {
        self.add(at, error.what, error.fix);
    }

    /// Adds a problem that has no ordinary place.
    pub fn push(&mut self, problem: Problem) {
        self.wrong.push(problem);
    }

    /// The unknown keys in the document's order, if nothing else is wrong.
    ///
    /// # Errors
    /// All problems in the document's order, unknown keys among them.
    pub fn only_unknown(self) -> Result<Vec<Problem>, Vec<Problem>> {
        if self.wrong.is_empty() { Ok(sorted(self.unknown)) } else { Err(self.into_sorted()) }
    }

    /// All of them in the document's order.
    pub fn into_sorted(self) -> Vec<Problem> {
        sorted([self.wrong, self.unknown].concat())
    }
}

fn sorted(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by_key(|problem| problem.line);
    problems
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
