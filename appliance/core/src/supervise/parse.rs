//! Unit files → units. Every problem of every file is told at once, each with its path and what to do.
//!
//! A file with a problem gives no unit, so that a mistake in one cannot stop the others; the image builder refuses
//! any problem, PID 1 logs it and runs what is right. An `after` that names a missing unit is a problem too, but the
//! unit stays: it is an order, not a need.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use toml::{Table, Value};

use super::unit::{Restart, Socket, SocketKind, StopPhase, Tty, Unit};

/// Names of units that the image itself brings; an `after` may always name them.
pub(crate) const BUILT_IN: &[&str] = &["logd", "devices", "engine", "console"];

/// One thing that is wrong in a unit file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Where: `FILE: key`.
    pub path: String,
    /// What is wrong; what to do.
    pub why: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.why)
    }
}

/// Reads the unit files, given as name without `.toml` → text.
pub fn parse(files: &BTreeMap<String, String>) -> (Vec<Unit>, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut units: Vec<Unit> =
        files.iter().filter_map(|(name, text)| parse_one(name, text, &mut problems)).collect();
    let in_cycles = in_cycles(&units);
    units.retain(|unit| !in_cycles.contains(&unit.name));
    for name in &in_cycles {
        problems.push(Problem {
            path: format!("{name}.toml: after"),
            why: "starts after itself, by way of the units it names; remove one of them".to_owned(),
        });
    }
    for unit in &mut units {
        let known = |name: &String| files.contains_key(name) || BUILT_IN.contains(&name.as_str());
        for missing in unit.after.iter().filter(|name| !known(name)) {
            problems.push(Problem {
                path: format!("{}.toml: after", unit.name),
                why: format!(
                    "there is no unit {missing:?}; write the name of a file in units/ without .toml"
                ),
            });
        }
        unit.after.retain(known);
    }
    problems.sort();
    (units, problems)
}

