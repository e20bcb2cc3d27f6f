//! The program that the kernel runs when it wants a module (`kernel.modprobe`): `init -q -- NAME`.
//!
//! Runs outside supervision, as the kernel's own helper; its exit status tells the kernel whether to try again.

use std::process::ExitCode;

use crate::modules::load::Loader;

/// Loads the named modules; success when each was loaded, is built in or was there already.
pub(crate) fn run(names: &[String]) -> ExitCode {
    let Ok(mut loader) = Loader::open() else { return ExitCode::FAILURE };
    let problems =
        names.iter().filter(|name| !name.starts_with('-')).flat_map(|name| loader.load(name)).count();
    if problems == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
