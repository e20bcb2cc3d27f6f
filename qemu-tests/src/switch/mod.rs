//! Learning Ethernet switches as a pure function: (frame, port, now) → deliveries. Read `frame` first, then this.
//!
//! There are two, one per [`Segment`], which share nothing but the books: a packet that travels over both is one packet.
//!
//! Besides switching it keeps the books that the tests judge by: crossings per packet, who claims which address, which
//! advertisements were on the wire, frames per flow, and the last frames for a capture. It owns no socket and reads no
//! clock; the `lab` module does both.

pub mod adverts;
pub mod claims;
pub mod crossings;
pub mod faults;
pub mod frame;
pub mod pcap;
pub mod tag;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use halcyon_core::moment::Moment;

use self::adverts::Adverts;
use self::claims::Claims;
use self::crossings::Crossings;
use self::faults::Faults;
use self::frame::{Kind, Mac, PROTOCOL_VRRP, Summary};
use self::pcap::Ring;
use crate::seed::Seed;

/// A port of the switch, counted from zero in the order of [`Switch::add_port`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortId(pub usize);

/// What is plugged into a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A client (or a gateway): the packets it sends are followed.
    Client,
    /// A member of the cluster.
    Box,
}

/// Which switch a port belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Segment {
    /// The clients' and the boxes'.
    Front,
    /// Between the boxes only.
    Back,
}

/// A frame to be handed to a port at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The port.
    pub to: PortId,
    /// Not before this.
    pub at: Moment,
    /// The frame's bytes.
    pub frame: Arc<[u8]>,
}

/// Frames of one kind between two addresses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Flow {
    /// Source address.
    pub source: IpAddr,
    /// Destination address.
    pub destination: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
}

#[derive(Debug)]
struct Port {
    role: Role,
    segment: Segment,
    cable: bool,
    /// The port with the first card of the same machine; itself for most.
    machine: PortId,
}

/// The switches and their books.
#[derive(Debug)]
pub struct Switch {
    ports: Vec<Port>,
    learnt: BTreeMap<(Segment, Mac), PortId>,
    dark: BTreeSet<Segment>,
    /// Loss, delay and partitions.
    pub faults: Faults,
    /// How often packets passed between boxes.
    pub crossings: Crossings,
    /// Who claims which address by ARP or by neighbour advertisements.
    pub claims: Claims,
    /// The VRRP advertisements seen.
    pub adverts: Adverts,
    /// Frames per flow, counted where they come in.
    pub flows: BTreeMap<Flow, u64>,
    /// The last frames, for a capture file.
    pub ring: Ring,
}

impl Switch {
    /// Switches without ports; faults draw from `seed`.
    pub fn new(seed: Seed) -> Self {
        Self {
            ports: Vec::new(),
            learnt: BTreeMap::new(),
            dark: BTreeSet::new(),
            faults: Faults::new(seed),
            crossings: Crossings::default(),
            claims: Claims::default(),
            adverts: Adverts::default(),
            flows: BTreeMap::new(),
            ring: Ring::default(),
        }
    }

    /// Adds a port with its cable in.
    pub fn add_port(&mut self, role: Role, segment: Segment) -> PortId {
        let machine = PortId(self.ports.len());
        self.ports.push(Port { role, segment, cable: true, machine });
        machine
    }

    /// The port is for a further card of the machine at `first`, on the same segment: what passes between the two is no
    /// crossing, for no other machine gets it.
    pub fn same_machine(&mut self, port: PortId, first: PortId) {
        self.ports[port.0].machine = self.ports[first.0].machine;
    }

    /// Pulls the cable of a port, or puts it back. What was learnt there is forgotten, as a real switch does.
    pub fn set_cable(&mut self, port: PortId, plugged: bool) {
        self.ports[port.0].cable = plugged;
        self.forget(port);
    }

    /// Switches the power of a segment's switch. Without it nothing passes, and nothing stays learnt.
    pub fn set_power(&mut self, segment: Segment, on: bool) {
        if on {
            self.dark.remove(&segment);
        } else {
            self.dark.insert(segment);
        }
        self.learnt.retain(|(learnt, _), _| *learnt != segment);
    }

