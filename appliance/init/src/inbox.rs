//! Unix datagram sockets on which programs tell us things, with the kernel's word on who they are.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, UCred, recvmsg, sockopt};

use crate::listen;

/// A bound socket that is read without waiting.
#[derive(Debug)]
pub(crate) struct Inbox {
    socket: OwnedFd,
    buffer: Vec<u8>,
}

/// What one datagram brought.
#[derive(Debug)]
pub(crate) struct Letter<'a> {
    /// Its bytes, cut when it was larger than the buffer.
    pub(crate) bytes: &'a [u8],
    /// Who sent it, as the kernel knows.
    pub(crate) sender: Option<UCred>,
    /// Descriptors that came with it; closed when dropped.
    pub(crate) files: Vec<OwnedFd>,
}

impl Inbox {
    /// Binds `path`; reads at most `size` bytes a datagram.
    pub(crate) fn bind(path: &str, mode: u32, size: usize) -> io::Result<Self> {
        let socket = listen::datagram(path, mode)?;
        Self::new(socket, size)
    }

    /// Reads a socket that is bound already.
    pub(crate) fn new(socket: UnixDatagram, size: usize) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        sockopt::set_socket_passcred(&socket, true)?;
        Ok(Self { socket: socket.into(), buffer: vec![0; size] })
    }

    /// The next datagram; `None` when there is none now.
    pub(crate) fn next(&mut self) -> Option<Letter<'_>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmCredentials(1), ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut parts = [IoSliceMut::new(&mut self.buffer)];
        let received = recvmsg(&self.socket, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC).ok()?;
        let (mut sender, mut files) = (None, Vec::new());
        for message in control.drain() {
            match message {
                RecvAncillaryMessage::ScmCredentials(credentials) => sender = Some(credentials),
                RecvAncillaryMessage::ScmRights(descriptors) => files.extend(descriptors),
                _ => {}
            }
        }
        Some(Letter { bytes: &self.buffer[..received.bytes], sender, files })
    }
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
