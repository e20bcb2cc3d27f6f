//! The server of a site: answers ARP, and over UDP time (NTP), names (DNS) and addresses (DHCP), each from a few lines of
//! its own, so that nothing that the product gets wrong is right here for the same reason.
//!
//! Pure: frames in, frames out, the wall clock handed in.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    IpProtocol, Ipv4Packet, Ipv4Repr, UdpPacket, UdpRepr,
};

use crate::switch::frame::Mac;

/// Between 1900, where NTP counts from, and 1970 (RFC 5905 §A.4).
const NTP_EPOCH: u64 = 2_208_988_800;
/// DHCP's magic cookie (RFC 2131 §3).
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// The ports of DHCP's server and client, of DNS and of NTP.
const DHCP: (u16, u16) = (67, 68);
const DNS: u16 = 53;
const NTP: u16 = 123;

/// What a box is lent.
#[derive(Clone, Debug)]
pub struct Lending {
    /// The address.
    pub address: Ipv4Addr,
    /// Length of its subnet's prefix.
    pub prefix: u8,
    /// The router and the name servers that are told with it.
    pub router: Ipv4Addr,
    /// For so long.
    pub lease: Duration,
}

/// The server.
#[derive(Debug)]
pub struct Servant {
    mac: Mac,
    address: Ipv4Addr,
    /// How far its clock is ahead of the test host's.
    pub ahead: Duration,
    /// What it answers to a question for any name.
    pub host: Ipv4Addr,
    /// What is lent to the one client there is; `None`: it refuses (DHCPNAK) and offers nothing.
    pub lending: Option<Lending>,
    /// How many questions of each kind came: `ntp`, `dns`, `discover`, `request`, `renewal`; and answers to its own, `echo`.
    pub asked: BTreeMap<&'static str, usize>,
    sent: Vec<Vec<u8>>,
}

impl Servant {
    /// A server with this address on its one link.
    pub fn new(mac: Mac, address: Ipv4Addr) -> Self {
        Self {
            mac,
            address,
            ahead: Duration::ZERO,
            host: Ipv4Addr::UNSPECIFIED,
            lending: None,
            asked: BTreeMap::new(),
            sent: Vec::new(),
        }
    }

