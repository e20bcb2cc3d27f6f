//! `/run/halcyon/init.sock`: what programs on the box may ask of PID 1, one JSON line each.
//!
//! Decides who may ask; the loop decides what happens. Nobody can make PID 1 wait: a client that does not read its
//! answer loses it, and the oldest client gives way to a new one.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};

use halcyon_core::supervise::control::{Request, Response, SOCKET};
use rustix::net::sockopt;

use crate::listen;

const CLIENTS: usize = 16;
const LONGEST: usize = 4096;

/// The listening socket and its clients.
#[derive(Debug)]
pub(crate) struct Requests {
    listener: UnixListener,
    clients: Vec<Client>,
}

#[derive(Debug)]
struct Client {
    stream: UnixStream,
    user: u32,
    line: Vec<u8>,
}

/// One request, with its sender and the way back.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What is asked, or why it cannot be understood.
    pub(crate) request: Result<Request, String>,
    /// The sender's user, as the kernel knows.
    pub(crate) user: u32,
    stream: UnixStream,
}

impl Asked {
    /// Sends the answer, if the client takes it now.
    pub(crate) fn answer(mut self, response: &Response) {
        if let Ok(mut line) = serde_json::to_vec(response) {
            line.push(b'\n');
            // A client that is gone or does not read has no use for it.
            let _ = self.stream.write_all(&line);
        }
    }
}

impl Requests {
    /// Binds the socket.
    pub(crate) fn bind() -> io::Result<Self> {
        Ok(Self { listener: listen::stream(SOCKET, 0o666)?, clients: Vec::new() })
    }

    /// All descriptors to wait on; whichever is ready, call [`Requests::read`].
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.listener.as_fd()).chain(self.clients.iter().map(|client| client.stream.as_fd()))
    }

    /// Takes new clients and complete requests.
    pub(crate) fn read(&mut self) -> Vec<Asked> {
        while let Ok((stream, _)) = self.listener.accept() {
            let credentials = sockopt::socket_peercred(&stream);
            let (Ok(()), Ok(credentials)) = (stream.set_nonblocking(true), credentials) else { continue };
            if self.clients.len() == CLIENTS {
                self.clients.remove(0);
            }
            self.clients.push(Client { stream, user: credentials.uid.as_raw(), line: Vec::new() });
        }
        let mut asked = Vec::new();
        self.clients.retain_mut(|client| client.read(&mut asked));
        asked
    }
}

impl Client {
    /// Reads what is there; `false` when the client is done.
    fn read(&mut self, asked: &mut Vec<Asked>) -> bool {
        let mut buffer = [0; 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => self.line.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(_) => return false,
            }
            while let Some(end) = self.line.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.line.drain(..=end).collect();
                let request =
                    serde_json::from_slice(&line).map_err(|error| format!("not a request: {error}"));
                let Ok(stream) = self.stream.try_clone() else { return false };
                asked.push(Asked { request, user: self.user, stream });
            }
            if self.line.len() > LONGEST {
                return false;
            }
        }
    }
}
