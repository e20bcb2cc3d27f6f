//! `install` and `factory-reset`: what overwrites a disk. Both ask first; the unit `disks` does the work and tells of it.

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use halcyon_core::disk::control::{Answer, Request, SOCKET};
use halcyon_core::disk::install::{Disk, find};

use crate::terminal::clean;

/// A disk may think that long about one part of the work.
const PATIENCE: Duration = Duration::from_secs(120);

/// The word that agrees to a factory reset.
const FORGET: &str = "forget";

/// Something that is only done after the right word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// What is asked.
    pub(crate) text: String,
    /// The word that agrees.
    word: String,
    request: Request,
}

impl Question {
    /// Does it, if `answer` is the word.
    pub(crate) fn answered(&self, answer: &str, out: &mut dyn Write) -> Result<()> {
        if answer.trim() != self.word {
            bail!("that was not {:?}; nothing was done", self.word);
        }
        carry_out(&self.request, out).map(drop)
    }
}

/// Lists the disks.
pub(crate) fn list(out: &mut dyn Write) -> Result<()> {
    disks()?.iter().try_for_each(|disk| writeln!(out, "{}", line(disk))).map_err(Into::into)
}

/// Installs to `word`, which names a disk.
pub(crate) fn run(word: &str, yes: bool, out: &mut dyn Write) -> Result<()> {
    ask(&may_install(word)?, yes, out)
}

/// Makes the box as new.
pub(crate) fn reset(yes: bool, out: &mut dyn Write) -> Result<()> {
    ask(&may_reset(), yes, out)
}

/// What is to be agreed to before a disk is overwritten.
pub(crate) fn may_install(word: &str) -> Result<Question> {
    let disks = disks()?;
    let Some(disk) = find(&disks, word) else {
        bail!("there is no disk {word}; \"install\" lists them");
    };
    let name = disk.name.clone();
    let text = format!("{}\nAll of it will be lost. Type {name} to overwrite it:", line(disk));
    let request = Request::Install { disk: name.clone(), overwrite: name.clone() };
    Ok(Question { text, word: name, request })
}

/// What is to be agreed to before a reset.
pub(crate) fn may_reset() -> Question {
    let text = format!("Keys, all configurations and logs will be lost. Type {FORGET} to start as new:");
    Question { text, word: FORGET.to_owned(), request: Request::FactoryReset }
}

fn ask(question: &Question, yes: bool, out: &mut dyn Write) -> Result<()> {
    if yes {
        return carry_out(&question.request, out).map(drop);
    }
    write!(out, "{} ", question.text)?;
    out.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    question.answered(&answer, out)
}

fn disks() -> Result<Vec<Disk>> {
    match carry_out(&Request::Disks, &mut io::sink())? {
        Answer::Disks(disks) => Ok(disks),
        other => bail!("an answer to another question: {other:?}"),
    }
}

/// Asks, shows how it goes on, and waits for the end.
fn carry_out(request: &Request, out: &mut dyn Write) -> Result<Answer> {
    let mut stream = UnixStream::connect(SOCKET).context("the unit disks does not answer")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let request = serde_json::to_string(request)?;
    stream.write_all(format!("{request}\n").as_bytes())?;
    for line in BufReader::new(stream).lines() {
        match serde_json::from_str(&line.context("the unit disks fell silent")?)? {
            Answer::Progress(news) => {
                writeln!(out, "{}", clean(&news))?;
                out.flush()?;
            }
            Answer::Done(sentence) => {
                writeln!(out, "{}", clean(&sentence))?;
                return Ok(Answer::Done(sentence));
            }
            Answer::Refused(why) => bail!("refused: {why}"),
            answer @ Answer::Disks(_) => return Ok(answer),
        }
    }
    bail!("the unit disks ended without an answer; look at the log")
}

/// A disk as somebody tells it from others.
fn line(disk: &Disk) -> String {
    let known = [&disk.model, &disk.serial].map(|text| if text.is_empty() { "-" } else { text.as_str() });
    let size = match disk.bytes >> 20 {
        mebibytes @ 0..10_240 => format!("{mebibytes} MiB"),
        mebibytes => format!("{} GiB", mebibytes >> 10),
    };
    let marks = [
        (disk.origin, ", this box was started from it"),
        (disk.busy, ", in use"),
        (disk.read_only, ", write-protected"),
    ];
    let marks: String = marks.iter().filter(|(holds, _)| *holds).map(|(_, text)| *text).collect();
    let holds = disk.holds.as_deref().unwrap_or("empty");
    clean(&format!("{:<8} {} serial {}  {size}  {holds}{marks}", disk.name, known[0], known[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_told_by_what_a_person_can_compare() {
        let disk = Disk {
            name: "sda".to_owned(),
            model: "ATA INTEL SSD".to_owned(),
            serial: "BTYF1".to_owned(),
            bytes: 240 << 30,
            holds: Some("2 partitions: root, home".to_owned()),
            origin: true,
            ..Disk::default()
        };
        assert_eq!(
            line(&disk),
            "sda      ATA INTEL SSD serial BTYF1  240 GiB  2 partitions: root, home, this box was started from it"
        );
        assert_eq!(
            line(&Disk { name: "vda".to_owned(), bytes: 1 << 30, ..Disk::default() }),
            "vda      - serial -  1024 MiB  empty"
        );
    }

    #[test]
    fn nothing_is_done_without_the_word() {
        let question = may_reset();
        for wrong in ["", "yes", "y", "Forget"] {
            let told = question.answered(wrong, &mut io::sink()).unwrap_err().to_string();
            assert!(told.contains("nothing was done"), "{told}");
        }
        let told = question.answered("forget\n", &mut io::sink()).unwrap_err().to_string();
        assert!(told.contains("does not answer"), "{told}");
    }
}
