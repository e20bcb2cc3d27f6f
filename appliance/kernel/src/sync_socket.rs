//! Sends messages to the backup synchronisation daemons of a segment. It moves bytes; `halcyon_core::sync` writes them.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use halcyon_core::sync::message::{GROUP, PORT};
use socket2::{Domain, Protocol, Socket, Type};

/// Multicasts `messages` from this box's address `source` to every backup daemon on its segment. This box's own daemon
/// does not hear them.
///
/// # Errors
/// As socket(2) and sendto(2); `EADDRNOTAVAIL` when no interface has `source`. Messages before the one that failed have
/// been sent.
pub fn send(source: Ipv4Addr, messages: &[Vec<u8>]) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::UDP))?;
    socket.bind(&SocketAddrV4::new(source, 0).into())?;
    socket.set_multicast_if_v4(&source)?;
    socket.set_multicast_loop_v4(false)?;
    // The segment and no further, as the kernel's own master daemon does (`mcast_ttl`).
    socket.set_multicast_ttl_v4(1)?;
    let socket = UdpSocket::from(socket);
    messages.iter().try_for_each(|message| socket.send_to(message, (GROUP, PORT)).map(drop))
}
