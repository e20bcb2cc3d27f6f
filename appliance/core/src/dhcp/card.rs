//! The client's network card: a queue each way. Lets nothing in but answers of DHCP servers, so that of a whole TCP/IP
//! stack only its DHCP client ever meets a byte that a stranger wrote, and asks no neighbour on the wire: the kernel holds
//! the address and speaks for it.

use std::collections::VecDeque;

use smoltcp::phy::{Checksum, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use smoltcp::wire::{
    ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, EthernetProtocol, EthernetRepr,
    IpProtocol, Ipv4Packet, UdpPacket,
};

use crate::config::types::Mac;

/// The ports of server and client (RFC 2131 §4.1).
const SERVER: u16 = 67;
const CLIENT: u16 = 68;
/// Answers that wait. A flood of them is cut off here.
const MOST: usize = 16;
/// An Ethernet frame without its checksum.
const LONGEST: usize = 1514;

/// The card.
pub(super) struct Card {
    mac: EthernetAddress,
    received: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
    /// Who the last answer came from on the link: the server, or a router on the way to it.
    heard: Option<EthernetAddress>,
}

/// As smoltcp has it.
pub(super) fn ethernet(mac: Mac) -> EthernetAddress {
    EthernetAddress(mac.0)
}

impl Card {
    pub(super) fn new(mac: Mac) -> Self {
        Self { mac: ethernet(mac), received: VecDeque::new(), sent: Vec::new(), heard: None }
    }

    /// Keeps an answer of a DHCP server for the client.
    pub(super) fn receive(&mut self, frame: &[u8]) {
        let Some(from) = self.answerer(frame) else { return };
        if self.received.len() < MOST {
            self.heard = Some(from);
            self.received.push_back(frame.to_vec());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    pub(super) fn take_sent(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.sent)
    }

    /// Who sent it, if it is an answer of a DHCP server, whole and meant for this card.
    fn answerer(&self, frame: &[u8]) -> Option<EthernetAddress> {
        let frame = EthernetFrame::new_checked(frame).ok()?;
        let mine = frame.dst_addr() == self.mac || frame.dst_addr().is_broadcast();
        if frame.ethertype() != EthernetProtocol::Ipv4 || !mine || !frame.src_addr().is_unicast() {
            return None;
        }
        let packet = Ipv4Packet::new_checked(frame.payload()).ok()?;
        if packet.next_header() != IpProtocol::Udp || packet.more_frags() || packet.frag_offset() != 0 {
            return None;
        }
        let datagram = UdpPacket::new_checked(packet.payload()).ok()?;
        (datagram.src_port() == SERVER && datagram.dst_port() == CLIENT).then(|| frame.src_addr())
    }

    /// Sends a frame; a question who has the server's address is answered here.
    fn send(&mut self, frame: Vec<u8>) {
        match self.neighbour(&frame) {
            Some(answer) => self.received.push_back(answer),
            None => self.sent.push(frame),
        }
    }

    fn neighbour(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let asked = EthernetFrame::new_checked(frame)
            .ok()
            .filter(|frame| frame.ethertype() == EthernetProtocol::Arp)?;
        let asked = ArpRepr::parse(&ArpPacket::new_checked(asked.payload()).ok()?).ok()?;
        let ArpRepr::EthernetIpv4 { source_protocol_addr, target_protocol_addr, .. } = asked else {
            return None;
        };
        let server = self.heard?;
        let answer = ArpRepr::EthernetIpv4 {
            operation: ArpOperation::Reply,
            source_hardware_addr: server,
            source_protocol_addr: target_protocol_addr,
            target_hardware_addr: self.mac,
            target_protocol_addr: source_protocol_addr,
        };
        let head = EthernetRepr { src_addr: server, dst_addr: self.mac, ethertype: EthernetProtocol::Arp };
        let mut bytes = vec![0; head.buffer_len() + answer.buffer_len()];
        let mut frame = EthernetFrame::new_unchecked(&mut bytes);
        head.emit(&mut frame);
        answer.emit(&mut ArpPacket::new_unchecked(frame.payload_mut()));
        Some(bytes)
    }
}

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Received, Sending<'_>)> {
        let frame = self.received.pop_front()?;
        Some((Received(frame), Sending(self)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Sending<'_>> {
        Some(Sending(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = LONGEST;
        // A server on the same machine, or behind a virtual switch, leaves UDP's checksum to a card that never sees the
        // frame; a packet socket gets it unfinished.
        capabilities.checksum.udp = Checksum::Tx;
        capabilities
    }
}

/// A frame that came in.
pub(super) struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

/// A frame about to leave.
pub(super) struct Sending<'a>(&'a mut Card);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        self.0.send(frame);
        result
    }
}
