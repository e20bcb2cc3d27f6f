//! What the harness and the agent on a test box say to each other, and how it is cut into Ethernet frames.
//!
//! The frames have a protocol number of their own (IEEE 802's "local experimental" 0x88b5), so they pass the box's packet
//! filter and need no port, no address and no module. The harness hands them to the box past the switch, so no fault of
//! the simulated wire touches them either.

use serde::{Deserialize, Serialize};

/// IEEE 802 local experimental EtherType 1.
pub const ETHERTYPE: u16 = 0x88b5;

/// Bytes of text in a frame.
const CHUNK: usize = 1_400;

/// Ethernet header, number of the request, of the chunk and of all chunks, length of the text.
const HEADER: usize = 14 + 4 + 2 + 2 + 2;

/// What the harness may ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// The content of a file.
    Read {
        /// Its path.
        path: String,
    },
    /// The names in a directory.
    List {
        /// Its path.
        path: String,
    },
    /// Write a file.
    Write {
        /// Its path.
        path: String,
        /// Its new content.
        text: String,
    },
    /// Send a signal.
    Kill {
        /// To whom.
        pid: i32,
        /// The signal's number.
        signal: i32,
    },
    /// Execute a program and wait for it.
    Run {
        /// Program and arguments.
        words: Vec<String>,
        /// Its standard input.
        input: String,
    },
    /// Everything there is to know of a process: `status`, `cgroup`, `limits` and the targets of its open files.
    Process {
        /// Which.
        pid: i32,
    },
}

/// What the agent answers: a text, or why there is none.
pub type Response = Result<String, String>;

/// One piece of a request or a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// Which request.
    pub number: u32,
    /// Which piece, from 0.
    pub index: u16,
    /// Of how many.
    pub count: u16,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Cuts `text` into frames.
pub fn frames(to: [u8; 6], from: [u8; 6], number: u32, text: &[u8]) -> Vec<Vec<u8>> {
    let count = text.len().div_ceil(CHUNK).max(1) as u16;
    let frame = |index: u16| {
        let begin = usize::from(index) * CHUNK;
        let bytes = &text[begin..text.len().min(begin + CHUNK)];
        let mut frame = [&to[..], &from, &ETHERTYPE.to_be_bytes(), &number.to_be_bytes()].concat();
        for half in [index, count, bytes.len() as u16] {
            frame.extend(half.to_be_bytes());
        }
        frame.extend(bytes);
        // Cards drop anything shorter.
        frame.resize(frame.len().max(60), 0);
        frame
    };
    (0..count).map(frame).collect()
}

/// Reads a frame; `None` when it is another protocol's, or cut short.
pub fn parse(frame: &[u8]) -> Option<Chunk> {
    let half = |at: usize| Some(u16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
    if half(12)? != ETHERTYPE {
        return None;
    }
    let number = u32::from_be_bytes(frame.get(14..18)?.try_into().ok()?);
    let (index, count, length) = (half(18)?, half(20)?, usize::from(half(22)?));
    Some(Chunk { number, index, count, bytes: frame.get(HEADER..HEADER + length)?.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_survives_being_cut() {
        for length in [0, 1, CHUNK, CHUNK + 1, 5 * CHUNK] {
            let text: Vec<u8> = (0..length).map(|at| at as u8).collect();
            let frames = frames([1; 6], [2; 6], 7, &text);
            let chunks: Vec<_> = frames.iter().map(|frame| parse(frame).expect("ours")).collect();
            assert!(frames.iter().all(|frame| (60..=1_514).contains(&frame.len())));
            assert!(
                chunks
                    .iter()
                    .enumerate()
                    .all(|(index, one)| usize::from(one.index) == index && one.number == 7)
            );
            assert_eq!(chunks[0].count as usize, chunks.len());
            assert_eq!(chunks.into_iter().flat_map(|chunk| chunk.bytes).collect::<Vec<_>>(), text);
        }
    }

    #[test]
    fn strangers_are_passed_over() {
        assert_eq!(parse(&[0; 60]), None);
        assert_eq!(parse(&frames([1; 6], [2; 6], 7, b"text")[0][..20]), None);
    }
}
