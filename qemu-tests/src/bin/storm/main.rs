//! `make bench-storm`: boxes that are director and real server at once, through every state in which such boxes are known
//! to bounce packets. Prints one table, writes it to `build/bench-storm.json`, and exits with 1 when a promise was broken.
//!
//! `storm [SET-UP…]` measures some of the set-ups only; `--list` names them.

mod report;
mod setups;

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use halcyon_qemu_tests::seed::{Seed, VARIABLE};

use crate::report::Report;
use crate::setups::SETUPS;

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
    if words.iter().any(|word| word == "--list") {
        SETUPS.iter().for_each(|setup| println!("{}", setup.name));
        return Ok(true);
    }
    if let Some(word) = words.iter().find(|word| SETUPS.iter().all(|setup| setup.name != **word)) {
        bail!("{word}: not a set-up; --list names them");
    }
    let number = Seed::number_from_environment();
    println!("drawn; {VARIABLE}={number} draws the same again");
    let mut report = Report::new(number);
    let chosen =
        SETUPS.iter().filter(|setup| words.is_empty() || words.iter().any(|word| word == setup.name));
    for setup in chosen {
        let seed = Seed::new(number).fork(setup.name);
        let logs = Path::new("build/qemu-logs").join(format!("storm-{}", setup.name));
        // What an earlier run left.
        let _ = std::fs::remove_dir_all(&logs);
        std::fs::create_dir_all(&logs).with_context(|| format!("creating {}", logs.display()))?;
        report.begin(setup);
        if let Err(error) = setup.measure(&seed, &logs, &mut |found| report.found(setup, found)) {
            report.broke_off(setup, &format!("{error:#}; see {}", logs.display()));
        }
        report.end(setup);
    }
    print!("{report}");
    std::fs::create_dir_all("build").context("creating build")?;
    std::fs::write("build/bench-storm.json", report.json()).context("writing build/bench-storm.json")?;
    Ok(report.kept())
}
