//! STATE for as long as the box runs: opened once its disk is there, let go of when that is gone or fails, opened again
//! when it is back. Decides when; [`state`] does it.

use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use super::{LOG, Start, clock, reset, state, tell};
use crate::{devices, machine};

/// Between two looks whether the disk is still there.
const LOOK: Duration = Duration::from_secs(2);

/// Between two attempts to open a volume that cannot be used.
const AGAIN: Duration = Duration::from_secs(5);

/// Never ends where the box was started from a disk.
pub(super) fn tend(start: &Start) {
    let Some(disk) = start.await_disk() else { return devices::ready() };
    let mut keep = state::Keep::Yes;
    if start.says(crate::cmdline::RESET) {
        keep = state::Keep::No;
        match reset::forget(&disk) {
            Ok(()) => tell(&disk, "keys, history and STATE are forgotten, as the kernel's command line asks"),
            Err(why) => tell(&disk, &format!("nothing was reset: {why}")),
        }
        devices::ready();
    }
    let mut told = None;
    while let Some(disk) = start.await_disk() {
        let why = match open(&disk, keep) {
            Ok(()) => {
                keep = state::Keep::Yes;
                if told.take().is_some() {
                    tell(&disk, "STATE is used again");
                }
                let why = serve();
                format!("STATE is lost: {why}; until it is back, logs are kept in memory")
            }
            Err(why) => format!("STATE is not used: {why}"),
        };
        if told.as_ref() != Some(&why) {
            tell(&disk, &why);
            told = Some(why);
        }
        state::let_go();
        thread::sleep(AGAIN);
    }
}

/// Mounts the volume, unless an earlier run of this unit did, and sees whether it takes writes.
fn open(disk: &str, keep: state::Keep) -> Result<(), String> {
    if !state::is_open() {
        state::open(disk, keep)?.iter().for_each(|news| tell(disk, news));
    }
    state::directory(LOG.0, LOG.1)?;
    if let Some(done) = machine::raised_to().and_then(clock::restore) {
        eprintln!("{done}");
    }
    save_clock()
}

/// Until the volume is lost; why.
fn serve() -> String {
    let mut saved = Instant::now();
    loop {
        thread::sleep(LOOK);
        if !state::is_there() {
            return "its disk is gone".to_owned();
        }
        if let Err(error) = clock::is_there() {
            return error.to_string();
        }
        if saved.elapsed() > clock::EVERY {
            saved = Instant::now();
            if let Err(why) = save_clock() {
                return why;
            }
        }
    }
}

fn save_clock() -> Result<(), String> {
    match clock::save() {
        // A volume that workloads have filled is theirs to empty.
        Err(error) if error.kind() == ErrorKind::StorageFull => Ok(()),
        saved => saved.map_err(|error| format!("the time cannot be written down: {error}")),
    }
}
