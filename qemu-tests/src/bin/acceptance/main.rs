//! The acceptance tests: `acceptance [FILTER…]` runs the cases whose names contain one of the words.
//!
//! Prints a line per step with its time, and at the end `N passed, N failed`; exits with 1 when one failed. A case that
//! failed leaves consoles, events and the last frames in `build/qemu-logs/CASE`. `HALCYON_SEED` replays a run.

mod boots;
mod case;
mod config;
mod diskless;
mod disks;
mod faults;
mod interop;
mod join;
mod links;
mod network;
mod power;
mod recovery;
mod reset;
mod serving;
mod storm;
mod strategies;
mod units;
mod volumes;
mod wizard;

use std::process::ExitCode;

use crate::case::Case;

/// Every case, in the order in which they are started.
const CASES: &[&[Case]] = &[
    serving::CASES,
    interop::CASES,
    faults::CASES,
    links::CASES,
    recovery::CASES,
    storm::CASES,
    strategies::CASES,
    // The longest of those with a single machine, which are told two at a time.
    power::CASES,
    boots::CASES,
    units::CASES,
    network::CASES,
    volumes::CASES,
    config::CASES,
    wizard::CASES,
    join::CASES,
    diskless::CASES,
    disks::CASES,
    reset::CASES,
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.iter().any(|word| word == "--list") {
        CASES.iter().copied().flatten().for_each(|case| println!("{}", case.name));
        return ExitCode::SUCCESS;
    }
    let wanted =
        |case: &&Case| words.is_empty() || words.iter().any(|word| case.name.contains(word.as_str()));
    let cases: Vec<&'static Case> = CASES.iter().copied().flatten().filter(wanted).collect();
    let (passed, failed) = case::run_all(&cases);
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
