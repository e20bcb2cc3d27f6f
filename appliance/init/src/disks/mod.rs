//! The unit `disks`: looks after the disk that the box was started from, and writes others when it is asked to.
//!
//! | what | when |
//! |---|---|
//! | [`tending`] | STATE grown, mounted, made anew ([`state`]), again after its disk was away; the [`clock`] floor on it |
//! | [`install`] | `halctl install`, or `halcyon.install=DISK` on the kernel's command line |
//! | [`reset`] | `halctl factory-reset`, or `halcyon.reset` on the kernel's command line |
//!
//! Nothing else waits for it: a disk that hangs, hangs this unit. Only with `halcyon.reset` does PID 1 keep CONFIG from the
//! engine until this unit says that it is ready. Each duty has a thread of its own; descriptor 3 is the socket for
//! [`asked`], which PID 1 bound.

mod asked;
mod clock;
mod content;
mod install;
mod power;
mod reset;
mod state;
mod survey;
mod tending;
mod window;

use std::fs::{self, File};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use halcyon_core::disk::install::find;
use halcyon_core::disk::origin::Origin;
use halcyon_core::report::{self, Event};
use halcyon_core::supervise::control::Request as Going;
use nix::sys::signal::{SigSet, Signal};

use crate::cmdline::RESET;
use crate::{devices, listen};

/// The boot loader's variables on the EFI system partition.
const GRUBENV: &str = "grub/grubenv";

/// Between two looks for a disk.
const AGAIN: Duration = Duration::from_millis(500);

/// How long a disk to be installed to, and a document to be installed with it, may take to appear.
const PATIENCE: Duration = Duration::from_secs(30);

/// The log sink's user (`overlay/usr/lib/halcyon/units/logd.toml`), and its directory on STATE.
const LOG: (&str, u32) = ("log", 900);

/// How the box was started.
struct Start {
    /// The kernel's command line.
    parameters: String,
    origin: Option<Origin>,
    /// The box is going down to be reset.
    reset_armed: AtomicBool,
}

impl Start {
    fn value(&self, key: &str) -> Option<&str> {
        self.parameters.split_whitespace().find_map(|word| word.strip_prefix(key))
    }

    fn says(&self, word: &str) -> bool {
        self.parameters.split_whitespace().any(|other| other == word)
    }

    /// The disk that the box was started from, if it is there.
    fn disk(&self) -> Option<String> {
        survey::origin(self.origin.as_ref()?).ok()
    }

    /// What an installation copies: that disk, or what a network start brought.
    fn medium(&self) -> Result<String, String> {
        match &self.origin {
            Some(origin) => survey::origin(origin).map_err(|why| why.to_string()),
            None => survey::network_medium().ok_or_else(|| {
                "the box was not started from a disk or a stick, so there is no boot loader to copy; start it with install.cpio behind its initramfs, or from a USB stick with the image".to_owned()
            }),
        }
    }

    fn slot(&self) -> &'static str {
        self.origin.as_ref().map_or("boot-a", |origin| origin.slot)
    }

    /// Waits until the disk is there, however long.
    fn await_disk(&self) -> Option<String> {
        self.origin.as_ref()?;
        loop {
            if let Some(disk) = self.disk() {
                return Some(disk);
            }
            thread::sleep(AGAIN);
        }
    }
}

/// Runs until it is told to end.
pub(crate) fn run() -> ExitCode {
    let mut term = SigSet::empty();
    term.add(Signal::SIGTERM);
    // For every thread, so that the end is where it is waited for.
    if let Err(error) = term.thread_block() {
        eprintln!("the end cannot be waited for: {error}");
        return ExitCode::FAILURE;
    }
    let parameters = fs::read_to_string("/proc/cmdline").unwrap_or_default();
    let origin = Origin::of(&parameters);
    let start = Arc::new(Start { parameters, origin, reset_armed: AtomicBool::new(false) });
    if !start.says(RESET) {
        devices::ready();
    }
    let _ = rustix::process::nice(10);
    for (name, duty) in
        [("state", tending::tend as fn(&Start)), ("asked", answer), ("install", install_unattended)]
    {
        let start = Arc::clone(&start);
        if let Err(error) = thread::Builder::new().name(name.into()).spawn(move || duty(&start)) {
            eprintln!("the kernel gives no thread: {error}");
            return ExitCode::FAILURE;
        }
    }
    let _ = term.wait();
    end(&start);
    ExitCode::SUCCESS
}

/// The last that is done: every unit but a few like this one has ended.
fn end(start: &Start) {
    if state::is_open() {
        let _ = clock::save();
    }
    if start.reset_armed.load(Ordering::SeqCst)
        && let Some(disk) = start.disk()
    {
        if state::is_open() {
            // A volume that takes no mark is one that will be found damaged.
            let _ = File::create(state::DISCARD).and_then(|file| file.sync_all());
        }
        match reset::forget(&disk) {
            Ok(()) => eprintln!("{disk}: keys, history and STATE are forgotten"),
            Err(why) => eprintln!("nothing was reset: {why}"),
        }
    }
}

fn answer(start: &Start) {
    let listener = UnixListener::from(listen::given(listen::FIRST));
    // PID 1 made it for a loop that must never wait; this thread has nothing else to do.
    if let Err(error) = listener.set_nonblocking(false) {
        eprintln!("descriptor 3 is not the socket that PID 1 gives this unit: {error}");
        return;
    }
    thread::scope(|scope| {
        loop {
            match listener.accept() {
                Ok((peer, _)) => drop(scope.spawn(|| asked::converse(peer, start))),
                Err(_) => thread::sleep(AGAIN),
            }
        }
    });
}

/// `halcyon.install=DISK`: as soon as the disk is there, and a document is in force or none seems to come.
fn install_unattended(start: &Start) {
    let Some(disk) = start.value("halcyon.install=") else { return };
    let began = Instant::now();
    let origin = start.await_disk();
    let found = loop {
        let disks = survey::disks(origin.as_deref());
        let found = find(&disks, disk).cloned();
        let waiting = found.is_none() || !asked::is_configured();
        if !waiting || began.elapsed() > PATIENCE {
            break found;
        }
        thread::sleep(AGAIN);
    };
    let Some(found) = found else { return tell(disk, "there is no such disk to install to") };
    if found.halcyon && !start.says("halcyon.overwrite") {
        return tell(
            disk,
            "it holds a Halcyon already and is left alone; halcyon.overwrite has it overwritten",
        );
    }
    match asked::run_install(start, &found.name, &mut |news| tell(&found.name, &news)) {
        Err(why) => tell(&found.name, &format!("nothing was installed: {why}")),
        Ok(done) => {
            tell(&found.name, &done);
            if let Err(why) = power::ask(&Going::Poweroff) {
                eprintln!("{why}");
            }
        }
    }
}

/// Tells the consoles, the report tty and the log.
fn tell(disk: &str, what: &str) {
    let event = Event::Disk { disk: disk.to_owned(), what: what.to_owned() };
    let text = serde_json::to_vec(&event).expect("an event has string keys");
    let sent = UnixDatagram::unbound().and_then(|socket| socket.send_to(&text, report::SOCKET));
    if sent.is_err() {
        eprintln!("{disk}: {what}");
    }
}
