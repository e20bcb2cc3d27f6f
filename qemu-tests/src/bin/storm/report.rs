//! The table, as it is printed and as JSON, and the verdict.

use std::fmt;
use std::time::Instant;

use halcyon_qemu_tests::storm::cost::{Cost, Verdict};
use halcyon_qemu_tests::storm::figures::Figures;
use halcyon_qemu_tests::storm::held::Alive;
use halcyon_qemu_tests::storm::quartet::{self, COLUMNS};
use halcyon_qemu_tests::storm::walk::{Found, Occasion, State};
use serde::Serialize;

use crate::setups::Setup;

/// Everything that was found.
#[derive(Serialize)]
pub(crate) struct Report {
    seed: u64,
    rows: Vec<Row>,
    open: Vec<Open>,
    cost: Option<Cost>,
    broken: Vec<String>,
    #[serde(skip)]
    began: Instant,
}

/// A set-up in a state.
#[derive(Serialize)]
struct Row {
    state: State,
    setup: &'static str,
    size: usize,
    cells: Vec<Figures>,
}

/// A set-up's open connections.
#[derive(Serialize)]
struct Open {
    occasion: Occasion,
    setup: &'static str,
    #[serde(flatten)]
    alive: Alive,
}

impl Report {
    pub(crate) fn new(seed: u64) -> Self {
        let (rows, open, broken) = (Vec::new(), Vec::new(), Vec::new());
        Self { seed, rows, open, cost: None, broken, began: Instant::now() }
    }

    /// A set-up is about to be measured.
    pub(crate) fn begin(&self, name: &str, size: usize) {
        println!("{:>4} s  {name}: {size} boxes boot", self.began.elapsed().as_secs());
    }

    /// Takes and prints what a walk found, and judges it.
    pub(crate) fn found(&mut self, setup: &Setup, found: Found) {
        let elapsed = self.began.elapsed().as_secs();
        match found {
            Found::State(state, cells) => {
                let line: Vec<_> = cells.iter().map(ToString::to_string).collect();
                println!("{elapsed:>4} s  {}: {}: {}", setup.name, state.name(), line.join(" | "));
                if setup.judged {
                    for (cell, column) in cells.iter().zip(COLUMNS) {
                        let promise = state.promise(setup.size, setup.balanced, quartet::is_sticky(column));
                        let place = format!("{}, {}, {column}", setup.name, state.name());
                        self.complain(
                            promise.broken(cell).into_iter().map(|what| format!("{place}: {what}")),
                        );
                    }
                }
                self.rows.push(Row { state, setup: setup.name, size: setup.size, cells });
            }
            Found::Open(occasion, alive) => {
                println!("{elapsed:>4} s  {}: open connections {}: {alive}", setup.name, occasion.name());
                if setup.judged && (alive.alive < alive.asked || alive.asked == 0) {
                    let place = format!("{}, open connections {}", setup.name, occasion.name());
                    self.complain([format!("{place}: {alive}")]);
                }
                self.open.push(Open { occasion, setup: setup.name, alive });
            }
        }
    }

    /// A walk has come to its end. Where nothing is promised the storm has to show, or this bench shows nothing.
    pub(crate) fn end(&mut self, setup: &Setup) {
        for (state, ttl) in [(State::Normal, 64), (State::Ttl255, 255)] {
            let mut rows = self.rows.iter().filter(|row| row.setup == setup.name && row.state == state);
            let looped = rows.any(|row| row.cells.iter().all(|cell| cell.crossings >= ttl - 1));
            if !setup.judged && !looped {
                self.complain([format!(
                    "{}, {}: no packet crossed {} times",
                    setup.name,
                    state.name(),
                    ttl - 1
                )]);
            }
        }
    }

    /// A walk came to an early end.
    pub(crate) fn broke_off(&mut self, name: &str, why: &str) {
        self.complain([format!("{name}: {why}")]);
    }

    /// Takes what the guard costs, and judges it.
    pub(crate) fn costs(&mut self, cost: Cost) {
        if cost.verdict() == Verdict::Broken {
            self.complain([format!("the guard costs {:.1} % processor time", 100.0 * cost.share())]);
        }
        self.cost = Some(cost);
    }

    fn complain(&mut self, complaints: impl IntoIterator<Item = String>) {
        for complaint in complaints {
            println!("        BROKEN {complaint}");
            self.broken.push(complaint);
        }
    }

    /// True when nothing was broken.
    pub(crate) fn kept(&self) -> bool {
        self.broken.is_empty() && (self.cost.is_some() || !self.rows.is_empty())
    }

    /// The whole of it.
    pub(crate) fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("numbers and names are JSON")
    }

    /// The rows of the pairs by state, then three members with the worst of all states.
    fn lines(&self) -> Vec<(String, &'static str, Vec<String>)> {
        let cells = |cells: &[Figures]| cells.iter().map(ToString::to_string).collect();
        let mut lines = Vec::new();
        for state in State::ALL {
            for row in self.rows.iter().filter(|row| row.state == state && row.size == 2) {
                lines.push((state.name().to_owned(), row.setup, cells(&row.cells)));
            }
        }
        let three = self.rows.iter().filter(|row| row.size > 2);
        let worst = three
            .map(|row| row.cells.clone())
            .reduce(|one, other| one.into_iter().zip(other).map(|(one, other)| one.worse(other)).collect());
        if let Some(worst) = worst {
            lines.push((
                "three co-located members, the worst of all states".into(),
                "weights",
                cells(&worst),
            ));
        }
        lines
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\nanswered/asked, shares in %, c: most crossings of one packet, f: frames to the VIP for each of a client's\n"
        )?;
        let mut line = |state: &str, setup: &str, cells: &[String]| {
            write!(f, "{state:<50} {setup:<11}")?;
            cells.iter().try_for_each(|cell| write!(f, " {cell:<26}"))?;
            writeln!(f)
        };
        line("state", "set-up", &COLUMNS.map(str::to_owned))?;
        let mut last = String::new();
        for (state, setup, cells) in self.lines() {
            line(if state == last { "" } else { &state }, setup, &cells)?;
            last = state;
        }
        writeln!(f, "\nopen connections of the box that never stopped")?;
        for open in &self.open {
            let answered = format!("{}/{}", open.alive.alive, open.alive.asked);
            writeln!(f, "{:<50} {:<11} {answered}", open.occasion.name(), open.setup)?;
        }
        writeln!(f)?;
        if let Some(cost) = &self.cost {
            writeln!(f, "{cost}")?;
        }
        match self.broken.len() {
            0 => writeln!(f, "every promise was kept"),
            count => {
                writeln!(f, "{count} BROKEN")?;
                self.broken.iter().try_for_each(|complaint| writeln!(f, "  {complaint}"))
            }
        }
    }
}
