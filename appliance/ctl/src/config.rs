//! `config`: shows, compares, takes and goes back to documents of this box. What becomes of a document is the engine's to
//! decide; this reads the files that are handed over.

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use halcyon_core::config::check::LARGEST;
use halcyon_core::config::duration;
use halcyon_core::control::{Request, Response};

use crate::engine::{ask, refusal};
use crate::paste;
use crate::terminal::clean;

/// What a document on a volume is called by.
const USB: &str = "usb";
/// What stands for a document that is pasted.
pub(crate) const PASTED: &str = "-";

/// What is done with the configuration.
#[derive(clap::Subcommand)]
pub(crate) enum Verb {
    /// Show the document in force, or that of a generation; secrets are hidden
    Show {
        /// Which generation
        generation: Option<u64>,
    },
    /// List the generations that this box keeps
    History,
    /// Show what changed since a generation, or since the one before
    Diff {
        /// Since which generation
        generation: Option<u64>,
    },
    /// List the documents on volumes labelled HALCYON that are plugged in
    Volumes,
    /// Take a signed document
    Apply {
        /// A file, with FILE.minisig beside it; usb:NAME, one of a volume; or -, the document and then its signature
        file: PathBuf,
        /// On trial: undone after this time, such as 60s, unless it is confirmed
        #[arg(long)]
        confirm_within: Option<String>,
    },
    /// Take a document that nobody signed, where no signed one is in force: what the wizard does
    SetUp {
        /// The file
        file: PathBuf,
        /// On trial: undone after this time, such as 60s, unless it is confirmed
        #[arg(long)]
        confirm_within: Option<String>,
    },
    /// Keep the document that is on trial
    Confirm,
    /// Go back to a generation, or to the one before; ends a trial
    Rollback {
        /// Which generation
        generation: Option<u64>,
    },
}

impl Verb {
    /// What a console's line says; `None`: it is not understood.
    pub(crate) fn of(words: &[&str]) -> Option<Self> {
        let number = |word: &str| word.parse::<u64>().ok();
        Some(match *words {
            ["show"] => Self::Show { generation: None },
            ["show", generation] => Self::Show { generation: Some(number(generation)?) },
            ["history"] => Self::History,
            ["volumes"] => Self::Volumes,
            ["diff"] => Self::Diff { generation: None },
            ["diff", generation] => Self::Diff { generation: Some(number(generation)?) },
            ["apply", file] => Self::Apply { file: file.into(), confirm_within: None },
            ["apply", file, "--confirm-within", time] => {
                Self::Apply { file: file.into(), confirm_within: Some(time.to_owned()) }
            }
            ["set-up", file] => Self::SetUp { file: file.into(), confirm_within: None },
            ["confirm"] => Self::Confirm,
            ["rollback"] => Self::Rollback { generation: None },
            ["rollback", generation] => Self::Rollback { generation: Some(number(generation)?) },
            _ => return None,
        })
    }

    /// Whether it changes anything.
    pub(crate) fn changes(&self) -> bool {
        matches!(self, Self::Apply { .. } | Self::SetUp { .. } | Self::Confirm | Self::Rollback { .. })
    }
}

pub(crate) fn run(verb: Verb, out: &mut dyn Write) -> Result<()> {
    let request = match verb {
        Verb::Show { generation } => Request::ConfigShow { generation },
        Verb::History => Request::ConfigHistory,
        Verb::Diff { generation } => Request::ConfigDiff { generation },
        Verb::Volumes => Request::ConfigVolumes,
        Verb::Apply { file, confirm_within } => {
            offer(&file, confirm_within.as_deref().map(seconds).transpose()?, &mut io::stdin().lock())?
        }
        Verb::SetUp { file, confirm_within } => Request::SetUp {
            document: read(&file)?,
            confirm_within: confirm_within.as_deref().map(seconds).transpose()?,
        },
        Verb::Confirm => Request::ConfigConfirm,
        Verb::Rollback { generation } => Request::ConfigRollback { generation },
    };
    send(&request, out)
}

/// Asks the engine to take what was pasted.
pub(crate) fn take(pasted: &str, confirm_within: Option<&str>, out: &mut dyn Write) -> Result<()> {
    let confirm_within = confirm_within.map(seconds).transpose()?;
    send(&offer(Path::new(PASTED), confirm_within, &mut pasted.as_bytes())?, out)
}