    /// Forgets the addresses learnt at a port whose link went down.
    pub fn forget(&mut self, port: PortId) {
        self.learnt.retain(|_, at| *at != port);
    }

    /// Takes a frame in at `from` and says where it goes.
    pub fn handle(&mut self, frame: &Arc<[u8]>, from: PortId, now: Moment) -> Vec<Delivery> {
        let segment = self.ports[from.0].segment;
        if !self.ports[from.0].cable || self.dark.contains(&segment) {
            return Vec::new();
        }
        let Some(summary) = frame::summarise(frame) else {
            return Vec::new();
        };
        self.ring.push(now, frame);
        self.note(&summary, frame, from, now);
        if !summary.from.is_group() {
            self.learnt.insert((segment, summary.from), from);
        }
        let targets: Vec<PortId> = match self.learnt.get(&(segment, summary.to)) {
            Some(to) if !summary.to.is_group() => vec![*to],
            _ => (0..self.ports.len()).map(PortId).collect(),
        };
        targets.into_iter().filter_map(|to| self.deliver(&summary, frame, from, to, now)).collect()
    }

    fn deliver(
        &mut self,
        summary: &Summary,
        frame: &Arc<[u8]>,
        from: PortId,
        to: PortId,
        now: Moment,
    ) -> Option<Delivery> {
        let (sender, receiver) = (&self.ports[from.0], &self.ports[to.0]);
        if to == from || !receiver.cable || receiver.segment != sender.segment {
            return None;
        }
        let delay = self.faults.judge(summary, from, to)?;
        if let Kind::Ip(packet) = &summary.kind
            && sender.machine != receiver.machine
        {
            self.crossings.passed(packet, sender.segment, sender.role, receiver.role);
        }
        Some(Delivery { to, at: now + delay, frame: Arc::clone(frame) })
    }

