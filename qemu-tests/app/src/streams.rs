//! One TCP client: gets the name after the connect and after each line it sends.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, BorrowedFd};

/// An open connection.
pub(crate) struct Connection {
    stream: TcpStream,
}

impl Connection {
    /// Greets the client; `None` when it is gone already.
    pub(crate) fn open(stream: TcpStream, name: &str) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        // Small answers at once: a latency is being measured at the other end.
        stream.set_nodelay(true).ok()?;
        let mut connection = Self { stream };
        connection.say(name).then_some(connection)
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Answers what has come in; false when the connection is over.
    pub(crate) fn turn(&mut self, name: &str) -> bool {
        let mut buffer = [0; 512];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    let lines = buffer[..length].iter().filter(|byte| **byte == b'\n').count();
                    if !(0..lines).all(|_| self.say(name)) {
                        return false;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// A client that does not read until its buffer is full is dropped: false.
    fn say(&mut self, name: &str) -> bool {
        let line = format!("{name}\n");
        self.stream.write(line.as_bytes()).is_ok_and(|length| length == line.len())
    }
}
