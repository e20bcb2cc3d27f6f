//! What a unit writes to its standard output and error: lines for the log.
//!
//! The pipe outlives the unit's processes, so nothing written before a crash is lost. The writer is never made to wait: PID 1 reads all
//! there is, and what exceeds the rate is counted and thrown away.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use halcyon_core::moment::Moment;
use rustix::pipe::{PipeFlags, pipe_with};

/// Lines a unit may log at once …
const BURST: u32 = 1000;
/// … and in each second in the long run.
const RATE: u32 = 200;

/// Bytes of a line; a longer one is cut into several.
const LONGEST: usize = 2048;

/// Bytes read in one turn of the loop, so that one unit cannot hold it up.
const A_TURN: usize = 128 * 1024;

/// One unit's pipe.
#[derive(Debug)]
pub(crate) struct Output {
    read: OwnedFd,
    write: OwnedFd,
    lines: Lines,
}

impl Output {
    /// A new pipe.
    pub(crate) fn new(now: Moment) -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        rustix::fs::fcntl_setfl(&read, rustix::fs::OFlags::NONBLOCK)?;
        Ok(Self { read, write, lines: Lines::new(now) })
    }

    /// The end that the unit gets.
    pub(crate) fn writing_end(&self) -> &OwnedFd {
        &self.write
    }

    /// Reads what is there and gives complete lines to `take`.
    pub(crate) fn drain(&mut self, now: Moment, mut take: impl FnMut(&str)) {
        let mut buffer = [0; 8192];
        for _ in 0..A_TURN / buffer.len() {
            let Ok(length) = rustix::io::read(&self.read, &mut buffer) else { return };
            self.lines.push(&buffer[..length], now, &mut take);
            if length < buffer.len() {
                return;
            }
        }
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.read.as_fd()
    }
}

/// Bytes → lines at a bounded rate.
#[derive(Debug)]
struct Lines {
    part: Vec<u8>,
    allowed: u32,
    refilled: Moment,
    /// Set when nothing was allowed any more, until a second's worth is again: then one note covers many lines.
    dry: bool,
    dropped: u64,
}

impl Lines {
    fn new(now: Moment) -> Self {
        Self { part: Vec::new(), allowed: BURST, refilled: now, dry: false, dropped: 0 }
    }

    fn push(&mut self, bytes: &[u8], now: Moment, take: &mut impl FnMut(&str)) {
        self.refill(now);
        for byte in bytes {
            if *byte != b'\n' {
                self.part.push(*byte);
            }
            if *byte == b'\n' || self.part.len() >= LONGEST {
                self.end_line(take);
            }
        }
    }

    fn refill(&mut self, now: Moment) {
        let due = now.since(self.refilled).as_millis() * u128::from(RATE) / 1000;
        let due = u32::try_from(due).unwrap_or(BURST);
        if due > 0 {
            self.allowed = self.allowed.saturating_add(due).min(BURST);
            // Only the time that was paid out is used up, so that short turns add up.
            self.refilled =
                if due >= BURST { now } else { self.refilled + Duration::from_secs(1) * due / RATE };
        }
    }

    fn end_line(&mut self, take: &mut impl FnMut(&str)) {
        let part = std::mem::take(&mut self.part);
        if part.is_empty() {
            return;
        }
        self.dry = self.allowed == 0 || (self.dry && self.allowed < RATE);
        if self.dry {
            self.dropped += 1;
            return;
        }
        if self.dropped > 0 {
            take(&format!(
                "({} lines dropped: more than {RATE} a second)",
                std::mem::take(&mut self.dropped)
            ));
        }
        self.allowed -= 1;
        take(&String::from_utf8_lossy(&part));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(millis)
    }

    fn push(lines: &mut Lines, bytes: &[u8], now: Moment) -> Vec<String> {
        let mut taken = Vec::new();
        lines.push(bytes, now, &mut |line: &str| taken.push(line.to_owned()));
        taken
    }

    #[test]
    fn lines_are_put_together_and_long_ones_cut() {
        let mut lines = Lines::new(at(0));
        assert_eq!(push(&mut lines, b"one\ntw", at(0)), ["one"]);
        assert_eq!(push(&mut lines, b"o\n\n\xff\n", at(0)), ["two", "\u{fffd}"]);
        let long = vec![b'x'; LONGEST + 5];
        assert_eq!(push(&mut lines, &long, at(0)).len(), 1);
        assert_eq!(push(&mut lines, b"\n", at(0)), ["xxxxx"]);
    }

    #[test]
    fn a_flood_is_cut_to_the_rate_and_counted() {
        let mut lines = Lines::new(at(0));
        let flood = b"line\n".repeat(5000);
        assert_eq!(push(&mut lines, &flood, at(0)).len(), BURST as usize);
        let after = push(&mut lines, &flood, at(1000));
        assert_eq!(after.len(), RATE as usize + 1);
        assert_eq!(after[0], "(4000 lines dropped: more than 200 a second)");
    }

    #[test]
    fn many_short_turns_give_the_same_rate() {
        let mut lines = Lines::new(at(0));
        let total: usize = (0..10_000).map(|ms| push(&mut lines, b"a\nb\n", at(ms)).len()).sum();
        let lines_allowed = (BURST + 10 * RATE) as usize;
        let notes = 11;
        assert!((lines_allowed - RATE as usize..=lines_allowed + notes).contains(&total), "{total}");
    }
}
