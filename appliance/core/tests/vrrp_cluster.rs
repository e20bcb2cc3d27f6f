//! Boxes on a virtual wire with loss, delay and partitions, all from a seed: whatever happened, once the wire is whole
//! again there is one master, the right one, within the time that the protocol promises.

#![expect(clippy::unwrap_used, reason = "helpers of tests; a test that cannot go on fails")]

use std::collections::{BTreeMap, BinaryHeap};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use halcyon_core::config::types::{Family, InstanceId, Priority, Vrid};
use halcyon_core::moment::Moment;
use halcyon_core::plan::VrrpState;
use halcyon_core::vrrp::machine::{Action, Event, Instance, Link, Start};
use halcyon_core::vrrp::settings::Settings;
use halcyon_core::vrrp::why::Why;
use halcyon_core::vrrp::wire::{Addresses, Authentication, Coverage, Form, Packet, TTL, group};
use proptest::prelude::*;

/// Longest time that a packet is on the wire when nothing is wrong.
const WIRE: Duration = Duration::from_millis(2);

/// What happens on the wire or to a box, in the order of time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Arrival {
    at: std::cmp::Reverse<Moment>,
    number: u64,
    to: usize,
    from: usize,
    octets: Vec<u8>,
}

struct Node {
    instance: Instance,
    address: IpAddr,
    alive: bool,
    /// Takes no part in time until then.
    paused_until: Moment,
    changes: Vec<(Moment, VrrpState, Why, Option<IpAddr>)>,
}

struct Cluster {
    now: Moment,
    nodes: Vec<Node>,
    wire: BinaryHeap<Arrival>,
    sent: u64,
    random: u64,
    /// Packets lost, in 256ths.
    loss: u8,
    /// Longest further delay.
    delay: Duration,
    /// Boxes in different groups do not hear each other.
    group: BTreeMap<usize, u8>,
}

