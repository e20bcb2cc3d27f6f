//! One datagram of systemd's native journal protocol → [`Entry`].
//!
//! The form (systemd, `docs/JOURNAL_NATIVE_PROTOCOL.md`): fields one after another, each either `NAME=value\n` or, for
//! values that may hold newlines, `NAME\n`, the length as a 64-bit little-endian number, that many bytes, `\n`. Names may
//! repeat. Parsing is total: whatever is wrong ends the entry there, and the fields before it are kept. Who sent it is
//! not in the datagram but in the socket's credentials; fields that begin with `_` are trusted from nobody and dropped.

use std::collections::BTreeMap;
use std::fmt::Write;

/// How a line begins, in files with the logs of several starts of the machine, that stands before those of one start; the
/// kernel's name of that start follows.
pub const START: &str = "== start ";

/// Fields kept of one entry.
pub const MAX_FIELDS: usize = 128;

/// Bytes kept of one value.
pub const MAX_VALUE: usize = 16 * 1024;

/// Longest name of a field, as journald has it.
const MAX_NAME: usize = 64;

/// One log entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Values by field name, in the order sent.
    fields: BTreeMap<String, Vec<String>>,
}

/// How serious an entry is (`syslog(3)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Emergencies, alerts, critical conditions and errors: 0–3.
    Error,
    /// 4.
    Warn,
    /// 5: what `tracing` calls INFO.
    Info,
    /// 6 and 7.
    Debug,
}

impl Level {
    /// Four or five letters for a line of text.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "ERROR",
            Self::Warn => "WARN",
            Self::Info => "INFO",
            Self::Debug => "DEBUG",
        }
    }
}

impl Entry {
    /// The entry of a datagram; `None` for one without any field (senders probe the socket with an empty one).
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let mut entry = Self::default();
        let mut rest = datagram;
        for _ in 0..MAX_FIELDS {
            let Some((name, value, after)) = next_field(rest) else { break };
            rest = after;
            if is_name(name) {
                let name = String::from_utf8_lossy(name).into_owned();
                let kept = &value[..value.len().min(MAX_VALUE)];
                entry.fields.entry(name).or_default().push(String::from_utf8_lossy(kept).into_owned());
            }
        }
        (!entry.fields.is_empty()).then_some(entry)
    }

    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(|values| values.first()).map(String::as_str)
    }

    /// Every value of a field, in the order sent.
    pub fn all(&self, name: &str) -> &[String] {
        self.fields.get(name).map_or(&[], Vec::as_slice)
    }

    /// `PRIORITY`; INFO when it is missing or nonsense.
    pub fn level(&self) -> Level {
        match self.get("PRIORITY") {
            Some("0" | "1" | "2" | "3") => Level::Error,
            Some("4") => Level::Warn,
            Some("6" | "7") => Level::Debug,
            _ => Level::Info,
        }
    }

    /// One line for people: the message and the fields that are the program's own, without control characters.
    pub fn text(&self) -> String {
        let mut line = String::new();
        push_printable(&mut line, self.get("MESSAGE").unwrap_or("(no message)"));
        for (name, values) in &self.fields {
            if is_bookkeeping(name) {
                continue;
            }
            let name = name.strip_prefix("F_").unwrap_or(name).to_ascii_lowercase();
            for value in values {
                write!(line, " {name}=").expect("a String takes everything");
                push_printable(&mut line, value);
            }
        }
        line
    }
}

/// What the sending libraries add to every entry: of use to a debugger, noise to an operator.
fn is_bookkeeping(name: &str) -> bool {
    const FIELDS: &[&str] = &[
        "MESSAGE",
        "PRIORITY",
        "TARGET",
        "SYSLOG_IDENTIFIER",
        "SYSLOG_FACILITY",
        "SYSLOG_PID",
        "SYSLOG_TIMESTAMP",
        "TID",
        "UNIT",
    ];
    FIELDS.contains(&name) || name.starts_with("CODE_") || name.starts_with("SPAN_")
}

fn push_printable(line: &mut String, text: &str) {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    line.extend(text.trim_end().chars().map(printable));
}

/// Upper-case letters, digits and `_`, not beginning with `_` or a digit.
fn is_name(name: &[u8]) -> bool {
    name.len() <= MAX_NAME
        && name.first().is_some_and(u8::is_ascii_uppercase)
        && name.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
}

/// The first field of `bytes` and what comes after it; `None` at the end and where the form is broken.
fn next_field(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let line_end = bytes.iter().position(|b| *b == b'\n');
    let line = &bytes[..line_end.unwrap_or(bytes.len())];
    if let Some(equals) = line.iter().position(|b| *b == b'=') {
        let after = line_end.map_or(&[][..], |end| &bytes[end + 1..]);
        return Some((&line[..equals], &line[equals + 1..], after));
    }
    let (length, body) = bytes[line_end? + 1..].split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let value = body.get(..length)?;
    let (newline, after) = body[length..].split_first()?;
    (*newline == b'\n').then_some((line, value, after))
}

/// Emits an entry in the native form, for a sender that has no `tracing` layer: PID 1.
pub fn emit(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut datagram = Vec::new();
    for (name, value) in fields {
        datagram.extend_from_slice(name.as_bytes());
        if value.contains('\n') {
            datagram.push(b'\n');
            datagram.extend_from_slice(&(value.len() as u64).to_le_bytes());
        } else {
            datagram.push(b'=');
        }
        datagram.extend_from_slice(value.as_bytes());
        datagram.push(b'\n');
    }
    datagram
}

/// The property that a fuzzer drives: no datagram panics, and no entry is larger than its limits.
pub fn fuzz(datagram: &[u8]) {
    let Some(entry) = Entry::parse(datagram) else { return };
    let count: usize = entry.fields.values().map(Vec::len).sum();
    assert!(count <= MAX_FIELDS, "{count} fields");
    // Each byte that is not UTF-8 becomes a replacement character of three.
    assert!(entry.fields.values().flatten().all(|value| value.len() <= 3 * MAX_VALUE), "a value is too long");
    assert!(!entry.text().contains(char::is_control), "a control character reached a line");
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
