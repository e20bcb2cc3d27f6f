//! The packet rules: set as one transaction by `nft`, and watched without it. [`render`] turns the rules into `nft`'s
//! language, [`wire`] asks the kernel how things are.
//!
//! `nft` runs when rules change and never otherwise. Whether they are still the ones that were set is told by the
//! generation of the kernel's whole ruleset, a number that every transaction raises: while it is the one that followed
//! ours, nobody touched anything. It is remembered in a file, beside the text, so that a restarted engine adopts the
//! rules instead of setting them again.

pub mod render;
pub mod wire;

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use halcyon_core::plan::rules::{self, CounterName};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use crate::netlink::{ACK, Socket};
use crate::{Count, Counters, Error};
use render::render;

/// The kernel's packet rules.
pub struct Rules {
    socket: Socket,
    program: PathBuf,
    record: PathBuf,
    known: Option<Known>,
    /// Rules were given to this kernel, by this engine or the one before it.
    given: bool,
}

/// What was set last.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    /// The ruleset's generation right after.
    generation: u32,
    /// What `nft` was given.
    text: String,
    /// What that was rendered from, once it was compared.
    rules: Option<rules::Rules>,
}

impl Rules {
    /// Opens the socket and reads what an earlier run of the engine left in `record`. `program` is `nft`'s path.
    pub fn open(program: &Path, record: &Path) -> Result<Self, Error> {
        let socket =
            Socket::open(SockProtocol::NetlinkNetFilter).map_err(|e| Error::refused("open nfnetlink", e))?;
        let known = std::fs::read_to_string(record).ok().and_then(|text| parse_record(&text));
        let given = known.is_some();
        Ok(Self { socket, program: program.into(), record: record.into(), known, given })
    }

    /// Whether the kernel holds exactly `wanted`, untouched since it was set.
    ///
    /// A kernel that nobody gave rules to is not asked: it would load the packet filter for the answer, which a box
    /// that starts has no time for.
    pub fn hold(&mut self, wanted: &rules::Rules) -> Result<bool, Error> {
        if self.known.is_none() {
            return Ok(false);
        }
        let generation = self.generation()?;
        let Some(known) = &mut self.known else { return Ok(false) };
        if generation != Some(known.generation) {
            return Ok(false);
        }
        if known.rules.as_ref() == Some(wanted) {
            return Ok(true);
        }
        let same = known.text == render(wanted);
        if same {
            known.rules = Some(wanted.clone());
        }
        Ok(same)
    }

    /// Replaces all rules by `rules` in one transaction. The guard's counters go on counting.
    pub async fn set(&mut self, rules: &rules::Rules) -> Result<(), Error> {
        let text = render(rules);
        let before = self.generation()?;
        self.known = None;
        self.given = true;
        let (program, input) = (self.program.clone(), text.clone());
        tokio::task::spawn_blocking(move || run(&program, &input))
            .await
            .map_err(|e| Error::Rules(format!("nft's thread ended early: {e}")))??;
        let after = self.generation()?;
        // Anything else than one step up: someone else changed rules meanwhile, so ours count as not known.
        if let (before, Some(generation)) = (before, after)
            && before.is_none_or(|before| before.wrapping_add(1) == generation)
        {
            self.known = Some(Known { generation, text, rules: Some(rules.clone()) });
            self.remember();
        }
        Ok(())
    }

    /// The guard's counters; 0 until rules are set for the first time.
    pub fn counters(&mut self) -> Result<Counters, Error> {
        if !self.given {
            return Ok(Counters::default());
        }
        Ok(Counters {
            delivered: self.counter(CounterName::Delivered)?,
            dropped: self.counter(CounterName::Dropped)?,
            mine: self.counter(CounterName::Mine)?,
            theirs: self.counter(CounterName::Theirs)?,
        })
    }

    fn counter(&mut self, name: CounterName) -> Result<Count, Error> {
        let name = name.as_str();
        let mut count = None;
        let result = self.socket.request(
            ACK,
            |w, flags, sequence| wire::get_counter(w, flags, sequence, name),
            |payload| count = wire::counter(payload),
        );
        match result {
            Ok(()) => Ok(count.unwrap_or_default()),
            Err(error) if absent(&error) => Ok(Count::default()),
            Err(error) => Err(Error::refused(format!("read the counter {name}"), error)),
        }
    }

    /// `None` while `nf_tables` is not loaded.
    fn generation(&mut self) -> Result<Option<u32>, Error> {
        let mut generation = None;
        match self.socket.request(ACK, wire::get_generation, |payload| generation = wire::generation(payload))
        {
            Ok(()) => Ok(generation),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => Err(Error::refused("read the packet rules' generation", error)),
        }
    }

    /// Losing the record costs one needless run of `nft` after a restart, so it is worth a warning and no more.
    fn remember(&self) {
        let Some(known) = &self.known else { return };
        let next = self.record.with_extension("new");
        let written = std::fs::write(&next, format!("generation {}\n{}", known.generation, known.text))
            .and_then(|()| std::fs::rename(&next, &self.record));
        if let Err(error) = written {
            tracing::warn!(path = %self.record.display(), %error, "cannot remember the packet rules");
        }
    }
}

fn parse_record(text: &str) -> Option<Known> {
    let (first, rest) = text.split_once('\n')?;
    let generation = first.strip_prefix("generation ")?.parse().ok()?;
    Some(Known { generation, text: rest.to_owned(), rules: None })
}

/// No table, no object, or no packet filter at all (`nfnetlink_rcv_msg`, net/netfilter/nfnetlink.c).
fn absent(error: &io::Error) -> bool {
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
    matches!(errno, Errno::ENOENT | Errno::EINVAL | Errno::EOPNOTSUPP)
}

/// Runs `nft` on `input`. Its messages name line and column of `input`.
fn run(program: &Path, input: &str) -> Result<(), Error> {
    let started = Command::new(program)
        .args(["-f", "-"])
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = started.map_err(|e| Error::Rules(format!("cannot run {}: {e}", program.display())))?;
    let fed = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output =
        child.wait_with_output().map_err(|e| Error::Rules(format!("lost {}: {e}", program.display())))?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        return Err(Error::Rules(format!("nft refused them ({}): {}", output.status, complaint.trim())));
    }
    fed.map_err(|e| Error::Rules(format!("nft did not read them: {e}")))
}

#[cfg(test)]
mod tests;
