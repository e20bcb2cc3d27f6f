#![expect(unsafe_code, reason = "tokio wants a promise that the registered descriptor stays open")]
//! The packet socket that a DHCP client speaks through: whole Ethernet frames on one link, which has no address yet.
//!
//! It moves bytes; what they mean is decided in `halcyon_core::dhcp`. It hears frames before the packet rules do, so that
//! nothing has to be opened there. Nothing here blocks.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{AddressFamily, SockFlag, SockType, bind, socket};
use socket2::{SockFilter, Socket};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::announce::link_address;

/// An Ethernet header for everybody, of IPv4: what the socket is bound to.
const IPV4: [u8; 14] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0x08, 0x00];

/// Operations of classic BPF (`include/uapi/linux/bpf_common.h`, filter.rst in the kernel's documentation).
mod bpf {
    /// `BPF_LD | BPF_B | BPF_ABS`.
    pub(super) const LOAD_BYTE: u16 = 0x30;
    /// `BPF_LD | BPF_H | BPF_ABS`.
    pub(super) const LOAD_HALF: u16 = 0x28;
    /// `BPF_LD | BPF_H | BPF_IND`.
    pub(super) const LOAD_HALF_BEHIND_HEADER: u16 = 0x48;
    /// `BPF_LDX | BPF_B | BPF_MSH`: four times the lower four bits.
    pub(super) const LOAD_HEADER_LENGTH: u16 = 0xb1;
    /// `BPF_JMP | BPF_JEQ | BPF_K`.
    pub(super) const IF_EQUAL: u16 = 0x15;
    /// `BPF_JMP | BPF_JSET | BPF_K`.
    pub(super) const IF_ANY_BIT: u16 = 0x45;
    /// `BPF_RET | BPF_K`.
    pub(super) const RETURN: u16 = 0x06;
}

/// Lets datagrams to a DHCP client's port in, no fragments, so that a busy link wakes nobody.
fn filter() -> [SockFilter; 9] {
    use bpf::{
        IF_ANY_BIT, IF_EQUAL, LOAD_BYTE, LOAD_HALF, LOAD_HALF_BEHIND_HEADER, LOAD_HEADER_LENGTH, RETURN,
    };
    [
        SockFilter::new(LOAD_BYTE, 0, 0, 23), // the protocol
        SockFilter::new(IF_EQUAL, 0, 6, 17),  // UDP
        SockFilter::new(LOAD_HALF, 0, 0, 20), // where the fragment lies in its packet
        SockFilter::new(IF_ANY_BIT, 4, 0, 0x1fff),
        SockFilter::new(LOAD_HEADER_LENGTH, 0, 0, 14),
        SockFilter::new(LOAD_HALF_BEHIND_HEADER, 0, 0, 16), // the destination port
        SockFilter::new(IF_EQUAL, 0, 1, 68),
        SockFilter::new(RETURN, 0, 0, u32::MAX), // the whole frame
        SockFilter::new(RETURN, 0, 0, 0),
    ]
}

/// A packet socket on one link that hears what is sent to DHCP clients.
#[derive(Debug)]
pub struct DhcpSocket(AsyncFd<Socket>);

impl DhcpSocket {
    /// Opens the socket on the link with kernel index `index`. It is tied to the index. It needs `CAP_NET_RAW`, and a
    /// runtime of tokio.
    ///
    /// # Errors
    /// As socket(2), setsockopt(2) and bind(2); `ENODEV` when there is no such link.
    pub fn open(index: u32) -> io::Result<Self> {
        // Protocol 0: nothing is heard before the filter stands.
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd: OwnedFd = socket(AddressFamily::Packet, SockType::Raw, flags, None)?;
        let socket = Socket::from(fd);
        socket.attach_filter(&filter())?;
        bind(socket.as_raw_fd(), &link_address(index, &IPV4)?)?;
        // SAFETY: the socket owns its descriptor, and nothing here replaces or closes it.
        Ok(Self(unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?))
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// As send(2); `WouldBlock` when the link's queue is full, `ENETDOWN` when it is down.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        let mut socket = self.0.get_ref();
        let sent = socket.write(frame)?;
        if sent == frame.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Waits for a frame and writes it into `buffer`; its length. A longer one is cut off, which its own lengths then
    /// contradict. Nothing is lost when the wait is given up.
    ///
    /// # Errors
    /// As recv(2); `ENETDOWN` when the link went down.
    pub async fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.async_io(Interest::READABLE, |mut socket| socket.read(buffer)).await
    }
}