/// The units that start, at some remove, after themselves.
fn in_cycles(units: &[Unit]) -> BTreeSet<String> {
    let after: BTreeMap<&str, &BTreeSet<String>> =
        units.iter().map(|unit| (unit.name.as_str(), &unit.after)).collect();
    let reaches_itself = |start: &str| {
        let mut seen = BTreeSet::new();
        let mut open: Vec<&str> = vec![start];
        while let Some(name) = open.pop() {
            for next in after.get(name).into_iter().copied().flatten() {
                if next == start {
                    return true;
                }
                if seen.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        false
    };
    units.iter().map(|unit| unit.name.clone()).filter(|name| reaches_itself(name)).collect()
}

/// The keys of one file being taken out of its table; what is left at the end is unknown.
struct Reader<'a> {
    file: &'a str,
    table: Table,
    problems: &'a mut Vec<Problem>,
}

fn parse_one(name: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Unit> {
    let before = problems.len();
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
        problems.push(Problem {
            path: format!("{name}.toml"),
            why: "a unit's name is made of letters, digits, - and _; rename the file".to_owned(),
        });
    }
    let table = match text.parse::<Table>() {
        Ok(table) => table,
        Err(error) => {
            let line =
                error.span().map_or(1, |span| text[..span.start.min(text.len())].lines().count().max(1));
            problems.push(Problem {
                path: format!("{name}.toml: line {line}"),
                why: format!("not TOML: {}", error.message()),
            });
            return None;
        }
    };
    let mut read = Reader { file: name, table, problems };
    let unit = read.unit();
    (read.problems.len() == before).then_some(unit)
}

impl Reader<'_> {
    fn unit(&mut self) -> Unit {
        let exec = match self.take("exec") {
            Some(value) => self.strings("exec", value),
            None => {
                self.problem(
                    "exec",
                    "missing; write the program and its arguments, e.g. [\"/opt/app/server\"]",
                );
                Vec::new()
            }
        };
        let mut unit = Unit::new(self.file, exec);
        match unit.exec.first() {
            Some(program) if program.starts_with('/') => {}
            Some(program) => {
                self.problem(
                    "exec",
                    &format!("{program:?} is not an absolute path; there is no search path"),
                );
            }
            None if self.problems.is_empty() => {
                self.problem("exec", "empty; write the program and its arguments")
            }
            None => {}
        }
        if unit.exec.iter().any(|argument| argument.contains('\0')) {
            self.problem("exec", "contains a NUL character, which no program can be given; remove it");
        }
        if let Some(value) = self.take("after") {
            unit.after = self.strings("after", value).into_iter().collect();
        }
        if let Some(value) = self.boolean("notify") {
            unit.notify = value;
        }
        if let Some(value) = self.choice("restart", &["always", "on-failure", "never"]) {
            unit.restart = [Restart::Always, Restart::OnFailure, Restart::Never][value];
        }
        if let Some(value) = self.integer("user", 0..=i64::from(u32::MAX - 1)) {
            unit.user = u32::try_from(value).expect("the range is u32's");
        }
        self.capabilities(&mut unit);
        if let Some(value) = self.take("memory-max") {
            unit.memory_max = self.size("memory-max", &value);
        }
        self.environment(&mut unit);
        if let Some(value) = self.boolean("critical") {
            unit.critical = value;
        }
        if let Some(value) = self.choice("stop", &["first", "in-order", "last"]) {
            unit.stop = [StopPhase::First, StopPhase::InOrder, StopPhase::Last][value];
        }
        if let Some(value) = self.take("heartbeat") {
            unit.heartbeat = self.duration("heartbeat", &value);
        }
        if let Some(value) = self.integer("real-time", 1..=99) {
            unit.real_time = Some(u8::try_from(value).expect("the range is 1-99"));
        }
        if self.boolean("tty") == Some(true) {
            unit.tty = Tty::Template;
        }
        if let Some(value) = self.take("directories") {
            unit.directories = self.strings("directories", value);
        }
        self.sockets(&mut unit);
        for key in std::mem::take(&mut self.table).keys() {
            self.problem(key, "unknown key; remove it or correct its spelling");
        }
        unit
    }

    fn problem(&mut self, key: &str, why: &str) {
        self.problems.push(Problem { path: format!("{}.toml: {key}", self.file), why: why.to_owned() });
    }

    fn take(&mut self, key: &str) -> Option<Value> {
        self.table.remove(key)
    }

    fn strings(&mut self, key: &str, value: Value) -> Vec<String> {
        let Value::Array(items) = value else {
            self.problem(key, &format!("{} is not a list; write [\"…\"]", value.type_str()));
            return Vec::new();
        };
        let mut strings = Vec::new();
        for (index, item) in items.into_iter().enumerate() {
            match item {
                Value::String(text) => strings.push(text),
                other => self.problem(
                    &format!("{key}[{index}]"),
                    &format!("{} is not a string; put it in quotes", other.type_str()),
                ),
            }
        }
        strings
    }

    fn boolean(&mut self, key: &str) -> Option<bool> {
        match self.take(key)? {
            Value::Boolean(value) => Some(value),
            other => {
                self.problem(key, &format!("{} is not a boolean; write true or false", other.type_str()));
                None
            }
        }
    }

    fn integer(&mut self, key: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        match self.take(key)? {
            Value::Integer(value) if range.contains(&value) => Some(value),
            other => {
                self.problem(
                    key,
                    &format!("{other} is not a number from {} to {}; write one", range.start(), range.end()),
                );
                None
            }
        }
    }

    fn choice(&mut self, key: &str, choices: &[&str]) -> Option<usize> {
        let value = self.take(key)?;
        let chosen = value.as_str().and_then(|text| choices.iter().position(|choice| *choice == text));
        if chosen.is_none() {
            self.problem(key, &format!("{value} is none of {}; write one of them", choices.join(", ")));
        }
        chosen
    }

    fn capabilities(&mut self, unit: &mut Unit) {
        let Some(value) = self.take("capabilities") else { return };
        for (index, name) in self.strings("capabilities", value).into_iter().enumerate() {
            match name.parse() {
                Ok(capability) => {
                    unit.capabilities.insert(capability);
                }
                Err(()) => self.problem(
                    &format!("capabilities[{index}]"),
                    &format!("the kernel has no capability {name:?}; write e.g. \"net_bind_service\""),
                ),
            }
        }
    }

    fn environment(&mut self, unit: &mut Unit) {
        let Some(value) = self.take("environment") else { return };
        let Value::Table(table) = value else {
            self.problem("environment", "not a table; write { NAME = \"value\" }");
            return;
        };
        for (key, value) in table {
            let path = format!("environment.{key}");
            match value {
                _ if key.is_empty() || key.contains(['=', '\0']) => {
                    self.problem(&path, "a variable's name is not empty and has no = in it; rename it");
                }
                Value::String(text) if !text.contains('\0') => {
                    unit.environment.insert(key, text);
                }
                Value::String(_) => self.problem(&path, "contains a NUL character; remove it"),
                other => {
                    self.problem(&path, &format!("{} is not a string; put it in quotes", other.type_str()))
                }
            }
        }
    }

    fn sockets(&mut self, unit: &mut Unit) {
        let Some(value) = self.take("sockets") else { return };
        let Value::Array(items) = value else {
            self.problem("sockets", "not a list; write [{ kind = \"stream\", path = \"/run/…\" }]");
            return;
        };
        for (index, item) in items.into_iter().enumerate() {
            let path = format!("sockets[{index}]");
            match socket(item) {
                Ok(socket) => unit.sockets.push(socket),
                Err(why) => self.problem(&path, why),
            }
        }
    }

    /// Bytes: a number, or a number with K, M or G (powers of 1024).
    fn size(&mut self, key: &str, value: &Value) -> Option<u64> {
        let bytes = match value {
            Value::Integer(bytes) => u64::try_from(*bytes).ok(),
            Value::String(text) => {
                let (digits, shift) = match text.as_bytes().last() {
                    Some(b'K') => (&text[..text.len() - 1], 10),
                    Some(b'M') => (&text[..text.len() - 1], 20),
                    Some(b'G') => (&text[..text.len() - 1], 30),
                    _ => (text.as_str(), 0),
                };
                let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
                plain.then(|| digits.parse::<u64>().ok()).flatten().and_then(|n| n.checked_mul(1 << shift))
            }
            _ => None,
        };
        match bytes {
            Some(bytes) if bytes >= 1 << 20 => Some(bytes),
            Some(_) => {
                self.problem(
                    key,
                    &format!("{value} is less than 1M, in which no program can start; write more"),
                );
                None
            }
            None => {
                self.problem(
                    key,
                    &format!("{value} is not a size; write e.g. \"512M\" (K, M, G: powers of 1024)"),
                );
                None
            }
        }
    }

    /// Whole seconds or milliseconds: `5s`, `500ms`.
    fn duration(&mut self, key: &str, value: &Value) -> Option<Duration> {
        let text = value.as_str().unwrap_or_default();
        let parsed = match text.strip_suffix("ms") {
            Some(digits) => digits.parse().ok().map(Duration::from_millis),
            None => text.strip_suffix('s').and_then(|digits| digits.parse().ok()).map(Duration::from_secs),
        };
        let sensible =
            parsed.filter(|time| (Duration::from_millis(100)..=Duration::from_secs(3600)).contains(time));
        if sensible.is_none() {
            self.problem(key, &format!("{value} is not a time from 100ms to 3600s; write e.g. \"5s\""));
        }
        sensible
    }
}

fn socket(value: Value) -> Result<Socket, &'static str> {
    let Value::Table(mut table) = value else {
        return Err("not a table; write { kind = \"stream\", path = \"/run/…\" }");
    };
    let kind = match table.remove("kind").as_ref().and_then(Value::as_str) {
        Some("datagram") => SocketKind::Datagram,
        Some("stream") => SocketKind::Stream,
        _ => return Err("kind is neither \"datagram\" nor \"stream\"; write one of them"),
    };
    let path = match table.remove("path") {
        Some(Value::String(path)) if path.starts_with('/') && path.len() < 108 => path,
        _ => return Err("path is not an absolute path of less than 108 bytes; write one below /run"),
    };
    let mode = match table.remove("mode") {
        None => 0o666,
        Some(Value::Integer(mode @ 0..=0o777)) => u32::try_from(mode).expect("the range is that of modes"),
        Some(_) => return Err("mode is not an access mode; write e.g. 0o660"),
    };
    if !table.is_empty() {
        return Err("has an unknown key; write kind, path and mode only");
    }
    Ok(Socket { kind, path, mode })
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
