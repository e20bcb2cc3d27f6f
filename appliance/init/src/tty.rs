//! Terminals that PID 1 writes to itself (the report tty, the operator's consoles), and those it prepares for units.
//!
//! A serial line may stand still for ever (flow control, a dead adapter), so writing never waits: what does not fit
//! is kept up to a limit and dropped, whole lines, beyond it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::OFlags;
use rustix::termios::{
    ControlModes, InputModes, LocalModes, OptionalActions, OutputModes, tcgetattr, tcsetattr,
};

/// Bytes kept for a terminal that does not take them.
const LIMIT: usize = 256 * 1024;

/// A terminal written to without waiting.
#[derive(Debug)]
pub(crate) struct Writer {
    name: String,
    mode: Mode,
    file: File,
    waiting: Vec<u8>,
    lost: u64,
}

impl Writer {
    /// Opens `/dev/NAME`; with `Mode::Raw` bytes go out as they are.
    pub(crate) fn open(name: &str, mode: Mode) -> io::Result<Self> {
        let file = open_in(name, mode)?;
        Ok(Self { name: name.to_owned(), mode, file, waiting: Vec::new(), lost: 0 })
    }

    /// Sends a line; the end of line is this function's.
    pub(crate) fn line(&mut self, text: &str) {
        if self.waiting.len() + text.len() > LIMIT {
            self.lost += 1;
            return;
        }
        self.waiting.extend_from_slice(text.as_bytes());
        self.waiting.extend_from_slice(b"\r\n");
        self.flush();
    }

    /// Writes as much as the terminal takes now.
    pub(crate) fn flush(&mut self) {
        let mut reopened = false;
        while !self.waiting.is_empty() {
            match self.file.write(&self.waiting) {
                Ok(0) => return,
                Ok(written) => {
                    self.waiting.drain(..written);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // Hung up, as a terminal is when the program that had it ends: opened anew it is good again.
                Err(_) => match open_in(&self.name, self.mode) {
                    Ok(file) if !reopened => {
                        self.file = file;
                        reopened = true;
                    }
                    _ => return self.waiting.clear(),
                },
            }
        }
    }

    /// Whether something waits to be written.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Lines dropped since the start.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }
}

impl AsFd for Writer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// How a terminal treats bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// As they are.
    Raw,
    /// As whoever used it last left it.
    AsItIs,
}

fn open_in(name: &str, mode: Mode) -> io::Result<File> {
    let file = open(name)?;
    if mode == Mode::Raw {
        let mut settings = tcgetattr(&file)?;
        settings.make_raw();
        settings.control_modes |= ControlModes::CLOCAL;
        tcsetattr(&file, OptionalActions::Now, &settings)?;
    }
    Ok(file)
}

/// Opens a terminal without waiting for a carrier and without making it anyone's controlling terminal.
fn open(name: &str) -> io::Result<File> {
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(i32::try_from(flags.bits()).expect("open flags are an int"))
        .open(format!("/dev/{name}"))
}

/// A terminal for a unit: sane settings, blocking, owned by its user.
pub(crate) fn for_unit(name: &str, user: u32) -> io::Result<File> {
    let file = open(name)?;
    let mut settings = tcgetattr(&file)?;
    settings.input_modes = InputModes::ICRNL | InputModes::IXON | InputModes::IUTF8;
    settings.output_modes = OutputModes::OPOST | OutputModes::ONLCR;
    settings.local_modes = LocalModes::ISIG
        | LocalModes::ICANON
        | LocalModes::ECHO
        | LocalModes::ECHOE
        | LocalModes::ECHOK
        | LocalModes::IEXTEN;
    settings.control_modes |= ControlModes::CLOCAL | ControlModes::CREAD | ControlModes::HUPCL;
    tcsetattr(&file, OptionalActions::Now, &settings)?;
    rustix::fs::fcntl_setfl(&file, OFlags::empty())?;
    rustix::fs::fchown(&file, Some(rustix::fs::Uid::from_raw(user)), None)?;
    rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o600))?;
    Ok(file)
}

/// A silent terminal on which a key is awaited: no echo, no line editing.
pub(crate) fn for_key(name: &str) -> io::Result<File> {
    open_in(name, Mode::Raw)
}

/// The terminals a person may sit at: the screen and every serial port that exists, but not the report tty.
pub(crate) fn consoles(report: Option<&str>) -> Vec<String> {
    let Ok(list) = fs::read_dir("/sys/class/tty") else { return Vec::new() };
    let mut names: Vec<String> = list
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_console(name))
        .collect();
    names.retain(|name| Some(name.as_str()) != report);
    names.sort();
    names
}

/// Whether somebody can sit at it. A serial port without hardware behind it has type 0 (`PORT_UNKNOWN`).
pub(crate) fn is_console(name: &str) -> bool {
    let starts = |prefix: &str| {
        name.strip_prefix(prefix)
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
    };
    if starts("ttyS") {
        let kind = fs::read_to_string(format!("/sys/class/tty/{name}/type")).unwrap_or_default();
        return !matches!(kind.trim(), "" | "0");
    }
    name == "tty1" || starts("hvc") || starts("ttyUSB") || starts("ttyACM") || starts("ttyAMA")
}
