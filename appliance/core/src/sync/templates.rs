//! The persistence templates in the kernel's list of IPVS connections, `/proc/net/ip_vs_conn`. Everything else in it is
//! left out, and so are lines that are not understood; it never fails.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Connection, Kind};
use crate::config::Protocol;

/// The templates in the text of `/proc/net/ip_vs_conn` (`ip_vs_conn_seq_show`, net/netfilter/ipvs/ip_vs_conn.c). A
/// template is an entry without a client's port.
pub fn parse(text: &str) -> Vec<Connection> {
    text.lines().skip(1).filter_map(line).collect()
}

/// `Pro FromIP FPrt ToIP TPrt DestIP DPrt State Expires …`
fn line(line: &str) -> Option<Connection> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [protocol, from, from_port, to, to_port, server, server_port, _state, expires, rest @ ..] =
        words.as_slice()
    else {
        return None;
    };
    // What a persistence engine (SIP) adds is not told.
    if !rest.is_empty() || *from_port != "0000" {
        return None;
    }
    let protocol = match *protocol {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        _ => return None,
    };
    Some(Connection {
        protocol,
        client: SocketAddr::new(address(from)?, 0),
        service: endpoint(to, to_port)?,
        server: endpoint(server, server_port)?,
        kind: Kind::Template,
        timeout: Duration::from_secs(expires.parse().ok()?),
    })
    .filter(|c| c.client.is_ipv4() == c.service.is_ipv4() && c.service.is_ipv4() == c.server.is_ipv4())
}

fn endpoint(host: &str, port: &str) -> Option<SocketAddr> {
    Some(SocketAddr::new(address(host)?, u16::from_str_radix(port, 16).ok()?))
}

/// IPv4 as one hexadecimal number, most significant octet first; IPv6 in groups.
fn address(word: &str) -> Option<IpAddr> {
    if word.contains(':') {
        return word.parse().ok();
    }
    (word.len() == 8).then_some(())?;
    Some(IpAddr::V4(u32::from_str_radix(word, 16).ok()?.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TABLE: &str = "\
Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
TCP C0A80011 9C41 C0A800EF 22C2 C0A800EE 22C2 ESTABLISHED     899
TCP C0A80011 0000 C0A800EF 22C2 C0A800EE 22C2 ASSURED          49
UDP 20010db8000000000000000000000007 0000 x 0035 y 0035 NONE 12
UDP 2001:0db8:0000:0000:0000:0000:0000:0007 0000 2001:0db8:0000:0000:0000:0000:0000:0001 0035 2001:0db8:0000:0000:0000:0000:0000:0002 0035 NONE 12
TCP C0A80011 0000 C0A800EF 13C4 C0A800EE 13C4 NONE 60 sip 12345@example
";

    #[test]
    fn only_templates_are_read() {
        let found: Vec<String> = parse(TABLE)
            .iter()
            .map(|c| {
                format!("{} {} {} {} {}", c.protocol, c.client, c.service, c.server, c.timeout.as_secs())
            })
            .collect();
        let expected = [
            "tcp 192.168.0.17:0 192.168.0.239:8898 192.168.0.238:8898 49",
            "udp [2001:db8::7]:0 [2001:db8::1]:53 [2001:db8::2]:53 12",
        ];
        assert_eq!(found, expected);
        assert!(parse(TABLE).iter().all(|c| c.kind == Kind::Template));
    }

    proptest! {
        #[test]
        fn whatever_the_text_it_is_read_without_a_panic(text in "(?s).{0,300}", cut in 0..400_usize) {
            parse(&text);
            parse(TABLE.get(..cut).unwrap_or(TABLE));
        }
    }
}
