//! The last frames on the switch, kept in memory and written as a capture file when a test fails.
//!
//! Format: libpcap with nanosecond stamps (magic 0xa1b23c4d), link type 1 (Ethernet).

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;

use halcyon_core::moment::Moment;

/// Bytes of frames kept; the oldest go first.
const KEPT: usize = 64 << 20;

/// The frames, oldest first.
#[derive(Debug, Default)]
pub struct Ring {
    frames: VecDeque<(Moment, Arc<[u8]>)>,
    bytes: usize,
}

impl Ring {
    /// Keeps `frame`, which came in at `at`.
    pub fn push(&mut self, at: Moment, frame: &Arc<[u8]>) {
        self.bytes += frame.len();
        self.frames.push_back((at, Arc::clone(frame)));
        while self.bytes > KEPT
            && let Some((_, oldest)) = self.frames.pop_front()
        {
            self.bytes -= oldest.len();
        }
    }

    /// Frames kept.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// True when no frame is kept.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Writes the capture. Times count from the lab's start.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let header: [u32; 6] = [0xa1b2_3c4d, 2 | 4 << 16, 0, 0, 0x4_0000, 1];
        for word in header {
            to.write_all(&word.to_le_bytes())?;
        }
        for (at, frame) in &self.frames {
            let since = at.since_boot();
            let length = frame.len() as u32;
            for word in [since.as_secs() as u32, since.subsec_nanos(), length, length] {
                to.write_all(&word.to_le_bytes())?;
            }
            to.write_all(frame)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_capture_has_its_header_and_every_frame() {
        let mut ring = Ring::default();
        ring.push(Moment::from_boot(Duration::new(3, 5)), &vec![7; 60].into());
        let mut bytes = Vec::new();
        ring.write(&mut bytes).expect("a vector takes every byte");
        assert_eq!(bytes.len(), 24 + 16 + 60);
        assert_eq!(bytes[..8], [0x4d, 0x3c, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(bytes[24..40], [3, 0, 0, 0, 5, 0, 0, 0, 60, 0, 0, 0, 60, 0, 0, 0]);
    }

    #[test]
    fn the_oldest_frames_go_first() {
        let mut ring = Ring::default();
        for _ in 0..3 {
            ring.push(Moment::ZERO, &vec![0; KEPT / 2].into());
        }
        assert_eq!(ring.len(), 2);
    }
}
