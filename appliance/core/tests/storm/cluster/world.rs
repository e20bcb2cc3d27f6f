//! The boxes, the wire between them and time: what happens when, and what it does to the cluster that the storm checker
//! is shown. Every change is followed by a judgement.

mod judgement;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use halcyon_core::config::Config;
use halcyon_core::moment::Moment;
use halcyon_core::node;
use halcyon_core::plan::state::KernelState;
use halcyon_core::plan::storm::{Cluster, Finding, Station};
use halcyon_core::vrrp::wire::Advert;

use super::machine::{Machine, Wish};
use super::traffic::Talk;
use crate::documents::{GENERATIONS, address, document, lan, mac, member};
use crate::mutations::Mutation;

/// Longest time that a packet between members is on the wire when nothing is wrong.
const WIRE: Duration = Duration::from_millis(2);
/// What is on its way.
#[derive(Clone, Debug)]
pub(crate) enum Arrival {
    Advert { from: usize, to: usize, advert: Box<Advert> },
    Checked { to: usize, action: Box<node::Action> },
    Synchronised { to: usize, entry: super::traffic::Synchronised },
    Packet,
    Fault,
}

/// What was found, and how to come there again.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) seed: u64,
    pub(crate) at: Moment,
    pub(crate) events: u64,
    pub(crate) finding: Box<Finding>,
    /// What happened last, oldest first.
    pub(crate) history: Vec<String>,
}

pub(crate) struct World {
    pub(crate) now: Moment,
    pub(crate) machines: Vec<Machine>,
    pub(crate) documents: Vec<Config>,
    /// The cluster as the storm checker sees it.
    pub(crate) cluster: Cluster,
    pub(crate) talks: Vec<Talk>,
    /// Boxes in different groups do not hear each other.
    pub(crate) group: Vec<u8>,
    /// Packets between boxes that are lost, in 256ths.
    pub(crate) loss: u8,
    /// Longest further delay.
    pub(crate) delay: Duration,
    pub(crate) events: u64,
    pub(crate) judgements: u64,
    pub(crate) violation: Option<Violation>,
    mutation: Option<&'static Mutation>,
    seed: u64,
    random: u64,
    sent: u64,
    wire: BinaryHeap<Reverse<(Moment, u64)>>,
    arrivals: BTreeMap<u64, Arrival>,
    history: Vec<String>,
    changed: bool,
}

impl World {
    pub(crate) fn new(seed: u64, count: usize, mutation: Option<&'static Mutation>) -> Self {
        let documents: Vec<Config> = GENERATIONS.iter().map(|g| document(count, *g)).collect();
        let station = |n| Station::new(member(n).to_string(), KernelState::default(), BTreeMap::new());
        let mut world = Self {
            now: Moment::ZERO + Duration::from_secs(100),
            machines: (0..count).map(Machine::new).collect(),
            documents,
            cluster: Cluster { stations: (0..count).map(station).collect(), others: BTreeSet::new() },
            talks: super::traffic::talks(),
            group: vec![0; count],
            loss: 0,
            delay: Duration::ZERO,
            events: 0,
            judgements: 0,
            violation: None,
            mutation,
            seed,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            sent: 0,
            wire: BinaryHeap::new(),
            arrivals: BTreeMap::new(),
            history: Vec::new(),
            changed: false,
        };
        let now = world.now;
        for number in 0..count {
            world.machines[number].boot(&world.documents, now);
            world.refresh(number);
        }
        world.send(Duration::from_millis(500), Arrival::Packet);
        world.send(Duration::from_secs(4), Arrival::Fault);
        world
    }

    /// A number below `below`, xorshift64* (Vigna 2014).
    pub(crate) fn chance(&mut self, below: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % below.max(1)
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if self.history.len() >= 80 {
            self.history.drain(..40);
        }
        let at = self.now;
        self.history.push(format!("{at} {}", what()));
    }

    pub(crate) fn send(&mut self, after: Duration, arrival: Arrival) {
        self.sent += 1;
        self.wire.push(Reverse((self.now + after, self.sent)));
        self.arrivals.insert(self.sent, arrival);
    }

    /// Two boxes hear each other, this time.
    pub(crate) fn connected(&mut self, a: usize, b: usize) -> bool {
        let lost = self.chance(256) < u64::from(self.loss);
        self.machines[a].alive && self.machines[b].alive && self.group[a] == self.group[b] && !lost
    }

