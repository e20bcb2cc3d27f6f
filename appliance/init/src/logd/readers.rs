//! Who reads the log: `/run/halcyon/logd.sock`, one JSON line `{"lines":N}` in, the last N lines out, then the end.
//!
//! A reader that does not read keeps its place and nothing else: lines are copied only as it takes them, and what has made
//! room meanwhile is passed over.

use std::io::{self, Read, Write};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use rustix::event::PollFlags;
use serde::Deserialize;

use super::ring::Ring;

const READERS: usize = 16;
const LONGEST_REQUEST: usize = 1024;
/// Bytes put together for one write.
const A_WRITE: usize = 16 * 1024;

/// The listening socket and everybody who reads.
#[derive(Debug)]
pub(super) struct Readers {
    listener: UnixListener,
    readers: Vec<Reader>,
}

#[derive(Debug)]
struct Reader {
    stream: UnixStream,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Has not finished its request.
    Asking(Vec<u8>),
    /// Gets these lines; the bytes go first.
    Getting { lines: Range<u64>, bytes: Vec<u8> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    lines: u64,
}

impl Readers {
    /// Serves a bound socket.
    pub(super) fn new(listener: UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self { listener, readers: Vec::new() })
    }

    /// Descriptors to wait on; whichever is ready, call [`Readers::serve`].
    pub(super) fn descriptors(&self) -> impl Iterator<Item = (BorrowedFd<'_>, PollFlags)> {
        let of_reader = |reader: &Reader| match reader.state {
            State::Asking(_) => PollFlags::IN,
            State::Getting { .. } => PollFlags::OUT,
        };
        let readers = self.readers.iter().map(move |reader| (reader.stream.as_fd(), of_reader(reader)));
        std::iter::once((self.listener.as_fd(), PollFlags::IN)).chain(readers)
    }

    /// Takes new readers and requests, and writes what is taken.
    pub(super) fn serve(&mut self, ring: &Ring) {
        while let Ok((stream, _)) = self.listener.accept() {
            if stream.set_nonblocking(true).is_err() {
                continue;
            }
            if self.readers.len() == READERS {
                self.readers.remove(0);
            }
            self.readers.push(Reader { stream, state: State::Asking(Vec::new()) });
        }
        self.readers.retain_mut(|reader| reader.serve(ring).is_ok());
    }
}

/// The reader is done or gone.
struct Done;

impl Reader {
    fn serve(&mut self, ring: &Ring) -> Result<(), Done> {
        if let State::Asking(request) = &mut self.state {
            let mut buffer = [0; 256];
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(Done),
                Ok(length) => request.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(Done),
            }
            let Some(end) = request.iter().position(|b| *b == b'\n') else {
                return if request.len() > LONGEST_REQUEST { Err(Done) } else { Ok(()) };
            };
            self.state = match serde_json::from_slice::<Request>(&request[..end]) {
                Ok(Request { lines }) => State::Getting { lines: ring.last(lines), bytes: Vec::new() },
                Err(error) => State::Getting {
                    lines: 0..0,
                    bytes: format!("not a request ({error}); write {{\"lines\":100}}\n").into_bytes(),
                },
            };
        }
        self.write(ring)
    }

    fn write(&mut self, ring: &Ring) -> Result<(), Done> {
        let State::Getting { lines, bytes } = &mut self.state else { return Ok(()) };
        loop {
            while bytes.len() < A_WRITE
                && let Some(number) = lines.next()
            {
                if let Some(line) = ring.get(number) {
                    bytes.extend_from_slice(line.as_bytes());
                    bytes.push(b'\n');
                }
            }
            if bytes.is_empty() {
                return Err(Done);
            }
            match self.stream.write(bytes) {
                Ok(written) => drop(bytes.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(_) => return Err(Done),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(request: &[u8]) -> (Reader, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let mut writer = &theirs;
        writer.write_all(request).unwrap();
        (Reader { stream: ours, state: State::Asking(Vec::new()) }, theirs)
    }

    #[test]
    fn a_reader_gets_the_last_lines_and_the_end() {
        let mut ring = Ring::new(1 << 20);
        (0..10).for_each(|number| ring.push(format!("line {number}")));
        let (mut reader, mut theirs) = reader(b"{\"lines\":2}\n");
        assert!(reader.serve(&ring).is_err(), "it is done");
        drop(reader);
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        assert_eq!(text, "line 8\nline 9\n");
    }

    #[test]
    fn a_reader_that_stalls_costs_its_place_only() {
        let mut ring = Ring::new(4 << 20);
        (0..20_000).for_each(|number| ring.push(format!("{number:0100}")));
        let (mut reader, _theirs) = reader(b"{\"lines\":20000}\n");
        for _ in 0..100 {
            assert!(reader.serve(&ring).is_ok(), "it waits");
        }
        let State::Getting { bytes, .. } = &reader.state else { panic!("it asked") };
        assert!(bytes.len() < 2 * A_WRITE, "{} bytes are held for it", bytes.len());
    }

    #[test]
    fn nonsense_is_answered_with_the_form() {
        let (mut reader, mut theirs) = reader(b"GET / HTTP/1.1\n");
        assert!(reader.serve(&Ring::new(100)).is_err());
        drop(reader);
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        assert!(text.contains("{\"lines\":100}"), "{text}");
    }
}
