//! A virtual machine's network card on our side: frames over a unix stream socket, as QEMU's `-netdev stream` speaks it.
//!
//! Each frame has its length before it, 32 bits big-endian (QEMU `net/net.c`, `net_fill_rstate`).

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;

/// A paused machine reads nothing; beyond this many bytes frames to it are dropped, as a full switch port does.
const BACKLOG: usize = 4 << 20;

/// A longer frame is a broken stream: QEMU's own limit is 68 KiB (`NET_BUFSIZE`).
const LONGEST: usize = 0x1_1000;

/// A port that waits for a machine, or has one.
pub struct Plug {
    listener: UnixListener,
    stream: Option<Stream>,
}

struct Stream {
    socket: UnixStream,
    received: Vec<u8>,
    unsent: Vec<u8>,
}

/// What reading a plug brought.
pub struct Reading {
    /// Whole frames, in order.
    pub frames: Vec<Vec<u8>>,
    /// The machine went away.
    pub gone: bool,
}

impl Plug {
    /// Listens at `path`, where QEMU will connect.
    pub fn listen(path: &Path) -> io::Result<Self> {
        let listener = UnixListener::bind(path)?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, stream: None })
    }

    /// What to poll: the machine's socket, or the listener while there is none; and whether to poll for writing too.
    pub fn interest(&self) -> (BorrowedFd<'_>, bool) {
        match &self.stream {
            Some(stream) => (stream.socket.as_fd(), !stream.unsent.is_empty()),
            None => (self.listener.as_fd(), false),
        }
    }

    /// True while a machine is connected.
    pub fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// Accepts a machine, reads what there is and writes what waits.
    pub fn turn(&mut self) -> Reading {
        if self.stream.is_none()
            && let Ok((socket, _)) = self.listener.accept()
            && socket.set_nonblocking(true).is_ok()
        {
            self.stream = Some(Stream { socket, received: Vec::new(), unsent: Vec::new() });
        }
        let Some(stream) = &mut self.stream else {
            return Reading { frames: Vec::new(), gone: false };
        };
        let open = stream.fill() && stream.drain();
        let (frames, sound) = stream.frames();
        let gone = !open || !sound;
        if gone {
            self.stream = None;
        }
        Reading { frames, gone }
    }

    /// Hands a frame to the machine; without one, or behind a full backlog, it is lost.
    pub fn send(&mut self, frame: &[u8]) {
        let Some(stream) = &mut self.stream else { return };
        if stream.unsent.len() > BACKLOG {
            return;
        }
        stream.unsent.extend_from_slice(&(frame.len() as u32).to_be_bytes());
        stream.unsent.extend_from_slice(frame);
        // A machine that has just gone is noticed by the next turn.
        let _ = stream.drain();
    }
}

impl Stream {
    /// Reads until there is no more; false at the end of the stream.
    fn fill(&mut self) -> bool {
        let mut buffer = [0; 65_536];
        loop {
            match self.socket.read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => self.received.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// Writes as much as the socket takes; false when it is broken.
    fn drain(&mut self) -> bool {
        while !self.unsent.is_empty() {
            match self.socket.write(&self.unsent) {
                Ok(length) => {
                    self.unsent.drain(..length);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Takes the whole frames out; false when the stream cannot be one of QEMU's.
    fn frames(&mut self) -> (Vec<Vec<u8>>, bool) {
        let mut frames = Vec::new();
        let mut at = 0;
        while let Some(length) = self.received.get(at..at + 4) {
            let length = u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
            if length > LONGEST {
                return (frames, false);
            }
            let Some(frame) = self.received.get(at + 4..at + 4 + length) else { break };
            frames.push(frame.to_vec());
            at += 4 + length;
        }
        self.received.drain(..at);
        (frames, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Stream, UnixStream) {
        let (ours, theirs) = UnixStream::pair().expect("a socket pair");
        ours.set_nonblocking(true).expect("a socket");
        (Stream { socket: ours, received: Vec::new(), unsent: Vec::new() }, theirs)
    }

    #[test]
    fn frames_survive_any_cut_of_the_stream() {
        let bytes =
            [&3u32.to_be_bytes()[..], b"abc", &0u32.to_be_bytes(), &2u32.to_be_bytes(), b"de"].concat();
        let (mut stream, mut theirs) = pair();
        let mut frames = Vec::new();
        for byte in bytes {
            theirs.write_all(&[byte]).expect("room for a byte");
            assert!(stream.fill());
            frames.extend(stream.frames().0);
        }
        assert_eq!(frames, [b"abc".to_vec(), vec![], b"de".to_vec()]);
    }

    #[test]
    fn an_end_and_an_impossible_length_are_told() {
        let (mut stream, mut theirs) = pair();
        theirs.write_all(&u32::MAX.to_be_bytes()).expect("room for four bytes");
        assert!(stream.fill());
        assert!(!stream.frames().1, "a frame of 4 GiB");
        drop(theirs);
        assert!(!stream.fill());
    }
}
