//! The raw socket that VRRP speaks through: IP protocol 112, one per interface.
//!
//! It moves bytes; what they mean is decided in `halcyon_core::vrrp`. Nothing here blocks.

use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd};

use halcyon_core::vrrp::wire::{GROUP, PROTOCOL, TTL};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};

/// Class selector 6, internetwork control, in the bits of the former TOS octet (RFC 2474 §4.2.2, RFC 4594 §3.2). The
/// kernel derives the packet's queueing priority from it, too.
const CLASS_SELECTOR_6: u32 = 0xc0;

/// A step of [`VrrpSocket::open`] that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {step} on {interface}")]
pub struct OpenError {
    /// The interface's name.
    pub interface: String,
    /// What was tried.
    pub step: &'static str,
    /// Why it failed.
    #[source]
    pub source: io::Error,
}

/// A raw socket of IP protocol 112 on one interface, member of 224.0.0.18 there.
#[derive(Debug)]
pub struct VrrpSocket {
    socket: Socket,
}

impl VrrpSocket {
    /// Opens the socket on the interface `name` with kernel index `index`, to send from its address `primary`.
    ///
    /// The socket is tied to the index, so it survives a change of the name but not of the link, and to `primary`: open
    /// another when one of them changes. It needs `CAP_NET_RAW`.
    ///
    /// # Errors
    /// The step that failed; `EADDRNOTAVAIL` when the interface has no such address.
    pub fn open(name: &str, index: u32, primary: Ipv4Addr) -> Result<Self, OpenError> {
        let step = |step: &'static str| {
            move |source: io::Error| OpenError { interface: name.to_owned(), step, source }
        };
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::from(i32::from(PROTOCOL))))
            .map_err(step("open a raw socket for VRRP"))?;
        socket.set_nonblocking(true).map_err(step("stop the VRRP socket from blocking"))?;
        socket.bind_device(Some(name.as_bytes())).map_err(step("tie the VRRP socket"))?;
        // Without this a raw socket gets the groups that any other socket has joined, on any interface.
        socket.set_multicast_all_v4(false).map_err(step("limit multicast reception"))?;
        socket
            .join_multicast_v4_n(&GROUP, &InterfaceIndexOrAddress::Index(index))
            .map_err(step("join 224.0.0.18"))?;
        // Chooses the source address of what is sent. bind(2) would, too, but then the kernel delivers to this socket
        // only what is addressed to `primary`, and no multicast.
        socket.set_multicast_if_v4(&primary).map_err(step("send VRRP from the interface's address"))?;
        socket.set_multicast_loop_v4(false).map_err(step("stop hearing itself"))?;
        socket.set_multicast_ttl_v4(u32::from(TTL)).map_err(step("set the TTL of VRRP"))?;
        socket.set_tos_v4(CLASS_SELECTOR_6).map_err(step("set the traffic class of VRRP"))?;
        Ok(Self { socket })
    }

    /// Sends a VRRP message to the group. The kernel writes the IP header.
    ///
    /// # Errors
    /// As sendto(2); `WouldBlock` when the interface's queue is full.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        let sent = self.socket.send_to(message, &SocketAddrV4::new(GROUP, 0).into())?;
        if sent == message.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Receives one datagram, IP header first, into `buffer`; returns its length. A longer datagram is cut off, which
    /// its header then contradicts.
    ///
    /// # Errors
    /// As recv(2); `WouldBlock` when nothing has arrived.
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.socket).read(buffer)
    }
}

impl AsFd for VrrpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
