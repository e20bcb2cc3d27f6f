//! `logs`: the newest lines that the log sink holds.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::terminal::clean;

/// Where the log sink is asked.
const SOCKET: &str = "/run/halcyon/logd.sock";
/// How many lines are shown when nobody says.
pub(crate) const LINES: u32 = 100;
/// The most that is read, in bytes.
const LONGEST: u64 = 64 << 20;
/// How long the sink may be silent.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn run(lines: u32, out: &mut dyn Write) -> Result<()> {
    tail(Path::new(SOCKET), lines, out)
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
