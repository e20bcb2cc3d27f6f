//! Sockets of one family each: a socket on `[::]` that took IPv4 too would hide what a socket on `0.0.0.0` is given.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsRawFd, OwnedFd};

use anyhow::Result;
use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};

/// Listens for connections; accepting one never waits.
pub(crate) fn stream(address: SocketAddr) -> Result<TcpListener> {
    let socket = bound(SockType::Stream, address)?;
    listen(&socket, Backlog::new(128)?)?;
    Ok(socket.into())
}

/// Waits for datagrams; receiving one never waits.
pub(crate) fn datagrams(address: SocketAddr) -> Result<UdpSocket> {
    Ok(bound(SockType::Datagram, address)?.into())
}

fn bound(kind: SockType, address: SocketAddr) -> Result<OwnedFd> {
    let family = if address.is_ipv6() { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let socket = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    if kind == SockType::Stream {
        // A restarted application must not wait for the connections of the one before.
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn both_families_have_a_socket_of_their_own_on_the_same_port() {
        let four = stream((Ipv4Addr::UNSPECIFIED, 0).into()).expect("IPv4");
        let port = four.local_addr().expect("bound").port();
        let six = stream((Ipv6Addr::UNSPECIFIED, port).into()).expect("IPv6 beside it");
        assert_eq!(six.local_addr().expect("bound").port(), port);
    }
}
