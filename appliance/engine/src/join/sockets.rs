//! Sockets on link-local addresses, which every port has whose cable is in, document or not; and frames on a stream.
//! Decides nothing.

use std::cell::Cell;
use std::fs;
use std::io;
use std::net::{Ipv6Addr, SocketAddrV6};
use std::rc::Rc;

use halcyon_core::join::wire::{Frame, LENGTH};
use halcyon_core::join::{GROUP, PORT};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Where the kernel tells of IPv6 addresses.
const ADDRESSES: &str = "/proc/net/if_inet6";
/// `IPV6_ADDR_LINKLOCAL` (`include/net/ipv6.h`), as the scope is printed.
const LINK_LOCAL: u8 = 0x20;
/// `IFA_F_TENTATIVE` and `IFA_F_DADFAILED` (`include/uapi/linux/if_addr.h`): nothing can be sent from it.
const UNUSABLE: u8 = 0x40 | 0x08;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 8;

/// A link with a usable link-local address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Its name now.
    pub(super) name: String,
    /// The kernel's index.
    pub(super) index: u32,
    /// The address.
    pub(super) address: Ipv6Addr,
}

/// The links with a usable link-local address.
pub(super) fn links() -> Vec<Link> {
    parse(&fs::read_to_string(ADDRESSES).unwrap_or_default())
}

/// One line for each address: address, index, prefix length, scope, flags, name, in hexadecimal digits.
fn parse(text: &str) -> Vec<Link> {
    let link = |line: &str| {
        let [address, index, _, scope, flags, name] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return None;
        };
        let flag = |text| u8::from_str_radix(text, 16).ok();
        if flag(scope)? != LINK_LOCAL || flag(flags)? & UNUSABLE != 0 {
            return None;
        }
        Some(Link {
            name: name.to_owned(),
            index: u32::from_str_radix(index, 16).ok()?,
            address: Ipv6Addr::from(u128::from_str_radix(address, 16).ok()?),
        })
    };
    text.lines().filter_map(link).collect()
}

/// Asks on a link. It is bound to the link's address, which is what lets answers in past the input filter.
pub(super) fn asking(link: &Link) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    socket.set_multicast_if_v6(link.index)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddrV6::new(link.address, 0, 0, link.index).into())?;
    UdpSocket::from_std(socket.into())
}

/// Where everybody on a link hears a question.
pub(super) fn everybody(link: &Link) -> SocketAddrV6 {
    SocketAddrV6::new(GROUP, PORT, 0, link.index)
}

/// Hears questions, on all links.
pub(super) fn answering() -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_only_v6(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, PORT, 0, 0).into())?;
    for link in links() {
        socket.join_multicast_v6(&GROUP, link.index)?;
    }
    UdpSocket::from_std(socket.into())
}

/// Waits for boxes that join.
pub(super) fn listening() -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::IPV6, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_only_v6(true)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, PORT, 0, 0).into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// A connection: a task that reads frames and one that writes what is sent. What was sent is written to its end when this
/// is dropped; nothing is read any more then.
#[derive(Debug)]
pub(super) struct Line {
    out: mpsc::UnboundedSender<Vec<u8>>,
    longest: Rc<Cell<usize>>,
    reader: JoinHandle<()>,
}

impl Line {
    /// Takes a connection over; `heard` gets each frame without its length, and `None` once the peer has gone or has sent
    /// what is no frame.
    pub(super) fn new(
        stream: TcpStream,
        longest: usize,
        mut heard: impl FnMut(Option<Vec<u8>>) + 'static,
    ) -> Self {
        let (mut read, mut write) = stream.into_split();
        let (out, mut outbox) = mpsc::unbounded_channel::<Vec<u8>>();
        tokio::task::spawn_local(async move {
            while let Some(bytes) = outbox.recv().await {
                if write.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            // The peer may have gone first.
            let _ = write.shutdown().await;
        });
        let longest = Rc::new(Cell::new(longest));
        let limit = Rc::clone(&longest);
        let reader = tokio::task::spawn_local(async move {
            let mut length = [0; LENGTH];
            while read.read_exact(&mut length).await.is_ok() {
                let Ok(length) = Frame::length(length, limit.get()) else { break };
                let mut frame = vec![0; length];
                if read.read_exact(&mut frame).await.is_err() {
                    break;
                }
                heard(Some(frame));
            }
            heard(None);
        });
        Self { out, longest, reader }
    }

    /// Sends bytes.
    pub(super) fn send(&self, bytes: Vec<u8>) {
        // A peer that has gone is told of by the reader.
        let _ = self.out.send(bytes);
    }

    /// The longest frame that is read from now on.
    pub(super) fn set_longest(&self, longest: usize) {
        self.longest.set(longest);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_usable_link_local_addresses_are_taken() {
        let text = "\
fe80000000000000505400fffe00000a 02 40 20 80     eth0
fe80000000000000505400fffe00000b 03 40 20 c0     eth1
00000000000000000000000000000001 01 80 10 80       lo
fd000000000000000000000000000001 02 40 00 80     eth0
nonsense
";
        let eth0 = Link { name: "eth0".into(), index: 2, address: "fe80::5054:ff:fe00:a".parse().unwrap() };
        assert_eq!(parse(text), [eth0]);
    }
}
