//! `logs`: the newest lines that the log sink holds, or those of an earlier start of the box, off STATE.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use halcyon_core::journal::START;

use crate::terminal::clean;

/// Where the log sink is asked.
const SOCKET: &str = "/run/halcyon/logd.sock";
/// Where the log sink keeps it beyond a start, the older file first.
const KEPT: [&str; 2] = ["/state/log/previous", "/state/log/current"];
/// How many lines are shown when nobody says.
pub(crate) const LINES: u32 = 100;
/// The most that is read, in bytes.
const LONGEST: u64 = 64 << 20;
/// How long the sink may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(lines: u32, out: &mut dyn Write) -> Result<()> {
    tail(Path::new(SOCKET), lines, out)
}

/// Shows the last lines of an earlier start: 0 is this one, -1 the one before.
pub(crate) fn of_start(back: i32, lines: u32, out: &mut dyn Write) -> Result<()> {
    let read = |file: &&str| fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let texts: Vec<String> = KEPT.iter().filter_map(|file| read(file).ok()).collect();
    if texts.is_empty() {
        bail!("no log is kept on a disk: the box has no STATE, or it is not mounted");
    }
    let starts = starts(texts.iter().flat_map(|text| text.lines()));
    let kept = i32::try_from(starts.len()).unwrap_or(i32::MAX);
    let wanted = kept.checked_sub(1).and_then(|newest| usize::try_from(newest.checked_add(back)?).ok());
    let Some(found) = wanted.and_then(|number| starts.get(number)) else {
        bail!("there is no log of that start; {kept} are kept, from --boot {} to 0", 1 - kept);
    };
    let first = found.len().saturating_sub(lines as usize);
    found[first..].iter().try_for_each(|line| writeln!(out, "{}", clean(line))).map_err(Into::into)
}

/// The lines of each start. What stands before the first mark is the rest of one whose beginning made room.
fn starts<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<Vec<&'a str>> {
    let mut starts: Vec<(Option<&str>, Vec<&str>)> = Vec::new();
    for line in lines {
        let mark = line.strip_prefix(START);
        let same = starts.last().is_some_and(|(start, _)| mark.is_none() || *start == mark);
        if !same {
            starts.push((mark, Vec::new()));
        }
        if let (None, Some((_, lines))) = (mark, starts.last_mut()) {
            lines.push(line);
        }
    }
    starts.into_iter().map(|(_, lines)| lines).collect()
}

fn tail(socket: &Path, lines: u32, out: &mut dyn Write) -> Result<()> {
    let mut stream = UnixStream::connect(socket)
        .with_context(|| format!("the log sink does not answer: {}", socket.display()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    writeln!(stream, "{}", serde_json::json!({ "lines": lines }))?;
    for line in BufReader::new(stream.take(LONGEST)).split(b'\n') {
        let line = line.context("the log sink fell silent")?;
        writeln!(out, "{}", clean(&String::from_utf8_lossy(&line)))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::thread;

    use super::*;

    #[test]
    fn each_start_has_its_lines_however_many_files_they_are_in() {
        let text = "rest\n== start a\none\n== start a\ntwo\n== start b\nthree\n";
        assert_eq!(starts(text.lines()), [vec!["rest"], vec!["one", "two"], vec!["three"]]);
        assert!(starts("".lines()).is_empty());
    }

    #[test]
    fn lines_are_asked_for_and_shown_without_what_would_move_the_cursor() {
        let socket = std::env::temp_dir().join(format!("halctl-logs-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket).unwrap();
        let sink = thread::spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            let mut asked = String::new();
            BufReader::new(peer.try_clone().unwrap()).read_line(&mut asked).unwrap();
            peer.write_all(b"one\n\x1b[2Jtwo\xff\n").unwrap();
            asked
        });
        let mut shown = Vec::new();
        tail(&socket, 2, &mut shown).unwrap();
        std::fs::remove_file(&socket).unwrap();
        assert_eq!(sink.join().unwrap(), "{\"lines\":2}\n");
        assert_eq!(String::from_utf8(shown).unwrap(), "one\n\u{fffd}[2Jtwo\u{fffd}\n");
    }
}
