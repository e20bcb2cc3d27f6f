//! Boxes, their clock and the wire between them. It knows no right or wrong but who ought to be master.

use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use halcyon_core::config::types::{Family, InstanceId, Priority, Vrid};
use halcyon_core::moment::Moment;
use halcyon_core::plan::VrrpState;
use halcyon_core::vrrp::machine::{Action, Event, Instance, Link, Start};
use halcyon_core::vrrp::settings::Settings;
use halcyon_core::vrrp::why::Why;
use halcyon_core::vrrp::wire::{Addresses, Form, Packet, TTL, group};

/// Longest time that a packet is on the wire when nothing is wrong.
pub(super) const WIRE: Duration = Duration::from_millis(2);

/// What happens on the wire or to a box, in the order of time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    at: std::cmp::Reverse<Moment>,
    number: u64,
    to: usize,
    from: usize,
    octets: Vec<u8>,
}

/// One box.
pub(super) struct Node {
    pub(super) instance: Instance,
    pub(super) address: IpAddr,
    pub(super) alive: bool,
    /// Takes no part in time until then.
    pub(super) paused_until: Moment,
    pub(super) changes: Vec<(Moment, VrrpState, Why, Option<IpAddr>)>,
}

/// All boxes and the wire.
pub(super) struct Cluster {
    pub(super) now: Moment,
    pub(super) nodes: Vec<Node>,
    wire: BinaryHeap<Arrival>,
    sent: u64,
    random: u64,
    /// Packets lost, in 256ths.
    pub(super) loss: u8,
    /// Longest further delay.
    pub(super) delay: Duration,
    /// Boxes in different groups do not hear each other.
    pub(super) group: BTreeMap<usize, u8>,
}

