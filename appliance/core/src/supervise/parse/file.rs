//! One unit file: its keys, which of them must be there, and what they may hold. Goes on after every mistake; a key that
//! nobody asked for is one.

use toml::{Table, Value};

use super::Problem;
use super::value::{boolean, duration, number, one_of, size, socket};
use crate::supervise::unit::{Restart, StopPhase, Tty, Unit};

/// The unit that the file `name` describes; `None`: it has a problem, which is told.
pub(super) fn read(name: &str, text: &str, problems: &mut Vec<Problem>) -> Option<Unit> {
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

/// The keys of one file being taken out of its table; what is left at the end is unknown.
struct Reader<'a> {
    file: &'a str,
    table: Table,
    problems: &'a mut Vec<Problem>,
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
        if let Some(notify) = self.value("notify", boolean) {
            unit.notify = notify;
        }
        let restarts =
            [("always", Restart::Always), ("on-failure", Restart::OnFailure), ("never", Restart::Never)];
        if let Some(restart) = self.value("restart", one_of(&restarts)) {
            unit.restart = restart;
        }
        if let Some(user) = self.value("user", number(0..=u32::MAX - 1)) {
            unit.user = user;
        }
        self.capabilities(&mut unit);
        unit.memory_max = self.value("memory-max", size);
        self.environment(&mut unit);
        if let Some(critical) = self.value("critical", boolean) {
            unit.critical = critical;
        }
        let phases =
            [("first", StopPhase::First), ("in-order", StopPhase::InOrder), ("last", StopPhase::Last)];
        if let Some(stop) = self.value("stop", one_of(&phases)) {
            unit.stop = stop;
        }
        unit.heartbeat = self.value("heartbeat", duration);
        unit.real_time = self.value("real-time", number(1..=99_u8));
        if self.value("tty", boolean) == Some(true) {
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

    /// What `key` says. `None`: nothing, or what it says is wrong and told.
    fn value<T>(&mut self, key: &str, read: impl FnOnce(&Value) -> Result<T, String>) -> Option<T> {
        let read = read(&self.take(key)?);
        read.map_err(|why| self.problem(key, &why)).ok()
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
}
