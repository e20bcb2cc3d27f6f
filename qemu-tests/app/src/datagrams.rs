//! Datagrams, answered from the address they were sent to (`IP_PKTINFO`, ip(7); `IPV6_PKTINFO`, RFC 3542 §6).

use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};

/// Asks the kernel to tell each datagram's destination.
pub(crate) fn prepare(socket: &UdpSocket) -> Result<()> {
    if socket.local_addr()?.is_ipv6() {
        return setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true).context("IPV6_RECVPKTINFO");
    }
    setsockopt(socket, sockopt::Ipv4PacketInfo, &true).context("IP_PKTINFO")
}

/// Answers one datagram; false when there is none.
pub(crate) fn answer(socket: &UdpSocket, name: &str) -> bool {
    let mut bytes = [0; 512];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut space = nix::cmsg_space!(in6_pktinfo);
    let flags = MsgFlags::MSG_DONTWAIT;
    let received = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags);
    let Ok(message) = received else { return false };
    let asked = message.cmsgs().ok().and_then(|mut all| all.next());
    let line = format!("{name}\n");
    let line = [IoSlice::new(line.as_bytes())];
    let reply = |control| {
        // A client that cannot be answered is the client's loss.
        let _ = sendmsg(socket.as_raw_fd(), &line, &[control], flags, message.address.as_ref());
    };
    // The answer's source is the address asked; its way out is left to the routing table.
    match asked {
        Some(ControlMessageOwned::Ipv4PacketInfo(asked)) => {
            let address = asked.ipi_addr;
            reply(ControlMessage::Ipv4PacketInfo(&in_pktinfo {
                ipi_ifindex: 0,
                ipi_spec_dst: address,
                ipi_addr: address,
            }));
        }
        Some(ControlMessageOwned::Ipv6PacketInfo(asked)) => {
            reply(ControlMessage::Ipv6PacketInfo(&in6_pktinfo { ipi6_ifindex: 0, ..asked }));
        }
        _ => {}
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::listening;
    use std::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn the_answer_comes_from_the_address_that_was_asked() {
        // Given a server on every address, when it is asked at 127.0.0.2, the answer must not come from 127.0.0.1.
        let server = listening::datagrams((Ipv4Addr::UNSPECIFIED, 0).into()).unwrap();
        prepare(&server).unwrap();
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let asked = (Ipv4Addr::new(127, 0, 0, 2), server.local_addr().unwrap().port());
        client.send_to(b"?", asked).unwrap();
        assert!(answer(&server, "castor"));
        let mut bytes = [0; 16];
        let (length, from) = client.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..length], from), (&b"castor\n"[..], asked.into()));
        assert!(!answer(&server, "castor"), "one datagram, one answer");
    }

    #[test]
    fn ipv6_is_answered_too() {
        let server = listening::datagrams((Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
        prepare(&server).unwrap();
        let client = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
        let asked = (Ipv6Addr::LOCALHOST, server.local_addr().unwrap().port());
        client.send_to(b"?", asked).unwrap();
        assert!(answer(&server, "castor"));
        let mut bytes = [0; 16];
        let (length, from) = client.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..length], from), (&b"castor\n"[..], asked.into()));
    }
}