    fn note(&mut self, summary: &Summary, frame: &[u8], from: PortId, now: Moment) {
        match &summary.kind {
            Kind::Arp(arp) => self.claims.saw(arp, from, now),
            Kind::Neighbour(_, advert) => self.claims.advertised(advert, from, now),
            Kind::Ip(packet) => {
                self.crossings.sent(packet, self.ports[from.0].role);
                if packet.id.protocol == PROTOCOL_VRRP {
                    self.adverts.saw(summary, packet, frame, from, now);
                }
                let flow = Flow {
                    source: packet.id.source,
                    destination: packet.id.destination,
                    protocol: packet.id.protocol,
                };
                *self.flows.entry(flow).or_default() += 1;
            }
            Kind::Other => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::frame::tests::{arp, udp};
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    const IP: [Ipv4Addr; 3] =
        [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2), Ipv4Addr::new(10, 0, 0, 3)];

    fn mac(number: u8) -> Mac {
        Mac([2, 0, 0, 0, 0, number])
    }

    fn three() -> (Switch, [PortId; 3]) {
        let mut switch = Switch::new(Seed::new(1));
        let ports = [Role::Client, Role::Box, Role::Box].map(|role| switch.add_port(role, Segment::Front));
        (switch, ports)
    }

    fn go(switch: &mut Switch, frame: Vec<u8>, from: PortId) -> Vec<PortId> {
        switch.handle(&frame.into(), from, Moment::ZERO).into_iter().map(|delivery| delivery.to).collect()
    }

    #[test]
    fn it_floods_until_it_has_learnt() {
        let (mut switch, [client, a, b]) = three();
        assert_eq!(go(&mut switch, udp(mac(0), mac(1), IP[0], IP[1], 1, 64), client), [a, b]);
        assert_eq!(go(&mut switch, arp(2, mac(1), IP[1], IP[0]), a), [client, b]);
        assert_eq!(go(&mut switch, udp(mac(0), mac(1), IP[0], IP[1], 2, 64), client), [a]);
        // The address moves with its frames, as after a takeover.
        assert_eq!(go(&mut switch, arp(1, mac(1), IP[1], IP[1]), b), [client, a]);
        assert_eq!(go(&mut switch, udp(mac(0), mac(1), IP[0], IP[1], 3, 64), client), [b]);
    }

    #[test]
    fn a_pulled_cable_passes_nothing_either_way() {
        let (mut switch, [client, a, b]) = three();
        go(&mut switch, arp(2, mac(1), IP[1], IP[0]), a);
        switch.set_cable(a, false);
        assert_eq!(go(&mut switch, udp(mac(0), mac(1), IP[0], IP[1], 1, 64), client), [b]);
        assert!(go(&mut switch, arp(1, mac(1), IP[1], IP[1]), a).is_empty());
        switch.set_cable(a, true);
        assert_eq!(go(&mut switch, arp(1, mac(1), IP[1], IP[1]), a), [client, b]);
    }

    #[test]
    fn the_books_tell_a_loop() {
        let (mut switch, [client, a, b]) = three();
        for (port, address) in [(client, 0), (a, 1), (b, 2)] {
            go(&mut switch, arp(1, mac(address), IP[address as usize], IP[0]), port);
        }
        go(&mut switch, udp(mac(0), mac(1), IP[0], IP[1], 1, 64), client);
        go(&mut switch, udp(mac(1), mac(2), IP[0], IP[1], 1, 63), a);
        assert_eq!(switch.crossings.summary().most, 1);
        go(&mut switch, udp(mac(2), mac(1), IP[0], IP[1], 1, 62), b);
        assert_eq!(switch.crossings.summary().most, 2);
        assert_eq!(switch.flows.values().sum::<u64>(), 3);
    }

    #[test]
    fn the_segments_are_switches_of_their_own_with_common_books() {
        let (mut switch, [client, a, b]) = three();
        let [back_a, back_b] = [(); 2].map(|()| switch.add_port(Role::Box, Segment::Back));
        for (port, address) in [(client, 0), (a, 1), (b, 2)] {
            go(&mut switch, arp(1, mac(address), IP[address as usize], IP[0]), port);
        }
        assert_eq!(go(&mut switch, arp(1, mac(11), IP[1], IP[2]), back_a), [back_b]);
        // The same address on both sides is learnt on each.
        assert_eq!(go(&mut switch, arp(1, mac(1), IP[1], IP[1]), back_b), [back_a]);
        assert_eq!(go(&mut switch, udp(mac(0), mac(1), IP[0], IP[1], 1, 64), client), [a]);
        assert_eq!(go(&mut switch, udp(mac(11), mac(1), IP[0], IP[1], 1, 63), back_a), [back_b]);
        let summary = switch.crossings.summary();
        assert_eq!((summary.most, summary.frames, summary.frames_back), (1, 1, 1));
        switch.set_power(Segment::Back, false);
        assert!(go(&mut switch, arp(1, mac(11), IP[1], IP[2]), back_a).is_empty());
        assert_eq!(go(&mut switch, udp(mac(0), mac(1), IP[0], IP[1], 2, 64), client), [a]);
        switch.set_power(Segment::Back, true);
        assert_eq!(go(&mut switch, arp(1, mac(11), IP[1], IP[2]), back_a), [back_b]);
    }

    #[test]
    fn what_returns_to_another_card_of_its_sender_is_no_crossing() {
        let (mut switch, [client, a, b]) = three();
        switch.same_machine(b, a);
        go(&mut switch, udp(mac(0), mac(1), IP[0], IP[1], 1, 64), client);
        assert_eq!(go(&mut switch, udp(mac(1), mac(9), IP[0], IP[1], 1, 63), a), [client, b]);
        assert_eq!(switch.crossings.summary().most, 0);
    }

    #[test]
    fn a_delay_puts_the_delivery_off() {
        let (mut switch, [client, a, _]) = three();
        let by = Duration::from_millis(5);
        switch.faults.set(vec![faults::Fault {
            traffic: faults::Traffic::All,
            from: None,
            to: Some(vec![a]),
            effect: faults::Effect::Delay { by, jitter: Duration::ZERO },
        }]);
        let frame = udp(mac(0), mac(1), IP[0], IP[1], 1, 64).into();
        let at: Vec<_> =
            switch.handle(&frame, client, Moment::ZERO).iter().map(|delivery| delivery.at).collect();
        assert_eq!(at, [Moment::ZERO + by, Moment::ZERO]);
    }
}
