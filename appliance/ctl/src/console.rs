//! `console`: the `halctl>` line on a terminal of the box. It offers a fixed list of verbs and nothing else; no key, no
//! noise on the line and no answer ends it. It does end when the terminal hangs up, and is started anew.

mod line;

use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use halcyon_core::supervise::control::Request;

use crate::paste::{Paste, Pasted};
use crate::terminal::{Keys, clean};
use crate::{config, engine, failover, install, ipvs, join, key, logs, power, status};
use failover::Instead;
use line::{Line, Taken};

/// What shows the dashboard: this program with another verb.
const WIZARD: [&str; 2] = ["/usr/lib/halcyon/bin/halctl", "wizard"];
const PROMPT: &str = "halctl> ";
/// How often a console looks whether the box has become another.
const GLANCE: Duration = Duration::from_secs(2);
/// The kernel parameter that makes consoles change things without a password.
const FULL: &str = "halcyon.console=full";

const HELP: &str = "\
status [--json]  what this box is and does
ipvs             the kernel's IPVS table
logs [LINES], logs --boot -1
                 the newest lines of the log; those of the start before this
failover         hand over what this box is master of
failover release let this box take over again after that
config show [GENERATION], config history, config diff [GENERATION]
                 the document, the generations that are kept, what changed
config volumes   the documents on volumes labelled HALCYON that are plugged in
config apply usb:NAME [--confirm-within 60s]
                 take a signed document off such a volume; with - in place of usb:NAME, one that is pasted
config confirm, config rollback [GENERATION]
                 keep it after a trial, go back
join open        show a one-time code by which a new box joins this one
join CODE [--name NAME --address ADDRESS/PREFIX]
                 join the box that shows it
key show         the public key of this box's records, and its fingerprint
key rotate       make a new one
install [DISK]   list the disks; copy the running system onto one
factory-reset    forget keys, configurations and logs, and start as new
reboot           start the box again
poweroff         switch the box off
dashboard        what this box does, or its set-up
help             this list";

/// What a console may do.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Power {
    /// Look.
    View,
    /// Look and change.
    Full,
}

/// After so long without a key a console that was unlocked goes back to the dashboard, which asks for the password again.
const LOCKS_AFTER: Duration = Duration::from_secs(300);

/// Runs until the terminal hangs up. `unlocked`: the dashboard asked for the password.
pub(crate) fn run(unlocked: bool) -> Result<()> {
    let power = match fs::read_to_string("/proc/cmdline") {
        Ok(parameters) if parameters.split_whitespace().any(|parameter| parameter == FULL) => Power::Full,
        _ if unlocked => Power::Full,
        _ => Power::View,
    };
    let mut typed_at = Instant::now();
    let keys = Keys::take();
    let mut out = io::stdout();
    let mut console = Console { line: Line::default(), pasting: None, question: None, headline: None, power };
    let echo = keys.are_a_terminal();
    let mut buffer = [0; 256];
    // What cannot be written is lost: a console whose reader is gone has nobody to tell.
    let _ = console.glance(&mut out);
    loop {
        match keys.read(&mut buffer, GLANCE)? {
            None if unlocked && typed_at.elapsed() > LOCKS_AFTER => dashboard()?,
            None => drop(console.glance(&mut out)),
            Some(0) => return Ok(()),
            Some(length) => {
                typed_at = Instant::now();
                drop(console.take(&buffer[..length], echo, &mut out));
            }
        }
    }
}

struct Console {
    line: Line,
    /// A document that is being pasted, and how long its trial is to be.
    pasting: Option<(Paste, Option<String>)>,
    /// The next line answers this.
    question: Option<install::Question>,
    /// What was said last about the box; `None`: nothing yet.
    headline: Option<String>,
    power: Power,
}

impl Console {
    /// Says who the box is, when that changed and nobody is typing.
    fn glance(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if !self.line.is_empty() || self.pasting.is_some() || self.question.is_some() {
            return Ok(());
        }
        let headline = engine::glance()
            .map_or_else(|| "the engine does not answer yet".to_owned(), |status| status::headline(&status));
        if self.headline.as_ref() != Some(&headline) {
            write!(out, "\r\x1b[K{}\n{PROMPT}", clean(&headline))?;
            self.headline = Some(headline);
        }
        out.flush()
    }

    fn take(&mut self, keys: &[u8], echo: bool, out: &mut dyn Write) -> io::Result<()> {
        for key in keys {
            if self.pasting.is_some() {
                self.pasted(*key, out)?;
                continue;
            }
            match self.line.take(*key) {
                Taken::Echo(text) if echo => out.write_all(text)?,
                Taken::Echo(_) => {}
                Taken::Cleared => {
                    self.question = None;
                    write!(out, "^C\n{PROMPT}")?;
                }
                Taken::Line(words) => {
                    if echo {
                        writeln!(out)?;
                    }
                    self.run(&words, out)?;
                }
                Taken::TooLong => {
                    write!(
                        out,
                        "\nthat line is too long, so nothing was done; \"help\" lists the verbs\n{PROMPT}"
                    )?;
                }
            }
        }
        out.flush()
    }

