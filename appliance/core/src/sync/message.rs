//! Connections in the kernel's synchronisation format, version 1 (net/netfilter/ipvs/ip_vs_sync.c): what a backup
//! daemon takes in as if a master daemon had sent it.
//!
//! ```text
//! header      0 | sync id | size, 16 bits | connections | version 1 | 0, 16 bits
//! connection  family | protocol | size, 16 bits | flags, 32 bits | state | client's port | virtual port | server's port
//!             | firewall mark, 32 bits | timeout in seconds, 32 bits | client | virtual address | server
//! ```
//! All numbers big-endian. It never sends sequence offsets or a persistence engine's data: direct routing has neither.

use std::net::{IpAddr, Ipv4Addr};

use super::{Connection, Kind};

/// The group that backup daemons listen to, `IP_VS_SYNC_GROUP`.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 81);
/// The UDP port, `IP_VS_SYNC_PORT`.
pub const PORT: u16 = 8848;
/// Longest message: what fits into an Ethernet frame, as the kernel's own messages do.
const LONGEST: usize = 1472;
/// `SYNC_PROTO_VER`.
const VERSION: u8 = 1;
/// `STYPE_F_INET6`.
const INET6: u8 = 1;
/// `IP_VS_CONN_F_DROUTE` (include/uapi/linux/ip_vs.h).
const DIRECT: u32 = 3;
/// `IP_VS_CONN_F_TEMPLATE`.
const TEMPLATE: u32 = 0x1000;
const HEADER: usize = 8;

/// As many messages as `connections` need, for the daemons with sync id `id`.
pub fn write(id: u8, connections: &[Connection]) -> Vec<Vec<u8>> {
    let mut messages = Vec::new();
    let mut body = Vec::new();
    let mut count = 0;
    for connection in connections {
        let entry = entry(connection);
        if count == u8::MAX || HEADER + body.len() + entry.len() > LONGEST {
            messages.push(message(id, count, &body));
            body.clear();
            count = 0;
        }
        body.extend(entry);
        count += 1;
    }
    if count > 0 {
        messages.push(message(id, count, &body));
    }
    messages
}

fn message(id: u8, count: u8, body: &[u8]) -> Vec<u8> {
    let size = u16::try_from(HEADER + body.len()).expect("no message is longer than LONGEST");
    let mut message = vec![0, id];
    message.extend(size.to_be_bytes());
    message.extend([count, VERSION, 0, 0]);
    message.extend(body);
    message
}

fn entry(connection: &Connection) -> Vec<u8> {
    let Connection { protocol, client, service, server, kind, timeout } = *connection;
    let (flags, state) = match kind {
        Kind::Connection(state) => (DIRECT, state as u16),
        Kind::Template => (DIRECT | TEMPLATE, 0),
    };
    let addresses: Vec<u8> = [client, service, server].iter().flat_map(|end| octets(end.ip())).collect();
    let family = if service.is_ipv6() { INET6 } else { 0 };
    let size = u16::try_from(24 + addresses.len()).expect("three addresses are 48 bytes at most");
    let mut entry = vec![family, protocol.number()];
    entry.extend(size.to_be_bytes());
    entry.extend(flags.to_be_bytes());
    for number in [state, client.port(), service.port(), server.port()] {
        entry.extend(number.to_be_bytes());
    }
    // No firewall mark: the destination is looked up by the virtual address.
    entry.extend(0_u32.to_be_bytes());
    entry.extend(u32::try_from(timeout.as_secs()).unwrap_or(u32::MAX).to_be_bytes());
    entry.extend(addresses);
    entry
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::time::Duration;

    use super::*;
    use crate::config::Protocol;
    use crate::sync::State;

    fn end(text: &str) -> SocketAddr {
        text.parse().expect("an endpoint")
    }

    fn connection(client: &str) -> Connection {
        Connection {
            protocol: Protocol::Tcp,
            client: end(client),
            service: end("192.168.0.239:8898"),
            server: end("192.168.0.238:8898"),
            kind: Kind::Connection(State::Established),
            timeout: Duration::from_secs(900),
        }
    }

    #[test]
    fn a_connection_is_written_as_the_kernel_reads_it() {
        let expected: Vec<u8> = [
            &[0, 51, 0, 44, 1, 1, 0, 0][..],
            &[0, 6, 0, 36, 0, 0, 0, 3],
            &[0, 1, 0x9c, 0x41, 0x22, 0xc2, 0x22, 0xc2],
            &[0, 0, 0, 0, 0, 0, 3, 0x84],
            &[192, 168, 0, 17, 192, 168, 0, 239, 192, 168, 0, 238],
        ]
        .concat();
        assert_eq!(write(51, &[connection("192.168.0.17:40001")]), [expected]);
    }

    #[test]
    fn a_template_of_ipv6_is_written_as_the_kernel_reads_it() {
        let template = Connection {
            protocol: Protocol::Udp,
            client: end("[2001:db8::7]:0"),
            service: end("[2001:db8::1]:53"),
            server: end("[2001:db8::2]:53"),
            kind: Kind::Template,
            timeout: Duration::from_secs(50),
        };
        let messages = write(1, &[template]);
        let [message] = messages.as_slice() else { panic!("one message, not {}", messages.len()) };
        assert_eq!(message.len(), 8 + 72);
        assert_eq!(message[8..16], [1, 17, 0, 72, 0, 0, 0x10, 3]);
        assert_eq!(message[16..24], [0, 0, 0, 0, 0, 53, 0, 53]);
        assert_eq!(message[8 + 24 + 15], 7);
        assert_eq!(message[8 + 24 + 47], 2);
    }

    #[test]
    fn many_connections_fill_messages_that_fit_into_a_frame_and_none_is_lost() {
        let connections: Vec<_> = (0..1000).map(|n| connection(&format!("10.0.0.1:{}", 1024 + n))).collect();
        let messages = write(7, &connections);
        let told: usize = messages.iter().map(|m| usize::from(m[4])).sum();
        assert_eq!(told, 1000);
        for message in &messages {
            assert!(message.len() <= LONGEST);
            assert_eq!(usize::from(u16::from_be_bytes([message[2], message[3]])), message.len());
            assert_eq!(message.len(), HEADER + 36 * usize::from(message[4]));
        }
        assert!(write(7, &[]).is_empty());
    }
}
