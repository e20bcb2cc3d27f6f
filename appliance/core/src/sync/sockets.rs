//! The kernel's list of TCP sockets, `/proc/net/tcp` and `/proc/net/tcp6`, read for connections. Lines that are no
//! connection, or that are not understood, are left out; it never fails.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::State;

/// One end of a TCP connection on this box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// This end.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// How far it is.
    pub state: State,
}

/// The connections in the text of `/proc/net/tcp` or `/proc/net/tcp6` (`tcp4_seq_show`, net/ipv4/tcp_ipv4.c). An IPv4
/// connection of a socket that serves both families is in the second, as a mapped address, and comes out as IPv4.
pub fn parse(text: &str) -> Vec<Socket> {
    text.lines().skip(1).filter_map(line).collect()
}

/// `sl local_address rem_address st …`
fn line(line: &str) -> Option<Socket> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let local = endpoint(words.next()?)?;
    let remote = endpoint(words.next()?)?;
    Some(Socket { local, remote, state: state(words.next()?)? })
}

/// `enum` in include/net/tcp_states.h.
fn state(word: &str) -> Option<State> {
    match word {
        "01" => Some(State::Established),
        "03" => Some(State::SynReceived),
        // The first or the second of FIN-WAIT; CLOSING is one of them to a director.
        "04" | "05" | "0B" => Some(State::FinWait),
        "08" => Some(State::CloseWait),
        "09" => Some(State::LastAck),
        _ => None,
    }
}

/// `0F02000A:1F90`: the address as 32-bit words in the machine's byte order, which is little-endian here.
fn endpoint(word: &str) -> Option<SocketAddr> {
    let (address, port) = word.split_once(':')?;
    let words: Vec<[u8; 4]> = address
        .as_bytes()
        .chunks(8)
        .map(|digits| {
            let digits = std::str::from_utf8(digits).ok().filter(|d| d.len() == 8)?;
            Some(u32::from_str_radix(digits, 16).ok()?.to_le_bytes())
        })
        .collect::<Option<_>>()?;
    let address = match *words.as_slice() {
        [word] => IpAddr::V4(Ipv4Addr::from(word)),
        [a, b, c, d] => {
            let bytes: [u8; 16] = [a, b, c, d].concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(bytes)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FOUR: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:22C2 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 11023 1 0000000000000000 100 0 0 10 0
   1: EF00A8C0:22C2 1100A8C0:9C41 01 00000000:00000000 00:00000000 00000000     0        0 20111 1 0000000000000000 20 4 0 10 -1
   2: EF00A8C0:22C2 1200A8C0:9C42 03 00000000:00000000 01:00000064 00000000     0        0 0 1 0000000000000000
   3: EF00A8C0:22C2 1300A8C0:9C43 06 00000000:00000000 03:00000064 00000000     0        0 0 3 0000000000000000
";
    const SIX: &str = "\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt
   0: 0000000000000000FFFF0000EF00A8C0:22C2 0000000000000000FFFF00001100A8C0:9C41 08 00000000:00000000
   1: B80D0120000000000000000001000000:0050 B80D0120000000000000000002000000:C351 01 00000000:00000000
";

    fn seen(text: &str) -> Vec<String> {
        parse(text).iter().map(|s| format!("{} {} {:?}", s.local, s.remote, s.state)).collect()
    }

    #[test]
    fn connections_are_read_and_listeners_and_the_departed_are_not() {
        let four = [
            "192.168.0.239:8898 192.168.0.17:40001 Established",
            "192.168.0.239:8898 192.168.0.18:40002 SynReceived",
        ];
        assert_eq!(seen(FOUR), four);
        let six = [
            "192.168.0.239:8898 192.168.0.17:40001 CloseWait",
            "[2001:db8::1]:80 [2001:db8::2]:50001 Established",
        ];
        assert_eq!(seen(SIX), six);
    }

    proptest! {
        #[test]
        fn whatever_the_text_it_is_read_without_a_panic(text in "(?s).{0,300}", cut in 0..600_usize) {
            parse(&text);
            parse(FOUR.get(..cut).unwrap_or(FOUR));
            parse(SIX.get(..cut).unwrap_or(SIX));
        }
    }
}
