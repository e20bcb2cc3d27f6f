//! `make bench-storm`: boxes that are director and real server at once, through every state in which such boxes are known
//! to bounce packets. Prints one table, writes it to `build/bench-storm.json`, and exits with 1 when a promise was broken.
//!
//! Behind it stands what the guard's rules cost.
//!
//! `storm [SET-UP…]` measures some of the set-ups only; `--list` names them.

mod report;
mod setups;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use halcyon_qemu_tests::seed::{Seed, VARIABLE};

use crate::report::Report;
use crate::setups::{COST, SETUPS};

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("storm: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Measures; true when every promise was kept.
fn run() -> Result<bool> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let names: Vec<&str> = SETUPS.iter().map(|setup| setup.name).chain([COST]).collect();
    if words.iter().any(|word| word == "--list") {
        names.iter().for_each(|name| println!("{name}"));
        return Ok(true);
    }
    if let Some(word) = words.iter().find(|word| !names.contains(&word.as_str())) {
        bail!("{word}: not a set-up; --list names them");
    }
    let number = Seed::number_from_environment();
    println!("drawn; {VARIABLE}={number} draws the same again");
    let mut report = Report::new(number);
    let chosen = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    for setup in SETUPS.iter().filter(|setup| chosen(setup.name)) {
        let (seed, logs) = (Seed::new(number).fork(setup.name), logs(setup.name)?);
        report.begin(setup.name, setup.size);
        if let Err(error) = setup.measure(&seed, &logs, &mut |found| report.found(setup, found)) {
            report.broke_off(setup.name, &format!("{error:#}; see {}", logs.display()));
        }
        report.end(setup);
    }
    if chosen(COST) {
        let (seed, logs) = (Seed::new(number).fork(COST), logs(COST)?);
        report.begin(COST, 2);
        match setups::cost(&seed, &logs) {
            Ok(cost) => report.costs(cost),
            Err(error) => report.broke_off(COST, &format!("{error:#}; see {}", logs.display())),
        }
    }
    print!("{report}");
    std::fs::create_dir_all("build").context("creating build")?;
    std::fs::write("build/bench-storm.json", report.json()).context("writing build/bench-storm.json")?;
    Ok(report.kept())
}

/// An empty folder for the logs of a set-up.
fn logs(name: &str) -> Result<PathBuf> {
    let logs = Path::new("build/qemu-logs").join(format!("storm-{name}"));
    // What an earlier run left.
    let _ = std::fs::remove_dir_all(&logs);
    std::fs::create_dir_all(&logs).with_context(|| format!("creating {}", logs.display()))?;
    Ok(logs)
}
