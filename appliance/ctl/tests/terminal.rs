//! The console on a real terminal, its controlling one, where keys could become signals.

#![expect(clippy::unwrap_used, reason = "the stage of a test fails by panicking")]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

/// A terminal with a console on it.
struct Terminal {
    keyboard: File,
    console: Child,
    seen: Vec<u8>,
}

impl Terminal {
    fn new() -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let name = ptsname(&keyboard, Vec::new()).unwrap();
        let line = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let console = Command::new("setsid")
            .args(["--ctty", "--wait", env!("CARGO_BIN_EXE_halctl"), "console"])
            .stdin(line.try_clone().unwrap())
            .stdout(line.try_clone().unwrap())
            .stderr(line)
            .spawn()
            .unwrap();
        Self { keyboard: File::from(keyboard), console, seen: Vec::new() }
    }

    fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    /// Reads until `text` has been shown, and forgets everything up to there.
    fn await_text(&mut self, text: &str) {
        loop {
            if let Some(at) = self.seen.windows(text.len()).position(|window| window == text.as_bytes()) {
                self.seen.drain(..at + text.len());
                return;
            }
            let mut buffer = [0; 4096];
            let length = self.keyboard.read(&mut buffer).unwrap_or(0);
            assert!(length > 0, "ended before {text:?}: {:?}", String::from_utf8_lossy(&self.seen));
            self.seen.extend_from_slice(&buffer[..length]);
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.console.kill();
        let _ = self.console.wait();
    }
}

#[test]
fn no_key_ends_the_console() {
    let mut terminal = Terminal::new();
    terminal.await_text("the engine does not answer yet\r\nhalctl> ");
    // Ctrl-C, Ctrl-D, Ctrl-Z, Ctrl-\, Ctrl-S, a break's zeros, half an escape sequence, no UTF-8.
    terminal.press(b"x\x03");
    terminal.await_text("^C\r\nhalctl> ");
    terminal.press(b"\x04\x04\x1a\x1c\x13\x00\x00\xff\xfe\x1b[");
    terminal.press(b"\rnonsense\r");
    terminal.await_text("there is no verb \"nonsense\"; \"help\" lists the verbs\r\nhalctl> ");
    terminal.press(&[b'a'; 1000]);
    terminal.press(b"\r");
    terminal.await_text("that line is too long, so nothing was done");
    terminal.press(b"failover\r");
    terminal.await_text("this console only shows");
    assert!(terminal.console.try_wait().unwrap().is_none());
}
