//! How often one packet passed between two boxes: the measure of a forwarding loop.
//!
//! Counts packets that a client sent. What the boxes say to each other (VRRP, ARP, health checks) has its first frame
//! on a box's port and is not counted; so a number above one is always a packet that was forwarded back.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::frame::{Packet, PacketId};
use super::{Role, Segment};

/// Trails are forgotten once this many newer ones exist; a loop of 254 hops is over long before.
const KEPT: usize = 100_000;

/// The trails of the packets that clients sent.
#[derive(Debug, Default)]
pub struct Crossings {
    trails: BTreeMap<PacketId, Trail>,
    order: std::collections::VecDeque<PacketId>,
    summary: Summary,
    by_service: BTreeMap<(u8, u16), Summary>,
    by_source: BTreeMap<(u8, IpAddr, u16), u32>,
}

/// Counts over all packets so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Packets that clients sent.
    pub packets: u64,
    /// Frames that passed from one box to another with such a packet in them.
    pub frames: u64,
    /// Those of them that passed on the segment between the boxes.
    pub frames_back: u64,
    /// The most crossings that a single packet made.
    pub most: u32,
    /// That packet.
    pub worst: Option<PacketId>,
    /// The most hops that a packet's time to live tells of; more than `most` when frames went a way around us.
    pub most_hops: u8,
}

#[derive(Clone, Debug)]
struct Trail {
    first_ttl: u8,
    crossings: u32,
}

impl Crossings {
    /// A packet came in on a port of this role.
    pub fn sent(&mut self, packet: &Packet, from: Role) {
        if from != Role::Client {
            return;
        }
        self.summary.packets += 1;
        self.by_service.entry(packet.id.service()).or_default().packets += 1;
        self.by_source.entry(packet.id.sender()).or_default();
        // A known name is a client whose identification wrapped around: another packet.
        if self.trails.insert(packet.id.clone(), Trail { first_ttl: packet.ttl, crossings: 0 }).is_some() {
            return;
        }
        self.order.push_back(packet.id.clone());
        if self.order.len() > KEPT
            && let Some(oldest) = self.order.pop_front()
        {
            self.trails.remove(&oldest);
        }
    }

    /// A packet that came in on a segment from one role leaves towards another port of it.
    pub fn passed(&mut self, packet: &Packet, segment: Segment, from: Role, to: Role) {
        let (Role::Box, Role::Box, Some(trail)) = (from, to, self.trails.get_mut(&packet.id)) else {
            return;
        };
        trail.crossings += 1;
        let most = self.by_source.entry(packet.id.sender()).or_default();
        *most = trail.crossings.max(*most);
        let hops = trail.first_ttl.saturating_sub(packet.ttl);
        let service = self.by_service.entry(packet.id.service()).or_default();
        for summary in [&mut self.summary, service] {
            summary.crossed(&packet.id, segment, trail.crossings, hops);
        }
    }

    /// The counts so far.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The counts so far of what went to this destination port of this IP protocol.
    pub fn of_service(&self, protocol: u8, port: u16) -> Summary {
        self.by_service.get(&(protocol, port)).cloned().unwrap_or_default()
    }

    /// The most crossings that a packet made of those that a client sent from this port since the last reset; `None` when
    /// it sent none.
    pub fn of_source(&self, protocol: u8, address: IpAddr, port: u16) -> Option<u32> {
        self.by_source.get(&(protocol, address, port)).copied()
    }

    /// Begins to count anew; packets on their way keep their trails.
    pub fn reset(&mut self) {
        self.summary = Summary::default();
        self.by_service.clear();
        self.by_source.clear();
    }
}

impl Summary {
    /// The packet made another crossing.
    fn crossed(&mut self, id: &PacketId, segment: Segment, crossings: u32, hops: u8) {
        self.frames += 1;
        self.frames_back += u64::from(segment == Segment::Back);
        self.most_hops = self.most_hops.max(hops);
        if crossings > self.most {
            self.most = crossings;
            self.worst = Some(id.clone());
        }
    }

    /// Frames to the virtual address for each one that a client sent: 1 where nothing is forwarded, 63 more for each
    /// packet that looped.
    pub fn frames_each(&self) -> f64 {
        (self.packets + self.frames) as f64 / self.packets.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(identification: u32, ttl: u8) -> Packet {
        let address = IpAddr::from([10, 0, 0, 1]);
        Packet {
            id: PacketId {
                source: address,
                destination: address,
                protocol: 6,
                identification,
                source_port: 1,
                destination_port: 2,
                sequence: 3,
            },
            ttl,
        }
    }

    #[test]
    fn a_forwarded_packet_crosses_once_and_a_loop_many_times() {
        let mut crossings = Crossings::default();
        crossings.sent(&packet(1, 64), Role::Client);
        crossings.passed(&packet(1, 63), Segment::Front, Role::Box, Role::Box);
        assert_eq!((crossings.summary().most, crossings.summary().most_hops), (1, 1));

        crossings.sent(&packet(2, 64), Role::Client);
        for hop in 1..=63 {
            crossings.passed(&packet(2, 64 - hop), Segment::Front, Role::Box, Role::Box);
        }
        let summary = crossings.summary();
        assert_eq!((summary.packets, summary.frames, summary.most, summary.most_hops), (2, 64, 63, 63));
        assert_eq!(summary.worst.as_ref().map(|id| id.identification), Some(2));
        assert_eq!(summary.frames_each(), 33.0);
        assert_eq!(crossings.of_service(6, 2), *summary);
        assert_eq!(crossings.of_service(17, 2), Summary::default());
        let address = summary.worst.as_ref().expect("the loop").source;
        assert_eq!(crossings.of_source(6, address, 1), Some(63));
        assert_eq!(crossings.of_source(6, address, 2), None);
    }

    #[test]
    fn talk_between_boxes_does_not_count() {
        let mut crossings = Crossings::default();
        for _ in 0..5 {
            crossings.sent(&packet(0, 64), Role::Box);
            crossings.passed(&packet(0, 64), Segment::Front, Role::Box, Role::Box);
        }
        assert_eq!(crossings.summary(), &Summary::default());
    }

    #[test]
    fn a_wrapped_identification_is_a_new_packet() {
        let mut crossings = Crossings::default();
        for _ in 0..3 {
            crossings.sent(&packet(1, 64), Role::Client);
            crossings.passed(&packet(1, 63), Segment::Front, Role::Box, Role::Box);
        }
        assert_eq!((crossings.summary().packets, crossings.summary().most), (3, 1));
    }
}