fn send(request: &Request, out: &mut dyn Write) -> Result<()> {
    match ask(request)? {
        Response::Text(text) => {
            text.lines().try_for_each(|line| writeln!(out, "{}", clean(line))).map_err(Into::into)
        }
        Response::Done(sentence) => Ok(writeln!(out, "{}", clean(&sentence))?),
        other => Err(refusal(other)),
    }
}

/// The document that FILE means: of a volume, out of `pasted`, or a file.
fn offer(file: &Path, confirm_within: Option<u32>, pasted: &mut dyn Read) -> Result<Request> {
    let name = file.to_str().unwrap_or_default();
    if let Some(rest) = name.strip_prefix(USB) {
        let file = match rest.strip_prefix(':') {
            _ if rest.is_empty() => "halcyon.toml",
            Some(name) if !name.is_empty() => name,
            _ => bail!("usb:NAME names a document on a volume; config volumes lists them"),
        };
        return Ok(Request::ConfigApplyVolume { file: file.to_owned(), confirm_within });
    }
    if name == PASTED {
        let mut text = String::new();
        pasted.take(2 * LARGEST as u64).read_to_string(&mut text).context("reading what was pasted")?;
        let (document, signature) = paste::split(&text)?;
        return Ok(Request::ConfigApply { document, signature, confirm_within });
    }
    let signature = read(&file.with_file_name(signature_name(file)))
        .context("a document is taken with its signature; sign it with halctl sign")?;
    Ok(Request::ConfigApply { document: read(file)?, signature, confirm_within })
}

fn signature_name(file: &Path) -> String {
    format!("{}.minisig", file.file_name().unwrap_or_default().to_string_lossy())
}

fn read(file: &Path) -> Result<String> {
    let length = fs::metadata(file).with_context(|| file.display().to_string())?.len();
    if length > LARGEST as u64 {
        bail!("{} has {length} bytes; a document has {LARGEST} at most", file.display());
    }
    fs::read_to_string(file).with_context(|| file.display().to_string())
}

/// Whole seconds.
fn seconds(text: &str) -> Result<u32> {
    let time = duration::parse(text).map_err(|why| anyhow::anyhow!("{}; {}", why.what, why.fix))?;
    match u32::try_from(time.as_secs()) {
        Ok(seconds) if seconds > 0 && time.subsec_nanos() == 0 => Ok(seconds),
        _ => bail!("a trial lasts whole seconds, such as 60s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_console_is_understood_or_refused() {
        assert!(matches!(Verb::of(&["rollback", "3"]), Some(Verb::Rollback { generation: Some(3) })));
        let apply = Verb::of(&["apply", "/tmp/x.toml", "--confirm-within", "60s"]);
        assert!(matches!(apply, Some(Verb::Apply { confirm_within: Some(time), .. }) if time == "60s"));
        for wrong in [&["rollback", "x"][..], &["apply"], &["confirm", "now"], &[]] {
            assert!(Verb::of(wrong).is_none(), "{wrong:?}");
        }
        assert!(!Verb::History.changes() && Verb::Confirm.changes());
    }

    #[test]
    fn a_document_is_a_file_or_of_a_volume_or_pasted() {
        let offered = |name: &str, pasted: &str| offer(Path::new(name), Some(60), &mut pasted.as_bytes());
        let of_volume =
            |file: &str| Request::ConfigApplyVolume { file: file.to_owned(), confirm_within: Some(60) };
        assert_eq!(offered("usb", "").unwrap(), of_volume("halcyon.toml"));
        assert_eq!(offered("usb:sdb1/next.toml", "").unwrap(), of_volume("sdb1/next.toml"));
        assert!(offered("usb:", "").is_err());
        let pasted = offered("-", "a = 1\nuntrusted comment: x\n1\ntrusted comment: y\n2\n").unwrap();
        let Request::ConfigApply { document, signature, .. } = pasted else { panic!() };
        assert_eq!((document.as_str(), signature.lines().count()), ("a = 1\n", 4));
        assert!(offered("/nowhere/next.toml", "").unwrap_err().to_string().contains("halctl sign"));
    }

    #[test]
    fn a_trial_lasts_whole_seconds() {
        assert_eq!(seconds("2m").unwrap(), 120);
        for wrong in ["0s", "500ms", "60", "9999999h"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_signature_lies_beside_the_document() {
        let file = Path::new("/tmp/new.toml");
        assert_eq!(file.with_file_name(signature_name(file)), Path::new("/tmp/new.toml.minisig"));
    }
}