    pub(crate) fn latency(&mut self) -> Duration {
        let longest = u64::try_from((WIRE + self.delay).as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.chance(longest))
    }

    /// Lets `events` more happen, or all until a violation.
    pub(crate) fn run(&mut self, events: u64) {
        let end = self.events + events;
        while self.events < end && self.violation.is_none() {
            self.step();
        }
    }

    fn step(&mut self) {
        self.events += 1;
        let machine = self.machines.iter().filter_map(|m| Some((m.wakes()?, m.number))).min();
        let arrival = self.wire.peek().map(|Reverse((at, _))| *at);
        match (machine, arrival) {
            (Some((at, number)), Some(other)) if at <= other => self.wake(at, number),
            (_, Some(at)) => self.arrive(at),
            (Some((at, number)), None) => self.wake(at, number),
            (None, None) => {}
        }
        if std::mem::take(&mut self.changed) {
            self.judge();
        }
    }

    fn wake(&mut self, at: Moment, number: usize) {
        self.now = self.now.max(at);
        let pace = Duration::from_micros(self.chance(3000));
        let fails = self.chance(400) == 0;
        let now = self.now;
        let wishes = self.machines[number].wake(&self.documents, now, pace, fails);
        self.grant(number, wishes);
    }

    pub(crate) fn grant(&mut self, number: usize, wishes: Vec<Wish>) {
        for wish in wishes {
            match wish {
                Wish::Advertise(advert) => {
                    for to in 0..self.machines.len() {
                        if to != number && self.connected(number, to) {
                            let after = self.latency();
                            let advert = Box::new(advert.clone());
                            self.send(after, Arrival::Advert { from: number, to, advert });
                        }
                    }
                }
                Wish::Check(action) => {
                    let after = self.latency();
                    self.send(after, Arrival::Checked { to: number, action: Box::new(action) });
                }
                Wish::Done(op) => {
                    self.note(|| format!("{}: {op}", member(number)));
                    self.purge(number, &op);
                    self.refresh(number);
                }
            }
        }
    }

    fn arrive(&mut self, at: Moment) {
        self.now = self.now.max(at);
        let Some(Reverse((_, number))) = self.wire.pop() else { return };
        let Some(arrival) = self.arrivals.remove(&number) else { return };
        let now = self.now;
        match arrival {
            Arrival::Advert { from, to, advert } => {
                if self.stalled(to, || Arrival::Advert { from, to, advert: advert.clone() }) {
                    return;
                }
                let wishes = self.machines[to].hear(from, *advert, now);
                self.grant(to, wishes);
            }
            Arrival::Checked { to, action } => {
                if self.stalled(to, || Arrival::Checked { to, action: action.clone() }) {
                    return;
                }
                let node::Action::Check { server, number, target, .. } = *action else { return };
                let asked =
                    (0..self.machines.len()).find(|n| target.ip() == std::net::IpAddr::from(address(*n)));
                let ok =
                    asked.is_some_and(|n| (n == to || self.connected(to, n)) && self.passes(to, n, target));
                let outcome = if ok { Ok(()) } else { Err("no answer".to_owned()) };
                let wishes = self.machines[to].tell(node::Event::Checked { server, number, outcome }, now);
                self.grant(to, wishes);
                if let Some(n) = asked.filter(|n| ok && *n != to) {
                    let known = BTreeSet::from([(lan(), address(n).into(), mac(n))]);
                    let wishes = self.machines[to].learn(known, now);
                    self.grant(to, wishes);
                }
            }
            Arrival::Synchronised { to, entry } => {
                self.synchronised(to, entry);
                self.changed = true;
            }
            Arrival::Packet => {
                self.traffic();
                let next = Duration::from_micros(self.chance(60_000));
                self.send(next, Arrival::Packet);
                self.changed = true;
            }
            Arrival::Fault => {
                self.befall();
                let next = Duration::from_millis(self.chance(2500));
                self.send(next, Arrival::Fault);
                self.changed = true;
            }
        }
    }

    /// A stalled engine finds what arrived later.
    fn stalled(&mut self, to: usize, again: impl FnOnce() -> Arrival) -> bool {
        let until = self.machines[to].stalled_until;
        if until > self.now {
            self.send(until.since(self.now), again());
            return true;
        }
        false
    }
}