impl Cluster {
    /// Boxes that are off, one for each priority.
    pub(super) fn new(seed: u64, form: Form, interval: Duration, priorities: &[u8]) -> Self {
        let now = Moment::ZERO + Duration::from_secs(100);
        // Version 3 runs over both families; which one is the seed's to say.
        let ipv6 = matches!(form, Form::V3 { .. }) && seed % 2 == 1;
        let host = |number: u8| -> IpAddr {
            if ipv6 {
                Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number.into()).into()
            } else {
                [10, 1, 0, number].into()
            }
        };
        let node = |(number, priority): (usize, &u8)| {
            let settings = Settings {
                id: InstanceId { interface: "lan".parse().unwrap(), vrid: Vrid::new(3).unwrap() },
                priority: Priority::new(*priority).unwrap(),
                interval,
                addresses: Addresses::new(vec![host(100)]).unwrap(),
                preempt: true,
                preempt_delay: Duration::ZERO,
                form,
            };
            Node {
                instance: Instance::new(settings, Start::Fresh, now),
                address: host(u8::try_from(number).unwrap() + 1),
                alive: false,
                paused_until: now,
                changes: Vec::new(),
            }
        };
        let nodes = priorities.iter().enumerate().map(node).collect();
        Self {
            now,
            nodes,
            wire: BinaryHeap::new(),
            sent: 0,
            random: seed,
            loss: 0,
            delay: Duration::ZERO,
            group: BTreeMap::new(),
        }
    }

    /// A cluster that has settled.
    pub(super) fn settled(seed: u64, form: Form, interval: Duration, priorities: &[u8]) -> Self {
        let mut cluster = Self::new(seed, form, interval, priorities);
        (0..priorities.len()).for_each(|node| cluster.boot(node));
        cluster.run(cluster.bound() * 2);
        cluster
    }

    /// A number below `below`.
    pub(super) fn chance(&mut self, below: u64) -> u64 {
        // xorshift64* (Marsaglia 2003, Vigna 2014); the state must not be 0.
        self.random = self.random.max(1);
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % below.max(1)
    }

    /// Master_Down_Interval of the box that waits longest.
    pub(super) fn down(&self) -> Duration {
        let of = |node: &Node| node.instance.settings().master_down(node.instance.settings().interval);
        self.nodes.iter().map(of).max().unwrap()
    }

    /// Time after which there is one master once the wire is whole: every timer of a state that partition, pause or
    /// hand-over left behind, then one preemption.
    pub(super) fn bound(&self) -> Duration {
        self.down() * 2 + self.nodes[0].instance.settings().interval * 2 + WIRE * 4
    }

    /// Starts a box, or tells it that its link is up.
    pub(super) fn boot(&mut self, node: usize) {
        self.nodes[node].alive = true;
        let primary = self.nodes[node].address;
        self.tell(node, Event::Link(Link::Up { primary }));
    }

    /// Power cut: nothing more is said, and all is forgotten.
    pub(super) fn kill(&mut self, node: usize) {
        let settings = self.nodes[node].instance.settings().clone();
        self.nodes[node].instance = Instance::new(settings, Start::Fresh, self.now);
        self.nodes[node].alive = false;
    }

    /// What happens to a box, and what it does about it.
    pub(super) fn tell(&mut self, node: usize, event: Event) {
        let now = self.now;
        self.nodes[node].instance.handle(event, now);
        self.act(node);
    }

    fn act(&mut self, from: usize) {
        while let Some(action) = self.nodes[from].instance.poll_action() {
            match action {
                Action::Send(advert) => self.transmit(from, &advert.emit(self.nodes[from].address)),
                Action::Changed { to, why, silent, .. } => {
                    let now = self.now;
                    self.nodes[from].changes.push((now, to, why, silent));
                }
                Action::Healed { .. }
                | Action::Overslept { .. }
                | Action::NoHeir
                | Action::Withheld { .. }
                | Action::Misfit { .. } => {}
            }
        }
    }

    fn transmit(&mut self, from: usize, octets: &[u8]) {
        for to in 0..self.nodes.len() {
            let apart = self.group.get(&from) != self.group.get(&to);
            if to == from || apart || self.chance(256) < u64::from(self.loss) {
                continue;
            }
            let longest = u64::try_from((WIRE + self.delay).as_micros()).unwrap();
            let delay = Duration::from_micros(self.chance(longest));
            self.sent += 1;
            self.wire.push(Arrival {
                at: std::cmp::Reverse(self.now + delay),
                number: self.sent,
                to,
                from,
                octets: octets.to_vec(),
            });
        }
    }

    /// Lets time pass, event by event.
    pub(super) fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// The next event until `end`; false when there is none.
    pub(super) fn step(&mut self, end: Moment) -> bool {
        let timer = |(number, node): (usize, &Node)| {
            let (at, _) = node.instance.poll_timeout().filter(|_| node.alive)?;
            Some((at.max(node.paused_until).max(self.now), number))
        };
        let timer = self.nodes.iter().enumerate().filter_map(timer).min();
        let packet = self.wire.peek().map(|arrival| arrival.at.0);
        match (timer, packet) {
            (Some((at, _)), Some(arrives)) if arrives <= at && arrives <= end => self.deliver(),
            (Some((at, node)), _) if at <= end => {
                self.now = at;
                self.tell(node, Event::Timeout);
            }
            (None, Some(arrives)) if arrives <= end => self.deliver(),
            _ => return false,
        }
        true
    }

    fn deliver(&mut self) {
        let arrival = self.wire.pop().expect("`step` has seen it");
        self.now = self.now.max(arrival.at.0);
        let node = &mut self.nodes[arrival.to];
        if !node.alive {
            return;
        }
        if node.paused_until > self.now {
            // It waits in the socket of the paused box.
            let at = std::cmp::Reverse(node.paused_until);
            self.wire.push(Arrival { at, ..arrival });
            return;
        }
        let source = self.nodes[arrival.from].address;
        let destination = group(Family::of(source));
        let packet = Packet { source, destination, ttl: TTL, message: &arrival.octets };
        let now = self.now;
        self.nodes[arrival.to].instance.receive(&packet, now);
        self.act(arrival.to);
    }

    /// Who lives and is master.
    pub(super) fn masters(&self) -> Vec<usize> {
        let is_master = |node: &usize| {
            let node = &self.nodes[*node];
            node.alive && node.instance.state() == VrrpState::Master
        };
        (0..self.nodes.len()).filter(is_master).collect()
    }

    /// Of the boxes that live, the one with the highest priority, then the highest address.
    pub(super) fn rightful(&self) -> usize {
        let rank = |node: &usize| (self.nodes[*node].instance.settings().priority, self.nodes[*node].address);
        (0..self.nodes.len()).filter(|node| self.nodes[*node].alive).max_by_key(rank).unwrap()
    }

    /// How often a box has changed its state.
    pub(super) fn changes(&self) -> usize {
        self.nodes.iter().map(|node| node.changes.len()).sum()
    }
}
