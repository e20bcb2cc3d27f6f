//! Reads a TOML table key by key and goes on after every mistake: a value of the wrong type, a missing key and a key
//! that nobody asked for each become a [`Problem`](super::problem::Problem), and the rest is read all the same (serde
//! would stop at the first). Knows TOML and nothing of the document; [`draft`](super::draft) says what to read.

mod key;

use std::collections::BTreeSet;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::draft::List;
use super::problem::{Place, Problem, Problems, Written};
use super::scalar::kind;
use super::types::Malformed;
use key::{bare, nearest, shown};

/// Reads `document`'s root table with `read`. `None`: it is not TOML, and the first syntax error is told, alone, for
/// what follows it may be nonsense. Keys written twice do not confuse the rest: they are told beside it.
pub(super) fn document<T>(
    document: &str,
    problems: &mut Problems,
    read: impl FnOnce(&mut Table<'_, '_>) -> T,
) -> Option<T> {
    let lines = Lines::of(document);
    let (root, errors) = DeTable::parse_recoverable(document);
    let only_duplicates = errors.iter().all(|error| error.message() == "duplicate key");
    for error in errors.iter().take(if only_duplicates { usize::MAX } else { 1 }) {
        let (line, column) = lines.position(document, error.span().map_or(0, |span| span.start));
        problems.push(Problem {
            path: format!("line {line}, column {column}"),
            line: None,
            what: error.message().lines().next().unwrap_or("not TOML").to_owned(),
            fix: if only_duplicates { "remove one of the two" } else { "correct the TOML there" }.to_owned(),
        });
    }
    if !only_duplicates {
        return None;
    }
    let at = Place::default();
    Some(Table { at, entries: root.get_ref(), lines: &lines, asked: BTreeSet::new(), problems }.finish(read))
}

/// One table, and which of its keys have been asked for.
pub(super) struct Table<'d, 'p> {
    at: Place,
    entries: &'d DeTable<'d>,
    lines: &'p Lines,
    asked: BTreeSet<&'static str>,
    problems: &'p mut Problems,
}

impl Table<'_, '_> {
    /// Where the table stands.
    pub(super) fn at(&self) -> Place {
        self.at.clone()
    }