    /// Takes a byte of a document. Nothing of it is echoed, for there may be secrets in it.
    fn pasted(&mut self, key: u8, out: &mut dyn Write) -> io::Result<()> {
        let Some((paste, trial)) = &mut self.pasting else { return Ok(()) };
        match paste.take(key) {
            Pasted::More => return Ok(()),
            Pasted::Ended(why) => writeln!(out, "{why}")?,
            Pasted::Whole(text) => {
                if let Err(error) = config::take(&text, trial.as_deref(), out) {
                    writeln!(out, "{}", clean(&format!("{error:#}")))?;
                }
            }
        }
        self.pasting = None;
        write!(out, "{PROMPT}")
    }

    /// Runs one line, and prompts for the next.
    fn run(&mut self, line: &str, out: &mut dyn Write) -> io::Result<()> {
        let question = match self.question.take() {
            Some(asked) => return tell(asked.answered(line, out), out),
            None => questions(line),
        };
        match question {
            Some(Ok(question)) => {
                write!(out, "{} ", question.text)?;
                self.question = Some(question);
                return Ok(());
            }
            Some(Err(error)) => return tell(Err(error), out),
            None => {}
        }
        if self.power == Power::Full
            && let Some(trial) = pastes(line)
        {
            self.pasting = Some((Paste::default(), trial));
            return writeln!(
                out,
                "paste the document, then its signature, then a line with a dot; nothing of it is shown; Ctrl-C gives up"
            );
        }
        tell(verb(line, self.power, out), out)
    }
}

/// Says what went wrong, if anything, and prompts.
fn tell(done: Result<()>, out: &mut dyn Write) -> io::Result<()> {
    if let Err(error) = done {
        writeln!(out, "{}", clean(&format!("{error:#}")))?;
    }
    write!(out, "{PROMPT}")
}

/// What a line asks for that is only done after a further word. Whether this console may is the unit's to decide that does
/// it: on a box that nobody has configured, every console may.
fn questions(line: &str) -> Option<Result<install::Question>> {
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        ["install", disk] => Some(install::may_install(disk)),
        ["factory-reset"] => Some(Ok(install::may_reset())),
        _ => None,
    }
}

/// Whether a line asks for a document that is pasted, and for how long a trial.
fn pastes(line: &str) -> Option<Option<String>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let ["config", rest @ ..] = &words[..] else { return None };
    match config::Verb::of(rest)? {
        config::Verb::Apply { file, confirm_within } if file.to_str() == Some(config::PASTED) => {
            Some(confirm_within)
        }
        _ => None,
    }
}

fn verb(line: &str, power: Power, out: &mut dyn Write) -> Result<()> {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        [] => Ok(()),
        ["help"] => Ok(writeln!(out, "{HELP}")?),
        ["status"] => status::run(false, out),
        ["status", "--json"] => status::run(true, out),
        ["ipvs"] => ipvs::run(out),
        ["logs"] => logs::run(logs::LINES, out),
        ["logs", lines] => match lines.parse() {
            Ok(lines) => logs::run(lines, out),
            Err(_) => bail!("logs takes a number of lines, such as logs 20"),
        },
        ["logs", "--boot", boot] => match boot.parse() {
            Ok(boot) => logs::of_start(boot, logs::LINES, out),
            Err(_) => bail!("logs --boot takes how many starts to go back, such as -1"),
        },
        ["failover" | "reboot" | "poweroff"] | ["failover", "release"] if power == Power::View => bail!(
            "{}: this console only shows, for no admin password was given; hand over or stop the box \
             from its power button, or start it with {FULL}",
            words[0]
        ),
        ["config", ref rest @ ..] => match config::Verb::of(rest) {
            None => bail!("config does not take that; \"help\" lists the verbs"),
            Some(verb) if verb.changes() && power == Power::View => bail!(
                "config: this console only shows, for no admin password was given; change the document \
                 by a volume labelled HALCYON, or start the box with {FULL}"
            ),
            Some(verb) => config::run(verb, out),
        },
        ["join", ref rest @ ..] => match join::Verb::of(rest)? {
            verb if power == Power::View && (verb.changes() || is_set_up()) => bail!(
                "join: this console only shows, for the document sets no admin password; start the box with {FULL}"
            ),
            verb => join::run(verb, out),
        },
        ["dashboard"] => dashboard(),
        ["key", "show"] => key::run(key::Verb::Show, out),
        ["key", "rotate"] if power == Power::View => {
            bail!("key: this console only shows, for no admin password was given; start the box with {FULL}")
        }
        ["key", "rotate"] => key::run(key::Verb::Rotate, out),
        ["failover"] => failover::run(None, out),
        ["failover", "release"] => failover::run(Some(Instead::Release), out),
        ["install"] => install::list(out),
        ["reboot"] => power::run(&Request::Reboot, out),
        ["poweroff"] => power::run(&Request::Poweroff, out),
        [
            known @ ("help" | "dashboard" | "status" | "ipvs" | "failover" | "reboot" | "poweroff" | "logs"
            | "key" | "install" | "factory-reset"),
            ..,
        ] => {
            bail!("{known} does not take that; \"help\" lists the verbs")
        }
        [unknown, ..] => bail!("there is no verb {unknown:?}; \"help\" lists the verbs"),
    }
}

/// Whether the box has a document, as far as the engine tells.
fn is_set_up() -> bool {
    engine::glance().is_none_or(|status| status.revision > 0)
}

/// Gives the console to the wizard, which gave it to this line.
fn dashboard() -> Result<()> {
    let [program, verb] = WIZARD;
    Err(Command::new(program).arg(verb).exec()).context(program)
}

#[cfg(test)]
mod tests;
