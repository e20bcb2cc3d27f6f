//! The log in memory: the newest lines, within a number of bytes. Pure.

use std::collections::VecDeque;

/// Bytes a line costs beside its text.
const OVERHEAD: usize = 64;

/// The newest lines.
#[derive(Debug)]
pub(super) struct Ring {
    lines: VecDeque<Box<str>>,
    bytes: usize,
    limit: usize,
    /// The number of the oldest line kept; lines are numbered from 0 for ever.
    first: u64,
}

impl Ring {
    /// Keeps at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, limit, first: 0 }
    }

    /// Adds a line; the oldest make room.
    pub(super) fn push(&mut self, line: String) {
        self.bytes += line.len() + OVERHEAD;
        self.lines.push_back(line.into_boxed_str());
        while self.bytes > self.limit
            && let Some(oldest) = self.lines.pop_front()
        {
            self.bytes -= oldest.len() + OVERHEAD;
            self.first += 1;
        }
    }

    /// The numbers of the last `count` lines.
    pub(super) fn last(&self, count: u64) -> std::ops::Range<u64> {
        let end = self.first + self.lines.len() as u64;
        end.saturating_sub(count).max(self.first)..end
    }

    /// A line by number; `None` when it has made room.
    pub(super) fn get(&self, number: u64) -> Option<&str> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        self.lines.get(index).map(|line| &**line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_stay_within_the_limit() {
        let mut ring = Ring::new(10 * (OVERHEAD + 3));
        for number in 100..200 {
            ring.push(number.to_string());
        }
        assert_eq!(ring.last(3), 97..100);
        assert_eq!(ring.get(99), Some("199"));
        assert_eq!(ring.last(1000), 90..100);
        assert_eq!(ring.get(90), Some("190"));
        assert_eq!(ring.get(89), None);
        assert!(ring.bytes <= ring.limit);
    }

    #[test]
    fn a_line_larger_than_everything_leaves_nothing_behind() {
        let mut ring = Ring::new(100);
        ring.push("x".repeat(1000));
        assert_eq!((ring.last(9), ring.bytes), (1..1, 0));
    }
}