    /// Where `key` stands, or would.
    pub(super) fn place(&self, key: &str) -> Place {
        let line = self.entries.get_key_value(key).map(|(key, _)| self.lines.at(key));
        let path = if self.at.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at.path) };
        Place { path, line: line.unwrap_or(self.at.line) }
    }

    /// Tells every one of `keys` that is missing, with an example of its value in TOML.
    pub(super) fn require(&mut self, keys: &[(&str, &str)]) {
        for (key, example) in keys {
            if !self.entries.contains_key(*key) {
                let fix = if *example == "[[]]" || *example == "[]" {
                    example.replace("[]", &format!("[{}]", self.place(key).path))
                } else {
                    format!("{key} = {example}")
                };
                self.problems.add(&self.place(key), "missing", format!("write it, as in {fix}"));
            }
        }
    }

    /// Whether `key` is there, right or wrong.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Tells when more than one of several keys is there, or none.
    pub(super) fn exactly_one(&mut self, keys: &[&str], example: &str) {
        let mut there = keys.iter().filter(|key| self.entries.contains_key(**key));
        let Some(first) = there.next() else {
            let what = format!("has neither {}", keys.join(" nor "));
            self.problems.add(&self.at, what, format!("write one of them, as in {example}"));
            return;
        };
        for other in there {
            self.problems.add(&self.place(other), format!("contradicts {first}"), "write one of the two");
        }
    }

    /// Refuses `keys` that a later version will know.
    pub(super) fn later(&mut self, keys: &[&'static str]) {
        for key in keys.iter().copied() {
            self.asked.insert(key);
            if self.entries.contains_key(key) {
                self.problems.unknown(&self.place(key), "not in this version", "remove it");
            }
        }
    }

    /// Reads the value of `key`. `None`: it is missing, or wrong and told.
    pub(super) fn read<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Malformed>,
    ) -> Option<Written<T>> {
        self.asked.insert(key);
        let value = self.entries.get(key)?;
        let at = self.place(key);
        match read(value.get_ref()) {
            Ok(value) => Some(Written { value, at }),
            Err(error) => {
                self.problems.malformed(&at, error);
                None
            }
        }
    }

    /// As [`read`](Self::read), and `default` when the key is missing.
    pub(super) fn read_or<T>(
        &mut self,
        key: &'static str,
        default: T,
        read: impl FnOnce(&DeValue<'_>) -> Result<T, Malformed>,
    ) -> Option<Written<T>> {
        if self.entries.contains_key(key) {
            return self.read(key, read);
        }
        self.asked.insert(key);
        Some(Written { value: default, at: self.place(key) })
    }

    /// Reads a value that may be written alone or as an array of several.
    pub(super) fn one_or_list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Malformed>,
    ) -> List<T> {
        if matches!(self.entries.get(key).map(Spanned::get_ref), Some(DeValue::Array(_))) {
            return self.list(key, read);
        }
        let one = self.read(key, read);
        let complete = one.is_some() || !self.entries.contains_key(key);
        List { items: one.into_iter().collect(), complete }
    }

    /// Reads the elements of an array; wrong ones are told and left out. A missing key is an empty array.
    pub(super) fn list<T>(
        &mut self,
        key: &'static str,
        read: impl Fn(&DeValue<'_>) -> Result<T, Malformed>,
    ) -> List<T> {
        self.asked.insert(key);
        let mut list = List { items: Vec::new(), complete: true };
        let Some(value) = self.entries.get(key) else { return list };
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong_kind(key, value, "an array", "write it in brackets, as in [\"…\"]");
            list.complete = false;
            return list;
        };
        for (index, element) in array.iter().enumerate() {
            let at = self.element(key, index, element);
            match read(element.get_ref()) {
                Ok(value) => list.items.push(Written { value, at }),
                Err(error) => {
                    list.complete = false;
                    self.problems.malformed(&at, error);
                }
            }
        }
        list
    }

    /// Tells an array that was written and holds nothing.
    pub(super) fn not_empty(&mut self, key: &str, fix: &str) {
        if let Some(DeValue::Array(array)) = self.entries.get(key).map(Spanned::get_ref)
            && array.is_empty()
        {
            self.problems.add(&self.place(key), "is empty", fix);
        }
    }

    /// Reads a table within this one.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Table<'_, '_>) -> T,
    ) -> Option<T> {
        self.asked.insert(key);
        let value = self.entries.get(key)?;
        let at = self.place(key);
        match value.get_ref() {
            DeValue::Table(entries) => Some(self.within(at, entries).finish(read)),
            DeValue::Array(array) if array.iter().any(|value| value.get_ref().is_table()) => {
                let fix = format!("there is one at most: write it once, as [{}]", bare(&at.path));
                self.problems.add(&at, "is an array of tables, not a table", fix);
                None
            }
            _ => {
                self.wrong_kind(key, value, "a table", &format!("write a section [{}]", bare(&at.path)));
                None
            }
        }
    }

    /// Reads an array of tables.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        mut read: impl FnMut(&mut Table<'_, '_>) -> T,
    ) -> Vec<T> {
        self.asked.insert(key);
        let Some(value) = self.entries.get(key) else { return Vec::new() };
        let at = self.place(key);
        let advice = format!("begin each with [[{}]]", bare(&at.path));
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong_kind(key, value, "an array of tables", &advice);
            return Vec::new();
        };
        let mut tables = Vec::new();
        for (index, element) in array.iter().enumerate() {
            let at = self.element(key, index, element);
            match element.get_ref() {
                DeValue::Table(entries) => tables.push(self.within(at, entries).finish(&mut read)),
                other => self.problems.add(&at, format!("is {}, not a table", kind(other)), advice.clone()),
            }
        }
        tables
    }

    /// Whether `key` is missing or holds nothing but tables.
    pub(super) fn only_tables(&self, key: &str) -> bool {
        match self.entries.get(key).map(Spanned::get_ref) {
            None => true,
            Some(DeValue::Array(array)) => array.iter().all(|value| value.get_ref().is_table()),
            Some(_) => false,
        }
    }

    /// Reads a table whose keys are names of the document's own.
    pub(super) fn map<K, V>(
        &mut self,
        key: &'static str,
        read: impl Fn(&DeValue<'_>) -> Result<V, Malformed>,
    ) -> Vec<(Written<K>, V)>
    where
        K: FromStr<Err = Malformed>,
    {
        self.asked.insert(key);
        let Some(value) = self.entries.get(key) else { return Vec::new() };
        let DeValue::Table(entries) = value.get_ref() else {
            self.wrong_kind(key, value, "a table", "write it in braces, as in { name = value }");
            return Vec::new();
        };
        let path = self.place(key).path;
        let mut pairs = Vec::new();
        for (name, value) in entries {
            let at = Place { path: format!("{path}.{}", shown(name.get_ref())), line: self.lines.at(name) };
            match (name.get_ref().parse(), read(value.get_ref())) {
                (Ok(name), Ok(value)) => pairs.push((Written { value: name, at }, value)),
                (name, value) => {
                    for error in [name.err(), value.err()].into_iter().flatten() {
                        self.problems.malformed(&at, error);
                    }
                }
            }
        }
        pairs
    }

    /// Where an element of the array `key` stands.
    fn element(&self, key: &str, index: usize, element: &Spanned<DeValue<'_>>) -> Place {
        Place {
            path: format!("{}[{index}]", self.place(key).path),
            line: self.lines.at_offset(element.span().start),
        }
    }

    fn within<'q>(&'q mut self, at: Place, entries: &'q DeTable<'q>) -> Table<'q, 'q> {
        Table { at, entries, lines: self.lines, asked: BTreeSet::new(), problems: self.problems }
    }

    /// Reads, then tells the keys that were not asked for.
    fn finish<T>(mut self, read: impl FnOnce(&mut Table<'_, '_>) -> T) -> T {
        let value = read(&mut self);
        for (key, _) in self.entries {
            let text: &str = key.get_ref();
            if self.asked.contains(text) {
                continue;
            }
            let dot = if self.at.path.is_empty() { "" } else { "." };
            let at =
                Place { path: format!("{}{dot}{}", self.at.path, shown(text)), line: self.lines.at(key) };
            let fix = match nearest(text, &self.asked) {
                Some(near) => format!("write {near}, or remove it"),
                None => "remove it".to_owned(),
            };
            self.problems.unknown(&at, "unknown key", fix);
        }
        value
    }

    fn wrong_kind(&mut self, key: &str, value: &Spanned<DeValue<'_>>, wanted: &str, fix: &str) {
        self.problems.add(&self.place(key), format!("is {}, not {wanted}", kind(value.get_ref())), fix);
    }
}

/// Where the lines of a document begin.
struct Lines(Vec<usize>);

impl Lines {
    fn of(document: &str) -> Self {
        Self(document.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1).collect())
    }

    /// The line of a byte, from 1.
    fn at_offset(&self, offset: usize) -> u32 {
        let before = self.0.partition_point(|start| *start <= offset);
        u32::try_from(before + 1).unwrap_or(u32::MAX)
    }

    fn at(&self, key: &Spanned<DeString<'_>>) -> u32 {
        self.at_offset(key.span().start)
    }

    /// Line and column of a byte, both from 1; columns count characters.
    fn position(&self, document: &str, offset: usize) -> (u32, usize) {
        let before = self.0.partition_point(|start| *start <= offset);
        let start = before.checked_sub(1).map_or(0, |line| self.0[line]);
        let column = document.get(start..offset).map_or(0, |text| text.chars().count());
        (self.at_offset(offset), column + 1)
    }
}
