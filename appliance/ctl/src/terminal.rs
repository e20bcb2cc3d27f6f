//! A terminal as a console sees it: keys one by one, no signals, and output that cannot move the cursor.

use std::io::{self, IsTerminal, Stdin};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};

/// `text` with every control character replaced: what others wrote cannot clear an operator's screen.
pub(crate) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

/// Standard input without line editing, echo and signals, until it is dropped. Something else than a terminal is left
/// as it is.
pub(crate) struct Keys {
    stdin: Stdin,
    before: Option<Termios>,
}

impl Keys {
    /// Takes standard input over.
    pub(crate) fn take() -> Self {
        let stdin = io::stdin();
        let before = tcgetattr(&stdin).ok();
        if let Some(before) = &before {
            let mut raw = before.clone();
            // Ctrl-C, Ctrl-\ and Ctrl-Z are keys like others; so is Ctrl-D; Ctrl-S does not stop the console.
            raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG | LocalModes::IEXTEN;
            raw.input_modes -= InputModes::IXON | InputModes::INLCR | InputModes::IGNCR;
            raw.input_modes |= InputModes::ICRNL | InputModes::IGNBRK;
            raw.special_codes[SpecialCodeIndex::VMIN] = 1;
            raw.special_codes[SpecialCodeIndex::VTIME] = 0;
            // A terminal that refuses stays as it is: its own line editing will do.
            let _ = tcsetattr(&stdin, OptionalActions::Now, &raw);
        }
        Self { stdin, before }
    }

    /// Whether there is somebody to echo for.
    pub(crate) fn are_a_terminal(&self) -> bool {
        self.stdin.is_terminal()
    }

    /// Waits for keys. `Ok(None)`: none came in time; `Ok(Some(0))`: the terminal hung up, or the input is at its end.
    pub(crate) fn read(&self, buffer: &mut [u8], patience: Duration) -> io::Result<Option<usize>> {
        let timeout =
            Timespec { tv_sec: patience.as_secs().cast_signed(), tv_nsec: patience.subsec_nanos().into() };
        match poll(&mut [PollFd::new(&self.stdin, PollFlags::IN)], Some(&timeout)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(error.into()),
        }
        match rustix::io::read(&self.stdin, buffer) {
            Ok(length) => Ok(Some(length)),
            Err(rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            let _ = tcsetattr(&self.stdin, OptionalActions::Now, before);
        }
    }
}
