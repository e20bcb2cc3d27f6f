//! What a unit is: one program that PID 1 keeps alive, as its file in `/usr/lib/halcyon/units` describes it.
//!
//! Beyond the keys that integrators are promised (`exec`, `after`, `notify`, `restart`, `user`, `capabilities`,
//! `memory-max`, `environment`) the box's own units use these:
//!
//! | key | meaning |
//! |---|---|
//! | `critical = true` | the watchdog device is fed only while this unit runs; the kernel's OOM killer takes it last |
//! | `stop = "first"` / `"last"` | before, or after, all units of the ordinary phase of a shutdown |
//! | `heartbeat = "5s"` | after its first `WATCHDOG=1`, a silence this long gets it killed and started again |
//! | `real-time = 50` | highest real-time priority it may take (`RLIMIT_RTPRIO`) |
//! | `tty = true` | a template: one instance `NAME@TTY` on each console, standard input and output there |
//! | `directories = ["…"]` | made before the first start, group = the unit's user, mode 1775: what PID 1 owns there stays |
//! | `sockets = [{ kind, path, mode }]` | bound by PID 1 before any unit starts, handed over as descriptors 3, 4, … and kept across restarts; `kind` is `datagram` or `stream`, `mode` defaults to `0o666` |

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Capability;

/// The user of a unit that states none (`nobody`).
pub const NOBODY: u32 = 65534;

/// One program under supervision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// File name without `.toml`; for an instance of a template `NAME@TTY`.
    pub name: String,
    /// Program (an absolute path) and its arguments; never empty.
    pub exec: Vec<String>,
    /// Units that must be ready before this one starts.
    pub after: BTreeSet<String>,
    /// Whether it says itself when it is ready (`READY=1` on `NOTIFY_SOCKET`).
    pub notify: bool,
    /// When it is started again.
    pub restart: Restart,
    /// User id, and group id of the same number.
    pub user: u32,
    /// Capabilities it keeps; it has no others and cannot gain any.
    pub capabilities: BTreeSet<Capability>,
    /// Memory limit in bytes.
    pub memory_max: Option<u64>,
    /// Its whole environment, but for what supervision adds.
    pub environment: BTreeMap<String, String>,
    /// The box is not alive without it.
    pub critical: bool,
    /// Its place in a shutdown.
    pub stop: StopPhase,
    /// Longest silence after its first heartbeat.
    pub heartbeat: Option<Duration>,
    /// Highest real-time priority it may take, 1–99.
    pub real_time: Option<u8>,
    /// Where it stands among consoles.
    pub tty: Tty,
    /// Directories made for it.
    pub directories: Vec<String>,
    /// Sockets bound for it.
    pub sockets: Vec<Socket>,
}

/// When a unit is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    /// Whenever it ends.
    Always,
    /// When it ends by a signal or with a status other than 0.
    OnFailure,
    /// Never: it runs once.
    Never,
}

/// A unit's place in a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StopPhase {
    /// Before all others, with its users still running.
    First,
    /// After every unit that names it in `after`.
    InOrder,
    /// When only such units are left.
    Last,
}

/// A unit's relation to the consoles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tty {
    /// None: standard input is `/dev/null`, output goes to the log.
    None,
    /// A template for one instance on each console; it does not run itself.
    Template,
    /// The instance on this terminal, e.g. `ttyS0`.
    On {
        /// Name below `/dev`.
        name: String,
        /// Whether it waits for a key before each start.
        greeting: Greeting,
    },
}

/// What a console shows before anybody touched it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// The program starts at once.
    AtOnce,
    /// Nothing at all, until a key arrives.
    OnKey,
}

/// A listening socket that outlives the unit's processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Datagram or stream.
    pub kind: SocketKind,
    /// Absolute path.
    pub path: String,
    /// Access mode of the path.
    pub mode: u32,
}

/// The two kinds of unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SocketKind {
    /// `SOCK_DGRAM`, with sender credentials (`SO_PASSCRED`).
    Datagram,
    /// `SOCK_STREAM`, listening.
    Stream,
}

impl Unit {
    /// A unit with every key at its default.
    pub fn new(name: &str, exec: Vec<String>) -> Self {
        Self {
            name: name.to_owned(),
            exec,
            after: BTreeSet::new(),
            notify: false,
            restart: Restart::Always,
            user: NOBODY,
            capabilities: BTreeSet::new(),
            memory_max: None,
            environment: BTreeMap::new(),
            critical: false,
            stop: StopPhase::InOrder,
            heartbeat: None,
            real_time: None,
            tty: Tty::None,
            directories: Vec::new(),
            sockets: Vec::new(),
        }
    }

    /// The instance of this template on a terminal.
    pub fn on_tty(&self, tty: &str, greeting: Greeting) -> Self {
        Self {
            name: format!("{}@{tty}", self.name),
            tty: Tty::On { name: tty.to_owned(), greeting },
            ..self.clone()
        }
    }

    /// Whether a key on its console starts it, each time.
    pub fn waits_for_key(&self) -> bool {
        matches!(self.tty, Tty::On { greeting: Greeting::OnKey, .. })
    }

    /// The name that other units' `after` uses: an instance goes by its template's.
    pub fn family(&self) -> &str {
        family(&self.name)
    }
}

/// The template's name of `name`, or `name` itself.
pub fn family(name: &str) -> &str {
    name.split_once('@').map_or(name, |(template, _)| template)
}
