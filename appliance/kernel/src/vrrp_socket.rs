//! The raw socket that VRRP speaks through: IP protocol 112, one per interface and address family.
//!
//! It moves bytes; what they mean is decided in `halcyon_core::vrrp`. Nothing here blocks.

use std::io::{self, IoSliceMut, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use halcyon_core::vrrp::wire::{GROUP, GROUP6, Malformed, PROTOCOL, Packet, TTL};
use nix::libc::in6_pktinfo;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn6, recvmsg, setsockopt, sockopt};
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

/// A raw socket of IP protocol 112 on one interface, member of VRRP's group there.
#[derive(Debug)]
pub struct VrrpSocket {
    socket: Socket,
    group: SocketAddr,
}

impl VrrpSocket {
    /// Opens the socket on the interface `name` with kernel index `index`, to send from its address `primary`, whose
    /// family it speaks; over IPv6 that is the link-local one (RFC 9568 §5.1.2.1).
    ///
    /// The socket is tied to the index, so it survives a change of the name but not of the link, and to `primary`: open
    /// another when one of them changes. It needs `CAP_NET_RAW`.
    ///
    /// # Errors
    /// The step that failed; `EADDRNOTAVAIL` when the interface has no such address.
    pub fn open(name: &str, index: u32, primary: IpAddr) -> Result<Self, OpenError> {
        let step = |step: &'static str| {
            move |source: io::Error| OpenError { interface: name.to_owned(), step, source }
        };
        let domain = if primary.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(i32::from(PROTOCOL))))
            .map_err(step("open a raw socket for VRRP"))?;
        socket.set_nonblocking(true).map_err(step("stop the VRRP socket from blocking"))?;
        socket.bind_device(Some(name.as_bytes())).map_err(step("tie the VRRP socket"))?;
        let (group, prepared) = match primary {
            IpAddr::V4(primary) => (SocketAddr::new(GROUP.into(), 0), ipv4(&socket, index, primary)),
            IpAddr::V6(primary) => {
                (SocketAddrV6::new(GROUP6, 0, 0, index).into(), ipv6(&socket, index, primary))
            }
        };
        prepared.map_err(|(what, source)| step(what)(source))?;
        Ok(Self { socket, group })
    }

    /// Sends a VRRP message to the group. The kernel writes the IP header.
    ///
    /// # Errors
    /// As sendto(2); `WouldBlock` when the interface's queue is full.
    pub fn send(&self, message: &[u8]) -> io::Result<()> {
        let sent = self.socket.send_to(message, &self.group.into())?;
        if sent == message.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// Receives one packet into `buffer`. A longer one is cut off, which its header or its length then contradicts.
    ///
    /// # Errors
    /// As recv(2); `WouldBlock` when nothing has arrived. The inner error: what arrived is no packet.
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Result<Packet<'b>, Malformed>> {
        if self.group.is_ipv4() {
            let length = (&self.socket).read(buffer)?;
            return Ok(Packet::from_ip(&buffer[..length]));
        }
        self.receive6(buffer)
    }

    /// Over IPv6 a raw socket delivers what is behind the header; the header's fields come beside it (RFC 3542 §6).
    fn receive6<'b>(&self, buffer: &'b mut [u8]) -> io::Result<Result<Packet<'b>, Malformed>> {
        let mut space = nix::cmsg_space!(in6_pktinfo, i32);
        let (mut destination, mut hop_limit) = (None, None);
        let (source, length) = {
            let mut parts = [IoSliceMut::new(buffer)];
            let flags = MsgFlags::MSG_DONTWAIT;
            let received =
                recvmsg::<SockaddrIn6>(self.socket.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
            for beside in received.cmsgs().into_iter().flatten() {
                match beside {
                    ControlMessageOwned::Ipv6PacketInfo(info) => {
                        destination = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr));
                    }
                    ControlMessageOwned::Ipv6HopLimit(limit) => hop_limit = u8::try_from(limit).ok(),
                    _ => {}
                }
            }
            (received.address.map(|address| address.ip()), received.bytes)
        };
        let (Some(source), Some(destination), Some(ttl)) = (source, destination, hop_limit) else {
            return Ok(Err(Malformed::IpHeader));
        };
        let message = &buffer[..length.min(buffer.len())];
        Ok(Ok(Packet { source: source.into(), destination: destination.into(), ttl, message }))
    }
}

/// What could not be done, and why.
type Failure = (&'static str, io::Error);

fn ipv4(socket: &Socket, index: u32, primary: Ipv4Addr) -> Result<(), Failure> {
    let step = |step: &'static str| move |source: io::Error| (step, source);
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
    socket.set_tos_v4(CLASS_SELECTOR_6).map_err(step("set the traffic class of VRRP"))
}

fn ipv6(socket: &Socket, index: u32, primary: Ipv6Addr) -> Result<(), Failure> {
    let step = |step: &'static str| move |source: io::Error| (step, source);
    socket.set_multicast_all_v6(false).map_err(step("limit multicast reception"))?;
    socket.join_multicast_v6(&GROUP6, index).map_err(step("join ff02::12"))?;
    // Chooses the source address of what is sent. Unlike an IPv4 socket, a bound one goes on receiving the groups that
    // it has joined (`raw_v6_match`, net/ipv6/raw.c).
    let from = SocketAddrV6::new(primary, 0, 0, index);
    socket.bind(&SocketAddr::V6(from).into()).map_err(step("send VRRP from the link-local address"))?;
    socket.set_multicast_if_v6(index).map_err(step("send VRRP there"))?;
    socket.set_multicast_loop_v6(false).map_err(step("stop hearing itself"))?;
    socket.set_multicast_hops_v6(u32::from(TTL)).map_err(step("set the hop limit of VRRP"))?;
    socket.set_tclass_v6(CLASS_SELECTOR_6).map_err(step("set the traffic class of VRRP"))?;
    setsockopt(socket, sockopt::Ipv6RecvHopLimit, &true)
        .map_err(|errno| ("be told the hop limit", errno.into()))?;
    setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)
        .map_err(|errno| ("be told the destination", errno.into()))
}

impl AsFd for VrrpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
