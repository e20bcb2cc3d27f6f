//! `halctl`: keys, signatures, checks and plans on the workstation; status, table, log and hand-over on the box.

mod check;
mod config;
mod console;
mod engine;
mod failover;
mod install;
mod ipvs;
mod join;
mod key;
mod keygen;
mod logs;
mod paste;
mod plan;
mod power;
mod sign;
mod status;
mod terminal;

use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Keys, signatures, checks and plans for Halcyon; on the box, its status.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make a provisioning key pair: DIR/provision.key and DIR/provision.pub
    Keygen {
        /// Where to; made if it is not there
        dir: PathBuf,
    },
    /// Sign a cluster document: writes FILE.minisig
    Sign {
        /// The secret key, of `halctl keygen` or `minisign -G`
        #[arg(short, long)]
        key: PathBuf,
        /// The document
        file: PathBuf,
    },
    /// Check a cluster document: tells all its problems, one a line
    Check {
        /// The document
        file: PathBuf,
    },
    /// Show the kernel state that a member would be given, with reasons
    Plan(plan::Arguments),
    /// Show what this box does (on the box)
    Status {
        /// As JSON, on one line
        #[arg(long)]
        json: bool,
    },
    /// Show the IPVS table of the kernel (on the box)
    Ipvs,
    /// Show the newest lines of the log (on the box)
    Logs {
        /// How many
        #[arg(default_value_t = logs::LINES)]
        lines: u32,
        /// Of an earlier start of the box, -1 for the one before this
        #[arg(long, allow_hyphen_values = true)]
        boot: Option<i32>,
    },
    /// Show, change and roll back the configuration (on the box)
    Config {
        #[command(subcommand)]
        verb: config::Verb,
    },
    /// Show or replace the key that signs what this box keeps (on the box)
    Key {
        #[command(subcommand)]
        verb: key::Verb,
    },
    /// Show a one-time code by which a new box joins this one, or join by it (on the box)
    ///
    /// join open, join close, join CODE [--name NAME --address ADDRESS/PREFIX]
    Join {
        /// open, close, or the code with the new box's name and address
        #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        words: Vec<String>,
    },
    /// Hand over what this box is master of (on the box)
    Failover {
        #[command(subcommand)]
        instead: Option<failover::Instead>,
    },
    /// Copy the running system onto a disk; without one, list the disks (on the box)
    Install {
        /// The disk's name, such as sda
        disk: Option<String>,
        /// Do not ask whether what is on it may be lost
        #[arg(long)]
        yes: bool,
    },
    /// Forget keys, configurations and logs, and start as new (on the box)
    FactoryReset {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// Offer the verbs on a terminal (on the box)
    Console {
        /// The dashboard asked for the admin password
        #[arg(long)]
        unlocked: bool,
    },
    /// Set the box up, or show what it does, on a terminal (on the box)
    Wizard,
}

fn main() -> ExitCode {
    let mut out = io::stdout();
    let done = match Arguments::parse().verb {
        Verb::Keygen { dir } => keygen::run(&dir, &mut out),
        Verb::Sign { key, file } => sign::run(&key, &file, &mut out),
        Verb::Check { file } => check::run(&file, &mut out),
        Verb::Plan(arguments) => plan::run(&arguments, &mut out),
        Verb::Status { json } => status::run(json, &mut out),
        Verb::Ipvs => ipvs::run(&mut out),
        Verb::Logs { lines, boot: None } => logs::run(lines, &mut out),
        Verb::Logs { lines, boot: Some(boot) } => logs::of_start(boot, lines, &mut out),
        Verb::Failover { instead } => failover::run(instead, &mut out),
        Verb::Config { verb } => config::run(verb, &mut out),
        Verb::Key { verb } => key::run(verb, &mut out),
        Verb::Join { words } => {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            join::Verb::of(&words).and_then(|verb| join::run(verb, &mut out))
        }
        Verb::Install { disk: None, .. } => install::list(&mut out),
        Verb::Install { disk: Some(disk), yes } => install::run(&disk, yes, &mut out),
        Verb::FactoryReset { yes } => install::reset(yes, &mut out),
        Verb::Console { unlocked } => console::run(unlocked),
        Verb::Wizard => halcyon_wizard::run().context("the wizard ends"),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if reader_is_gone(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("halctl: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whoever read the output has read enough, as `head` does.
fn reader_is_gone(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let io = cause.downcast_ref::<io::Error>().map(io::Error::kind);
        let json = cause.downcast_ref::<serde_json::Error>().and_then(serde_json::Error::io_error_kind);
        io.or(json) == Some(io::ErrorKind::BrokenPipe)
    })
}