impl Cluster {
    fn new(seed: u64, form: Form, interval: Duration, priorities: &[u8]) -> Self {
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
    fn settled(seed: u64, form: Form, interval: Duration, priorities: &[u8]) -> Self {
        let mut cluster = Self::new(seed, form, interval, priorities);
        (0..priorities.len()).for_each(|node| cluster.boot(node));
        cluster.run(cluster.bound() * 2);
        cluster
    }

    fn chance(&mut self, below: u64) -> u64 {
        // xorshift64* (Marsaglia 2003, Vigna 2014); the state must not be 0.
        self.random = self.random.max(1);
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % below.max(1)
    }

    /// Master_Down_Interval of the box that waits longest.
    fn down(&self) -> Duration {
        let of = |node: &Node| node.instance.settings().master_down(node.instance.settings().interval);
        self.nodes.iter().map(of).max().unwrap()
    }

    /// Time after which there is one master once the wire is whole: every timer of a state that partition, pause or
    /// hand-over left behind, then one preemption.
    fn bound(&self) -> Duration {
        self.down() * 2 + self.nodes[0].instance.settings().interval * 2 + WIRE * 4
    }

    fn boot(&mut self, node: usize) {
        self.nodes[node].alive = true;
        let primary = self.nodes[node].address;
        self.tell(node, Event::Link(Link::Up { primary }));
    }

    /// Power cut: nothing more is said, and all is forgotten.
    fn kill(&mut self, node: usize) {
        let settings = self.nodes[node].instance.settings().clone();
        self.nodes[node].instance = Instance::new(settings, Start::Fresh, self.now);
        self.nodes[node].alive = false;
    }

    fn tell(&mut self, node: usize, event: Event) {
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
    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// The next event until `end`; false when there is none.
    fn step(&mut self, end: Moment) -> bool {
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

    fn masters(&self) -> Vec<usize> {
        let is_master = |node: &usize| {
            let node = &self.nodes[*node];
            node.alive && node.instance.state() == VrrpState::Master
        };
        (0..self.nodes.len()).filter(is_master).collect()
    }

    /// Of the boxes that live, the one with the highest priority, then the highest address.
    fn rightful(&self) -> usize {
        let rank = |node: &usize| (self.nodes[*node].instance.settings().priority, self.nodes[*node].address);
        (0..self.nodes.len()).filter(|node| self.nodes[*node].alive).max_by_key(rank).unwrap()
    }
}

const V3: Form = Form::V3 { checksum: Coverage::Message };
const SECOND: Duration = Duration::from_secs(1);

fn v2() -> Form {
    Form::V2 { authentication: Authentication::password("1111") }
}

/// The ways a pair is run: version and interval.
fn ways() -> [(Form, Duration); 4] {
    [(v2(), SECOND), (V3, SECOND / 10), (V3, SECOND / 100), (V3, SECOND * 40)]
}

#[test]
fn boxes_that_start_together_agree_on_the_highest_priority() {
    for (form, interval) in ways() {
        for priorities in [&[100, 99][..], &[1, 254], &[50, 50, 50], &[10, 200, 100, 99, 98]] {
            let mut cluster = Cluster::settled(1, form, interval, priorities);
            assert_eq!(cluster.masters(), [cluster.rightful()], "{priorities:?} {interval:?}");
            let before = cluster.nodes.iter().map(|node| node.changes.len()).sum::<usize>();
            cluster.run(interval * 1000);
            let after = cluster.nodes.iter().map(|node| node.changes.len()).sum::<usize>();
            assert_eq!(before, after, "and nothing changes after that");
        }
    }
}

#[test]
fn a_dead_master_is_replaced_within_master_down_interval() {
    for (form, interval) in ways() {
        for seed in 1..50 {
            let mut cluster = Cluster::settled(seed, form, interval, &[100, 99, 50]);
            let pause = cluster.chance(u64::try_from(interval.as_micros()).unwrap());
            cluster.run(Duration::from_micros(pause));
            cluster.kill(0);
            let killed = cluster.now;
            cluster.run(cluster.down());
            assert_eq!(cluster.masters(), [1]);
            let (at, state, why, silent) = cluster.nodes[1].changes.last().unwrap();
            assert_eq!((*state, *silent), (VrrpState::Master, Some(cluster.nodes[0].address)));
            assert!(matches!(why, Why::Silent { .. }), "{why:?}");
            let waits = cluster.nodes[1].instance.settings().master_down(interval);
            assert!(at.since(killed) <= waits + WIRE, "{interval:?}: {:?}", at.since(killed));
            // The old master returns and is master again, with nobody suspected.
            cluster.boot(0);
            cluster.run(cluster.bound());
            assert_eq!(cluster.masters(), [0]);
            assert_eq!(cluster.nodes[0].changes.last().unwrap().3, None);
        }
    }
}

#[test]
fn a_master_that_stops_in_order_is_replaced_in_skew_time() {
    for (form, interval) in ways() {
        let mut cluster = Cluster::settled(1, form, interval, &[100, 99, 50]);
        let stopped = cluster.now;
        cluster.tell(0, Event::Stop);
        cluster.nodes[0].alive = false;
        cluster.run(cluster.down());
        assert_eq!(cluster.masters(), [1]);
        let (at, _, why, silent) = cluster.nodes[1].changes.last().unwrap();
        assert!(at.since(stopped) <= cluster.nodes[1].instance.settings().skew(interval) + WIRE);
        assert_eq!((*why, *silent), (Why::Left { master: cluster.nodes[0].address }, None));
    }
}

#[test]
fn a_hand_over_leaves_no_moment_without_a_master_and_lasts() {
    for (form, interval) in ways() {
        let mut cluster = Cluster::settled(1, form, interval, &[100, 99]);
        cluster.tell(0, Event::HandOver);
        let end = cluster.now + cluster.down();
        while cluster.step(end) {
            assert!(!cluster.masters().is_empty());
        }
        assert_eq!(cluster.masters(), [1]);
        cluster.run(interval * 1000);
        assert_eq!(cluster.masters(), [1], "the higher priority does not come back");
        // Until its heir dies.
        cluster.kill(1);
        cluster.run(cluster.down() + WIRE);
        assert_eq!(cluster.masters(), [0]);
    }
}

#[test]
fn after_a_masters_pause_one_interval_settles_who_is_master() {
    for (form, interval) in ways() {
        for (paused, heir) in [(0, 1), (1, 0)] {
            // The higher priority pauses and takes its addresses back at once; or the lower one, which was master only
            // because the higher one came up late, hears of that before it speaks.
            let mut cluster = Cluster::settled(1, form, interval, &[100, 99]);
            cluster.nodes[0].paused_until = cluster.now + cluster.down() * 3;
            cluster.run(cluster.down() * 3 - WIRE);
            assert_eq!(cluster.nodes[1].instance.state(), VrrpState::Master);
            if paused == 1 {
                cluster.nodes[1].paused_until = cluster.now + cluster.down() * 3;
                cluster.run(cluster.down() * 3 - WIRE);
                assert_eq!(cluster.nodes[heir].instance.state(), VrrpState::Master);
            }
            cluster.run(interval + WIRE * 4);
            assert_eq!(cluster.masters(), [0]);
        }
    }
}

/// One thing that goes wrong.
#[derive(Clone, Debug)]
enum Trouble {
    Loss(u8),
    Delay(u16),
    Partition(Vec<u8>),
    Kill(usize),
    Boot(usize),
    Pause(usize, u16),
    Unplug(usize),
    Plug(usize),
    HandOver(usize),
    Stop(usize),
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let node = 0usize..4;
    prop_oneof![
        any::<u8>().prop_map(Trouble::Loss),
        (0u16..400).prop_map(Trouble::Delay),
        prop::collection::vec(0u8..3, 4).prop_map(Trouble::Partition),
        node.clone().prop_map(Trouble::Kill),
        node.clone().prop_map(Trouble::Boot),
        (node.clone(), 1u16..600).prop_map(|(node, percent)| Trouble::Pause(node, percent)),
        node.clone().prop_map(Trouble::Unplug),
        node.clone().prop_map(Trouble::Plug),
        node.clone().prop_map(Trouble::HandOver),
        node.prop_map(Trouble::Stop),
    ]
}

impl Cluster {
    fn befall(&mut self, trouble: &Trouble) {
        let interval = self.nodes[0].instance.settings().interval;
        match *trouble {
            Trouble::Loss(loss) => self.loss = loss,
            Trouble::Delay(percent) => self.delay = interval * u32::from(percent) / 100,
            Trouble::Partition(ref groups) => self.group = groups.iter().copied().enumerate().collect(),
            Trouble::Kill(node) => self.kill(node),
            Trouble::Boot(node) if !self.nodes[node].alive => self.boot(node),
            Trouble::Pause(node, percent) => {
                self.nodes[node].paused_until = self.now + interval * u32::from(percent) / 100;
            }
            Trouble::Unplug(node) if self.nodes[node].alive => self.tell(node, Event::Link(Link::Down)),
            Trouble::Plug(node) if self.nodes[node].alive => self.boot(node),
            Trouble::HandOver(node) if self.nodes[node].alive => self.tell(node, Event::HandOver),
            Trouble::Stop(node) if self.nodes[node].alive => {
                self.tell(node, Event::Stop);
                self.kill(node);
            }
            Trouble::Boot(_)
            | Trouble::Unplug(_)
            | Trouble::Plug(_)
            | Trouble::HandOver(_)
            | Trouble::Stop(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// After any history, once the wire is whole and every box runs: one master within the bound, of the highest
    /// priority (among equals whoever it was: a backup does not preempt its equal), and no change after that.
    #[test]
    fn after_every_history_there_is_one_master(
        seed in any::<u64>(),
        way in 0usize..4,
        priorities in prop::collection::vec(prop_oneof![1u8..=254, 99u8..=101], 4),
        history in prop::collection::vec((0u32..500, trouble()), 0..40),
    ) {
        let (form, interval) = ways()[way];
        let mut cluster = Cluster::new(seed, form, interval, &priorities);
        for (percent, trouble) in &history {
            cluster.befall(trouble);
            cluster.run(interval * *percent / 100);
        }
        // What was delayed may still be on the wire: heal, and let it arrive.
        cluster.loss = 0;
        cluster.group.clear();
        let longest = cluster.delay + interval * 6;
        cluster.delay = Duration::ZERO;
        for node in 0..cluster.nodes.len() {
            cluster.nodes[node].paused_until = cluster.now;
            cluster.boot(node);
            cluster.tell(node, Event::Release);
        }
        cluster.run(longest);
        // A hand-over that was under way may have ended by now, with a hold of its own.
        for node in 0..cluster.nodes.len() {
            cluster.tell(node, Event::Release);
        }
        cluster.run(cluster.bound());
        let masters = cluster.masters();
        prop_assert_eq!(masters.len(), 1);
        prop_assert_eq!(
            cluster.nodes[masters[0]].instance.settings().priority,
            cluster.nodes[cluster.rightful()].instance.settings().priority
        );
        let changes = |cluster: &Cluster| cluster.nodes.iter().map(|node| node.changes.len()).sum::<usize>();
        let before = changes(&cluster);
        cluster.run(interval * 100);
        prop_assert_eq!(changes(&cluster), before);
    }
}
