//! One client machine: a MAC, an address, a TCP/IP stack (smoltcp) and the conversations it has.
//!
//! Two things that Linux clients do and smoltcp does not are added at its network card: announcements (gratuitous ARP)
//! move the neighbour entry, and every packet gets an identification (IPv6: a flow label) of its own, by which the switch
//! follows it. And a test may hold the neighbour entry of an address, as a static one does.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use halcyon_core::moment::Moment;
use smoltcp::iface::{Config, Interface, SocketSet};
use smoltcp::phy::{self, DeviceCapabilities, Medium};
use smoltcp::time::Instant;
use smoltcp::wire::{
    ArpOperation, ArpPacket, EthernetAddress, EthernetFrame, EthernetProtocol, HardwareAddress, IpAddress,
    IpCidr, Ipv4Packet, Ipv6Packet,
};

use super::talk::{Outcome, Request, Step, Talk};
use crate::seed::Seed;
use crate::switch::frame::Mac;

/// The first of the source ports a host counts through (RFC 6335 §6: the dynamic range).
const FIRST_PORT: u16 = 49_152;

/// A client machine.
pub struct Host {
    interface: Interface,
    sockets: SocketSet<'static>,
    card: Card,
    address: Ipv4Addr,
    ipv6: Option<Ipv6Addr>,
    next_port: u16,
    talks: Vec<Talk>,
}

impl Host {
    /// A machine with this address on its one link.
    pub fn new(mac: Mac, address: Ipv4Addr, prefix: u8, seed: &mut Seed) -> Self {
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac.0)));
        config.random_seed = seed.draw();
        let mut card = Card {
            mac,
            address,
            received: VecDeque::new(),
            sent: Vec::new(),
            identification: 0,
            flow_label: 0,
            pin: None,
        };
        let mut interface = Interface::new(config, &mut card, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddress::Ipv4(address), prefix)).expect("the first address fits");
        });
        let next_port = FIRST_PORT + seed.between(0, 16_000) as u16;
        Self {
            interface,
            sockets: SocketSet::new(Vec::new()),
            card,
            address,
            ipv6: None,
            next_port,
            talks: Vec::new(),
        }
    }

    /// Its IPv4 address.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Gives it an IPv6 address beside the other one, and a link-local one, from which neighbours ask and are answered.
    pub fn add_ipv6(&mut self, address: Ipv6Addr, prefix: u8) {
        self.ipv6 = Some(address);
        let all = [(address, prefix), (link_local(self.card.mac), 64)];
        self.interface.update_ip_addrs(|addresses| {
            for (address, prefix) in all {
                let address = IpCidr::new(IpAddress::Ipv6(address), prefix);
                addresses.push(address).expect("three addresses fit, as the manifest says");
            }
        });
    }

    /// A frame comes in.
    pub fn receive(&mut self, frame: &Arc<[u8]>) {
        self.card.receive(frame);
    }

    /// Sends what goes to `address` to this hardware address, whatever is announced; `None` follows the announcements.
    pub fn pin(&mut self, pin: Option<(Ipv4Addr, Mac)>) {
        self.card.pin = pin;
    }

    /// Begins a conversation.
    pub fn ask(&mut self, ticket: u64, request: Request, now: Moment) {
        let port = request.source_port.unwrap_or_else(|| {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(FIRST_PORT);
            port
        });
        let context = self.interface.context();
        // Without an address of the family nothing leaves, and the conversation fails for want of a connection.
        let source = match (request.to.is_ipv6(), self.ipv6) {
            (true, Some(address)) => IpAddr::from(address),
            _ => self.address.into(),
        };
        self.talks.push(Talk::open(ticket, request, (source, port), &mut self.sockets, context, now));
    }

    /// Asks a held connection for the name again; false when there is none of that ticket.
    pub fn ping(&mut self, ticket: u64, patience: Duration, now: Moment) -> bool {
        let talk = self.talks.iter_mut().find(|talk| talk.ticket == ticket);
        talk.map(|talk| talk.ping(&mut self.sockets, patience, now)).is_some()
    }

    /// Ends a held connection.
    pub fn release(&mut self, ticket: u64, now: Moment) {
        if let Some(talk) = self.talks.iter_mut().find(|talk| talk.ticket == ticket) {
            talk.release(&mut self.sockets, now);
        }
    }

    /// Lets the stack and the conversations go on: the frames they send and the outcomes.
    pub fn turn(&mut self, now: Moment) -> (Vec<Vec<u8>>, Vec<Outcome>) {
        let mut outcomes = Vec::new();
        self.interface.poll(instant(now), &mut self.card, &mut self.sockets);
        let sockets = &mut self.sockets;
        self.talks.retain_mut(|talk| match talk.turn(sockets, now) {
            Step::Waiting => true,
            Step::Told(outcome) => {
                outcomes.push(outcome);
                true
            }
            Step::Over => false,
        });
        // What the conversations just wrote or closed leaves in the same turn.
        self.interface.poll(instant(now), &mut self.card, &mut self.sockets);
        (std::mem::take(&mut self.card.sent), outcomes)
    }

    /// When it wants its next turn, unless a frame comes first.
    pub fn due(&mut self, now: Moment) -> Option<Moment> {
        if !self.card.received.is_empty() {
            return Some(now);
        }
        let stack = self.interface.poll_at(instant(now), &self.sockets).map(moment);
        let talks = self.talks.iter().filter_map(Talk::deadline).min();
        stack.into_iter().chain(talks).min()
    }
}

