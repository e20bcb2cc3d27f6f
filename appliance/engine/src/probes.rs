//! Carries out what finds out whether somebody is there: health checks, which open a TCP connection and close it again,
//! and a standby's pings. When to ask and what the outcome means is decided in `halcyon_core::health` and
//! `halcyon_core::standby`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

/// Opens and closes a TCP connection within `limit`; the error is a sentence for the log and the status.
pub async fn tcp(target: SocketAddr, limit: Duration) -> Result<(), String> {
    match timeout(limit, TcpStream::connect(target)).await {
        Ok(Ok(_connection)) => Ok(()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err(format!("{target} refuses connections"))
        }
        Ok(Err(error)) => Err(format!("{target}: {error}")),
        Err(_) => Err(format!("{target} does not answer within {} ms", limit.as_millis())),
    }
}

/// Sends an ICMP echo request and waits for its answer, for `limit` at most. Needs `CAP_NET_RAW`; whatever fails is no
/// answer, as it is for the one who waits for it.
pub async fn ping(target: IpAddr, number: u64, limit: Duration) -> bool {
    timeout(limit, echo(target, number)).await.is_ok_and(|answered| answered.is_ok())
}

async fn echo(target: IpAddr, number: u64) -> io::Result<()> {
    let (domain, protocol, request, reply) = match target {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4, 8, 0),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6, 128, 129),
    };
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    socket.set_nonblocking(true)?;
    // A raw socket that is connected hears this neighbour only.
    socket.connect(&SocketAddr::new(target, 0).into())?;
    let socket = UdpSocket::from_std(socket.into())?;
    let message = echo_request(request, number);
    socket.send(&message).await?;
    let mut buffer = [0; 256];
    loop {
        let length = socket.recv(&mut buffer).await?;
        // IPv4 hands the IP header over, too (raw(7)); its length is in its first octet, in words.
        let header = if target.is_ipv4() { usize::from(buffer[0] & 0x0f) * 4 } else { 0 };
        let heard = buffer[..length].get(header..header + message.len());
        if heard.is_some_and(|heard| heard[0] == reply && heard[1] == 0 && heard[4..] == message[4..]) {
            return Ok(());
        }
    }
}

/// An echo request (RFC 792, RFC 4443 §4.1) that bears the request's number and this process's. For ICMPv6 the kernel
/// computes the checksum anew, over its pseudo-header.
fn echo_request(kind: u8, number: u64) -> [u8; 16] {
    let mut message = [0; 16];
    message[0] = kind;
    message[4..8].copy_from_slice(&std::process::id().to_be_bytes());
    message[8..].copy_from_slice(&number.to_be_bytes());
    let sum = ones_complement_sum(&message);
    message[2..4].copy_from_slice(&(!sum).to_be_bytes());
    message
}

/// The sum of the Internet checksum (RFC 1071 §1), of an even number of octets.
fn ones_complement_sum(octets: &[u8]) -> u16 {
    octets.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).fold(0, |sum, word| {
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_requests_checksum_is_the_internets() {
        for number in [0, 1, 0xffff, u64::MAX] {
            let message = echo_request(8, number);
            let sum: u32 =
                message.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
            assert_eq!((sum & 0xffff) + (sum >> 16), 0xffff, "RFC 1071: the sum over everything is all ones");
        }
    }

    #[tokio::test]
    async fn a_listener_passes_and_a_closed_port_fails_with_its_reason() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        assert_eq!(tcp(target, Duration::from_secs(5)).await, Ok(()));
        drop(listener);
        assert!(tcp(target, Duration::from_secs(5)).await.unwrap_err().contains("refuses"));
    }
}
