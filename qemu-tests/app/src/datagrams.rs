//! Datagrams, answered from the address they were sent to (`IP_PKTINFO`, ip(7)).

use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use anyhow::{Context, Result};
use nix::libc::in_pktinfo;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, sendmsg, setsockopt, sockopt,
};

/// Asks the kernel to tell each datagram's destination.
pub(crate) fn prepare(socket: &UdpSocket) -> Result<()> {
    socket.set_nonblocking(true)?;
    setsockopt(socket, sockopt::Ipv4PacketInfo, &true).context("IP_PKTINFO")
}

/// Answers one datagram; false when there is none.
pub(crate) fn answer(socket: &UdpSocket, name: &str) -> bool {
    let mut bytes = [0; 512];
    let mut parts = [IoSliceMut::new(&mut bytes)];
    let mut space = nix::cmsg_space!(in_pktinfo);
    let flags = MsgFlags::MSG_DONTWAIT;
    let Ok(message) = recvmsg::<SockaddrIn>(socket.as_raw_fd(), &mut parts, Some(&mut space), flags) else {
        return false;
    };
    let asked = message.cmsgs().ok().and_then(|mut all| {
        all.find_map(
            |one| if let ControlMessageOwned::Ipv4PacketInfo(info) = one { Some(info) } else { None },
        )
    });
    let (Some(from), Some(asked)) = (message.address, asked) else {
        return true;
    };
    // The answer's source is the address asked; its way out is left to the routing table.
    let info = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: asked.ipi_addr, ipi_addr: asked.ipi_addr };
    let line = format!("{name}\n");
    let control = [ControlMessage::Ipv4PacketInfo(&info)];
    // A client that cannot be answered is the client's loss.
    let _ = sendmsg(socket.as_raw_fd(), &[IoSlice::new(line.as_bytes())], &control, flags, Some(&from));
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn the_answer_comes_from_the_address_that_was_asked() {
        // Given a server on every address, when it is asked at 127.0.0.2, the answer must not come from 127.0.0.1.
        let server = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
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
}