/// RFC 4291 §2.5.6, with an interface identifier by its appendix A.
fn link_local(mac: Mac) -> Ipv6Addr {
    let [a, b, c, d, e, f] = mac.0;
    let identifier = u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, f]);
    Ipv6Addr::from_bits(0xfe80 << 112 | u128::from(identifier))
}

/// The host's network card.
struct Card {
    mac: Mac,
    address: Ipv4Addr,
    received: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
    identification: u16,
    flow_label: u32,
    pin: Option<(Ipv4Addr, Mac)>,
}

impl Card {
    fn receive(&mut self, frame: &[u8]) {
        let Ok(ethernet) = EthernetFrame::new_checked(frame) else { return };
        match ethernet.ethertype() {
            EthernetProtocol::Arp => {
                let mut copy = frame.to_vec();
                if self.adopt(&mut copy) {
                    self.received.push_back(copy);
                }
            }
            EthernetProtocol::Ipv4 if ethernet.dst_addr().0 == self.mac.0 => {
                self.received.push_back(frame.to_vec())
            }
            EthernetProtocol::Ipv6
                if ethernet.dst_addr().0 == self.mac.0 || ethernet.dst_addr().is_multicast() =>
            {
                self.received.push_back(frame.to_vec())
            }
            _ => {}
        }
    }

    /// Turns an announcement into an answer to this host, which its stack takes into the neighbour table; passes on ARP
    /// that is meant for it anyway.
    fn adopt(&self, frame: &mut [u8]) -> bool {
        let Ok(mut arp) = ArpPacket::new_checked(&mut frame[14..]) else { return false };
        if arp.source_protocol_addr() == arp.target_protocol_addr() {
            arp.set_operation(ArpOperation::Reply);
            arp.set_target_protocol_addr(&self.address.octets());
            arp.set_target_hardware_addr(&self.mac.0);
            return arp.source_protocol_addr() != self.address.octets();
        }
        arp.target_protocol_addr() == self.address.octets()
    }

    fn send(&mut self, mut frame: Vec<u8>) {
        match EthernetFrame::new_unchecked(&frame).ethertype() {
            EthernetProtocol::Ipv4 => {
                self.identification = self.identification.wrapping_add(1);
                let mut packet = Ipv4Packet::new_unchecked(&mut frame[14..]);
                packet.set_ident(self.identification);
                packet.fill_checksum();
                let to = packet.dst_addr();
                if let Some((_, mac)) = self.pin.filter(|(address, _)| *address == to) {
                    EthernetFrame::new_unchecked(&mut frame).set_dst_addr(EthernetAddress(mac.0));
                }
            }
            EthernetProtocol::Ipv6 => {
                // No checksum covers it, and no box on the way may change it (RFC 6437 §3).
                self.flow_label = (self.flow_label + 1) & 0xf_ffff;
                Ipv6Packet::new_unchecked(&mut frame[14..]).set_flow_label(self.flow_label);
            }
            _ => {}
        }
        self.sent.push(frame);
    }
}

impl phy::Device for Card {
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
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

/// A frame that came in.
struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

/// A frame about to leave.
struct Sending<'a>(&'a mut Card);

impl phy::TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        self.0.send(frame);
        result
    }
}

fn instant(moment: Moment) -> Instant {
    Instant::from_micros(moment.since_boot().as_micros() as i64)
}

fn moment(instant: Instant) -> Moment {
    Moment::from_boot(Duration::from_micros(instant.total_micros().max(0) as u64))
}
