//! The engine's process: puts the parts together and runs them.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use halcyon_core::disk::origin::Origin;
use halcyon_core::ntp;
use halcyon_core::status::{Clock, Status};
use halcyon_kernel::linux::{Linux, Paths};
use halcyon_kernel::watch::Changes;
use halcyond::binding::{self, Binding};
use halcyond::driver::{Driver, Outcomes, Parts};
use halcyond::event::Sources;
use halcyond::handout::Handout;
use halcyond::runtime::{self, Keeper};
use halcyond::{clock, control, log, roll_call, store, timekeeper, vrrp_thread};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::LocalSet;

/// Outcomes, farewells and requests that may wait for the driver.
const BACKLOG: usize = 64;

fn main() -> anyhow::Result<()> {
    log::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let tasks = LocalSet::new();
    let result = tasks.block_on(&runtime, engine());
    if let Err(error) = &result {
        tracing::error!("the engine ends: {error:#}");
    }
    result
}

async fn engine() -> anyhow::Result<()> {
    let (to_vrrp, vrrp) = mpsc::unbounded_channel();
    let thread = vrrp_thread::spawn(Path::new(vrrp_thread::DIRECTORY), to_vrrp).context("no VRRP thread")?;
    let kernel = Linux::open(&Paths::default()).context("the kernel cannot be spoken to")?;
    let (to_driver, asked) = mpsc::channel(BACKLOG);
    tokio::task::spawn_local(control::serve(to_driver));
    let (to_checked, checked) = mpsc::channel(BACKLOG);
    let (to_echoed, echoed) = mpsc::channel(BACKLOG);
    let (status, _) = watch::channel(Arc::new(Status::default()));
    let (to_farewells, farewells) = mpsc::channel(BACKLOG);
    let roll_call = roll_call::spawn(clock::seed(), to_farewells);
    let (to_joining, joining) = mpsc::unbounded_channel();
    let trusted = binding::trusted(Path::new(binding::KEYS));
    let (to_leased, leased) = mpsc::channel(BACKLOG);
    let (to_kept, kept) = mpsc::unbounded_channel();
    let parameters = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let store = match Origin::of(&parameters) {
        Some(disk) => store::spawn(disk, trusted.clone(), to_kept).context("no thread for the store")?,
        None => store::Handle::none(),
    };
    let sources = Sources {
        store: kept,
        joining,
        vrrp,
        checked,
        echoed,
        asked,
        roll_call: roll_call.answers(),
        farewells,
        leased,
        changes: Changes::open().context("the kernel's changes cannot be followed")?,
        terminate: signal(SignalKind::terminate()).context("no signals")?,
    };
    let outcomes = Outcomes { checked: to_checked, echoed: to_echoed, leased: to_leased };
    let (to_timekeeping, timekeeping) = watch::channel(Clock::default());
    tokio::task::spawn_local(timekeeper::watch(to_timekeeping));
    let handout = Handout::new(ntp::DIRECTORY);
    let binding = Binding::begin(Keeper::new(runtime::DIRECTORY), trusted);
    let image = image();
    let parts = Parts {
        kernel,
        binding,
        store,
        vrrp: thread,
        roll_call,
        outcomes,
        joining: to_joining,
        status,
        clock: timekeeping,
        handout,
        image,
    };
    Driver::new(parts).run(sources).await;
    Ok(())
}

/// The image's version and the slot that it was started from.
fn image() -> (String, String) {
    let version = fs::read_to_string("/usr/lib/halcyon/version").unwrap_or_default();
    let line = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let slot = line.split_whitespace().find_map(|word| word.strip_prefix("halcyon.slot="));
    (version.lines().next().unwrap_or_default().trim().to_owned(), slot.unwrap_or("direct").to_owned())
}
