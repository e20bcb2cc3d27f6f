//! A machine: its hardware, its start, and the wires to it (QMP, console, report tty).
//!
//! Every wire is a unix socket that we listen at before QEMU starts and QEMU connects to, so nothing has to be retried.
//! The machine dies with its [`Vm`].

pub mod console;
pub mod hardware;
pub mod qmp;
pub mod report;

use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use halcyon_core::moment::Moment;

use self::console::Console;
use self::hardware::Hardware;
use self::qmp::Qmp;
use self::report::Report;
use crate::lab::Clock;

/// QEMU connects to its sockets within this, on a busy host too.
const CONNECTS_WITHIN: Duration = Duration::from_secs(20);

/// A running machine.
pub struct Vm {
    name: String,
    process: Child,
    qmp: Qmp,
    /// The first serial port: what a person at the box would see.
    pub console: Console,
    /// The second serial port: lifecycle events.
    pub report: Report,
    started: Moment,
}

impl Vm {
    /// Starts the machine. Its sockets lie in `run` (whose path must be short), its logs go to `logs`.
    ///
    /// `nth` tells several starts of one machine apart in the names of its logs.
    pub fn start(hardware: &Hardware, nth: usize, run: &Path, logs: &Path, clock: Clock) -> Result<Self> {
        let name = hardware.name.clone();
        let socket = |kind: &str| run.join(format!("{name}-{nth}.{kind}"));
        let listen = |kind: &str| {
            let path = socket(kind);
            UnixListener::bind(&path).with_context(|| format!("listening at {}", path.display()))
        };
        let (qmp, console, report) = (listen("qmp")?, listen("con")?, listen("rep")?);
        let log = |kind: &str| logs.join(format!("{name}-{nth}.{kind}"));
        let said = std::fs::File::create(log("qemu")).context("creating QEMU's log")?;
        let mut command = Command::new(std::env::var("HALCYON_QEMU").unwrap_or("qemu-system-x86_64".into()));
        command.args(hardware.arguments());
        command.arg("-qmp").arg(format!("unix:{},server=off", socket("qmp").display()));
        for (id, kind) in [("console", "con"), ("report", "rep")] {
            command.arg("-chardev").arg(format!("socket,id={id},path={},server=off", socket(kind).display()));
            command.arg("-serial").arg(format!("chardev:{id}"));
        }
        command.stdin(Stdio::null()).stdout(said.try_clone()?).stderr(said);
        let started = clock.now();
        let mut process = command.spawn().context("starting qemu-system-x86_64; is it installed?")?;
        let mut accept = |listener| {
            accept(listener, &mut process).with_context(|| {
                let said = std::fs::read_to_string(log("qemu")).unwrap_or_default();
                format!("QEMU for {name} did not start: {}", said.trim())
            })
        };
        let (qmp, console, report) = (accept(qmp)?, accept(console)?, accept(report)?);
        Ok(Self {
            process,
            qmp: Qmp::open(qmp).context("greeting QEMU")?,
            console: Console::open(console, &log("console"))?,
            report: Report::open(report, &log("report"), clock)?,
            name,
            started,
        })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// QEMU's process.
    pub fn process(&self) -> u32 {
        self.process.id()
    }

    /// When QEMU was started.
    pub fn started(&self) -> Moment {
        self.started
    }

    /// The control connection.
    pub fn qmp(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    /// Cuts the power: the process is killed at once and nothing more leaves the machine.
    pub fn cut_power(mut self) {
        self.kill();
    }

    /// Waits until the machine has switched itself off.
    pub fn wait_off(mut self, within: Duration) -> Result<()> {
        let deadline = std::time::Instant::now() + within;
        while std::time::Instant::now() < deadline {
            if self.process.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        bail!(
            "{} is still running {} s after it should have switched itself off",
            self.name,
            within.as_secs()
        )
    }

    fn kill(&mut self) {
        // Either fails only when the process is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Accepts QEMU's connection, unless QEMU ends first.
fn accept(listener: UnixListener, process: &mut Child) -> Result<UnixStream> {
    listener.set_nonblocking(true)?;
    let deadline = std::time::Instant::now() + CONNECTS_WITHIN;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false)?;
                return Ok(stream);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        if let Some(status) = process.try_wait()? {
            bail!("it ended with {status}");
        }
        if std::time::Instant::now() > deadline {
            bail!("it did not connect within {} s", CONNECTS_WITHIN.as_secs());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A directory with a short path for sockets (a unix socket's path has 107 bytes at most); removed when dropped.
pub struct RunDirectory(PathBuf);

impl RunDirectory {
    /// A new one under the system's directory for temporary files.
    pub fn new() -> Result<Self> {
        static COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("halcyon-{}-{number}", std::process::id()));
        // What a killed run with the same process id left behind.
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).with_context(|| format!("creating {}", path.display()))?;
        Ok(Self(path))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        // A directory in /tmp that cannot be removed is a nuisance, not a failure.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