    /// What it has to send.
    pub fn take_sent(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.sent)
    }

    /// Sends an ICMP echo request (RFC 792); an answer is counted as `echo`.
    pub fn ping(&mut self, mac: Mac, to: Ipv4Addr) {
        // The checksum of a type of 8 and nothing but zeros.
        let message = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
        let ip = Ipv4Repr {
            src_addr: self.address,
            dst_addr: to,
            next_header: IpProtocol::Icmp,
            payload_len: message.len(),
            hop_limit: 64,
        };
        let length = ip.buffer_len() + ip.payload_len;
        self.frame(EthernetAddress(mac.0), EthernetProtocol::Ipv4, length, |payload| {
            let mut packet = Ipv4Packet::new_unchecked(payload);
            ip.emit(&mut packet, &ChecksumCapabilities::default());
            packet.payload_mut().copy_from_slice(&message);
        });
    }

    /// Takes a frame in; `wall` is the test host's time since 1970.
    pub fn receive(&mut self, frame: &[u8], wall: Duration) {
        // What is cut short or for somebody else has no answer.
        let _ = self.answer(frame, wall);
    }

    fn answer(&mut self, frame: &[u8], wall: Duration) -> Option<()> {
        let ethernet = EthernetFrame::new_checked(frame).ok()?;
        let from = ethernet.src_addr();
        match ethernet.ethertype() {
            EthernetProtocol::Arp => {
                let question = ArpRepr::parse(&ArpPacket::new_checked(ethernet.payload()).ok()?).ok()?;
                let ArpRepr::EthernetIpv4 { operation, source_protocol_addr, target_protocol_addr, .. } =
                    question
                else {
                    return None;
                };
                if operation != ArpOperation::Request || target_protocol_addr != self.address {
                    return None;
                }
                let answer = ArpRepr::EthernetIpv4 {
                    operation: ArpOperation::Reply,
                    source_hardware_addr: EthernetAddress(self.mac.0),
                    source_protocol_addr: self.address,
                    target_hardware_addr: from,
                    target_protocol_addr: source_protocol_addr,
                };
                self.frame(from, EthernetProtocol::Arp, answer.buffer_len(), |payload| {
                    answer.emit(&mut ArpPacket::new_unchecked(payload));
                });
            }
            EthernetProtocol::Ipv4 => {
                let ip = Ipv4Packet::new_checked(ethernet.payload()).ok()?;
                let is_echo = ip.next_header() == IpProtocol::Icmp && ip.payload().first() == Some(&0);
                if is_echo && ip.dst_addr() == self.address {
                    *self.asked.entry("echo").or_default() += 1;
                }
                if ip.next_header() != IpProtocol::Udp {
                    return None;
                }
                let udp = UdpPacket::new_checked(ip.payload()).ok()?;
                let (port, source) = (udp.src_port(), ip.src_addr());
                let (to, answer) = match udp.dst_port() {
                    NTP if ip.dst_addr() == self.address => (source, self.time(udp.payload(), wall)?),
                    DNS if ip.dst_addr() == self.address => (source, self.name(udp.payload())?),
                    port if port == DHCP.0 => (Ipv4Addr::BROADCAST, self.lend(udp.payload())?),
                    _ => return None,
                };
                self.datagram(from, to, (udp.dst_port(), port), &answer);
            }
            _ => {}
        }
        Some(())
    }

    /// A server's answer (RFC 5905 §7.3): stratum 1, and the client's transmit time as origin.
    fn time(&mut self, question: &[u8], wall: Duration) -> Option<Vec<u8>> {
        let client = 3;
        if question.len() < 48 || question[0] & 7 != client {
            return None;
        }
        *self.asked.entry("ntp").or_default() += 1;
        let now = wall + self.ahead;
        let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
        let stamp = (((now.as_secs() + NTP_EPOCH) << 32) | fraction).to_be_bytes();
        let mut answer = vec![0; 48];
        answer[0] = (question[0] & 0x38) | 4;
        // Stratum, poll, precision of a microsecond; then no root delay, a small dispersion, and its name.
        answer[1..4].copy_from_slice(&[1, question[2], 0xec]);
        answer[10] = 1;
        answer[12..16].copy_from_slice(b"TEST");
        answer[16..24].copy_from_slice(&stamp);
        answer[24..32].copy_from_slice(&question[40..48]);
        answer[32..40].copy_from_slice(&stamp);
        answer[40..48].copy_from_slice(&stamp);
        Some(answer)
    }

    /// One address record for whatever is asked (RFC 1035 §4.1); other types than A have none.
    fn name(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        let mut end = 12;
        while *question.get(end)? != 0 {
            end += usize::from(question[end]) + 1;
        }
        let kind = question.get(end + 1..end + 5)?;
        *self.asked.entry("dns").or_default() += 1;
        let is_address = kind == [0, 1, 0, 1];
        let mut answer = question[..end + 5].to_vec();
        answer[2..12].copy_from_slice(&[0x85, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
        if is_address {
            answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
            answer.extend(self.host.octets());
        }
        Some(answer)
    }

    /// Offers, acknowledges and refuses (RFC 2131 §4.3).
    fn lend(&mut self, question: &[u8]) -> Option<Vec<u8>> {
        let options = question.get(240..).filter(|_| question[0] == 1 && question[236..240] == COOKIE)?;
        let (kind, wanted) = (option(options, 53)?, option(options, 50));
        let renewing = question[12..16] != [0; 4];
        let (what, reply) = match (kind, &self.lending) {
            ([1], None) => return None,
            ([1], Some(_)) => ("discover", 2),
            ([3], None) => ("request", 6),
            ([3], Some(lending)) => {
                let asked = if renewing { &question[12..16] } else { wanted? };
                let right = asked == lending.address.octets();
                (if renewing { "renewal" } else { "request" }, if right { 5 } else { 6 })
            }
            _ => return None,
        };
        *self.asked.entry(what).or_default() += 1;
        let mut answer = vec![0; 236];
        answer[..3].copy_from_slice(&[2, 1, 6]);
        answer[4..8].copy_from_slice(&question[4..8]);
        answer[28..44].copy_from_slice(&question[28..44]);
        answer.extend(COOKIE);
        answer.extend([53, 1, reply, 54, 4]);
        answer.extend(self.address.octets());
        if let Some(lending) = self.lending.as_ref().filter(|_| reply != 6) {
            answer[16..20].copy_from_slice(&lending.address.octets());
            answer.extend([51, 4]);
            answer.extend((lending.lease.as_secs() as u32).to_be_bytes());
            answer.extend([1, 4]);
            answer.extend((!0_u32 << (32 - lending.prefix)).to_be_bytes());
            for (code, address) in [(3, lending.router), (6, self.address)] {
                answer.extend([code, 4]);
                answer.extend(address.octets());
            }
        }
        answer.push(255);
        Some(answer)
    }

    fn datagram(
        &mut self,
        mac: EthernetAddress,
        to: Ipv4Addr,
        (from_port, to_port): (u16, u16),
        data: &[u8],
    ) {
        let udp = UdpRepr { src_port: from_port, dst_port: to_port };
        let ip = Ipv4Repr {
            src_addr: self.address,
            dst_addr: to,
            next_header: IpProtocol::Udp,
            payload_len: udp.header_len() + data.len(),
            hop_limit: 64,
        };
        let source = self.address;
        self.frame(mac, EthernetProtocol::Ipv4, ip.buffer_len() + ip.payload_len, |payload| {
            let checksums = ChecksumCapabilities::default();
            let mut packet = Ipv4Packet::new_unchecked(payload);
            ip.emit(&mut packet, &checksums);
            let mut segment = UdpPacket::new_unchecked(packet.payload_mut());
            let fill = |payload: &mut [u8]| payload.copy_from_slice(data);
            udp.emit(&mut segment, &source.into(), &to.into(), data.len(), fill, &checksums);
        });
    }

    fn frame(
        &mut self,
        to: EthernetAddress,
        kind: EthernetProtocol,
        length: usize,
        fill: impl FnOnce(&mut [u8]),
    ) {
        let ethernet = EthernetRepr { src_addr: EthernetAddress(self.mac.0), dst_addr: to, ethertype: kind };
        let mut bytes = vec![0; ethernet.buffer_len() + length];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes);
        ethernet.emit(&mut frame);
        fill(frame.payload_mut());
        self.sent.push(bytes);
    }
}

/// The value of an option (RFC 2132 §2).
fn option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    loop {
        match *options.first()? {
            0 => options = &options[1..],
            255 => return None,
            code => {
                let value = options.get(2..2 + usize::from(*options.get(1)?))?;
                if code == wanted {
                    return Some(value);
                }
                options = &options[2 + value.len()..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_or_foreign_frame_is_not_answered() {
        let mut servant = Servant::new(Mac([2, 0, 0, 0, 0, 1]), Ipv4Addr::new(192, 0, 2, 1));
        for length in 0..120 {
            servant.receive(&vec![0; length], Duration::ZERO);
        }
        assert!(servant.take_sent().is_empty());
    }

    #[test]
    fn options_are_found_behind_padding_and_not_behind_the_end() {
        assert_eq!(option(&[0, 0, 53, 1, 1, 50, 4, 1, 2, 3, 4, 255, 61, 1, 1], 50), Some(&[1, 2, 3, 4][..]));
        assert_eq!(option(&[53, 1, 1, 255, 50, 1, 7], 50), None);
        assert_eq!(option(&[53, 9, 1], 53), None);
    }
}
