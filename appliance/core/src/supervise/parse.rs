//! Unit files → units. Every problem of every file is told at once, each with its path and what to do.
//!
//! A file with a problem gives no unit, so that a mistake in one cannot stop the others; the image builder refuses
//! any problem, PID 1 logs it and runs what is right. An `after` that names a missing unit is a problem too, but the
//! unit stays: it is an order, not a need.

mod file;
#[cfg(test)]
mod tests;
mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::unit::Unit;

/// Names of units that the image itself brings; an `after` may always name them.
const BUILT_IN: &[&str] = &["logd", "devices", "engine", "console"];

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
        files.iter().filter_map(|(name, text)| file::read(name, text, &mut problems)).collect();
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
