//! The boxes, the wire between them and time: what happens when, and what it does to the cluster that the storm checker
//! is shown. Every change is followed by a judgement.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::time::Duration;

use halcyon_core::config::{Config, Protocol};
use halcyon_core::moment::Moment;
use halcyon_core::node;
use halcyon_core::plan::rules::{Condition, Hook, Rule, Rules, Verdict};
use halcyon_core::plan::state::KernelState;
use halcyon_core::plan::storm::{
    Answers, Cluster, End, Finding, Packet, Promise, Segment, Sender, Station, check, walk,
};
use halcyon_core::reconcile::Op;
use halcyon_core::vrrp::wire::Advert;

use super::machine::{Machine, Wish};
use super::traffic::Talk;
use crate::documents::{GENERATIONS, VIP, address, document, lan, mac, member, serves};
use crate::mutations::Mutation;

/// Longest time that a packet between members is on the wire when nothing is wrong.
const WIRE: Duration = Duration::from_millis(2);
/// What holds at every moment.
const ALWAYS: [Promise; 2] = [Promise::Once, Promise::Served];
/// What holds besides while every box of a pair has what it wants: an operation that is still to come, or has failed, may
/// be the one that tells whose an open connection is, and with three boxes the entries tell that alone.
const AT_REST: [Promise; 3] = [Promise::Once, Promise::Served, Promise::Owner];

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

/// Whether clients reach a port of the virtual address: a document's rules come a moment after the document.
fn lets_in(rules: &Rules, (protocol, port): (Protocol, u16)) -> bool {
    let mut filters =
        rules.chains.iter().filter(|c| c.base.is_some_and(|base| base.hook == Hook::Input)).peekable();
    let opening = |rule: &Rule| {
        let for_port = rule
            .conditions
            .iter()
            .any(|c| matches!(c, Condition::Port(p, ports) if *p == protocol && ports.contains(&port)));
        let for_address = rule.conditions.iter().any(
            |c| matches!(c, Condition::Destination(to) if to.iter().any(|cidr| cidr.contains(VIP.into()))),
        );
        rule.verdict == Some(Verdict::Accept) && for_port && for_address
    };
    filters.peek().is_none() || filters.any(|filter| filter.rules.iter().any(opening))
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

    /// A check of this box's server passes that comes from box `from`.
    fn passes(&self, from: usize, number: usize, target: SocketAddr) -> bool {
        let machine = &self.machines[number];
        let alive = machine.alive && machine.app && machine.holds(target.ip());
        if from == number || !alive {
            return alive;
        }
        let Some(link) = self.cluster.stations[number].links.keys().next() else { return false };
        let client = SocketAddr::new(address(from).into(), 50_000);
        let packet = Packet { client, service: target, segment: Segment::Syn, ttl: 64 };
        let listens = {
            let mut cluster = self.cluster.clone();
            cluster.stations[number].answers = Answers::All;
            walk(&cluster, packet, Sender::Member(from), number, link)
        };
        listens.iter().all(|way| matches!(way.end, End::Served { .. }))
    }

    /// Shows the storm checker what this box's kernel holds now; its connection table and sockets stay.
    pub(crate) fn refresh(&mut self, number: usize) {
        let machine = &self.machines[number];
        let segment = format!("lan{}", self.group[number]).parse().expect("letters and a digit make a name");
        let mut station = Station::observed(member(number).to_string(), &machine.kernel, &segment);
        if let Some(mutation) = self.mutation {
            (mutation.apply)(&mut station.kernel);
        }
        let shown = &mut self.cluster.stations[number];
        // What it was told to serve, once it takes packets for it and its filter lets them in. A document that it does
        // not have in all its parts has told it nothing yet; one that it is leaving, nothing any more.
        let ports = if machine.app && machine.holds(VIP.into()) {
            let told = serves(&self.documents[machine.document], number);
            let before = serves(&self.documents[machine.in_force], number);
            told.intersection(&before).copied().filter(|port| lets_in(&station.kernel.rules, *port)).collect()
        } else {
            BTreeSet::new()
        };
        station.answers = Answers::Ports(ports);
        station.entries = std::mem::take(&mut shown.entries);
        station.templates = std::mem::take(&mut shown.templates);
        station.sockets = std::mem::take(&mut shown.sockets);
        *shown = station;
        self.changed = true;
    }

    /// A deleted server takes its entries along, at once or when the next packet finds them.
    fn purge(&mut self, number: usize, op: &Op) {
        let at_once = self.chance(2) == 0;
        let station = &mut self.cluster.stations[number];
        let expires = station.kernel.sysctls.get("net/ipv4/vs/expire_nodest_conn").is_some_and(|v| v == "1");
        if !expires || !at_once {
            return;
        }
        match *op {
            Op::DelDestination { service, server } => {
                station.entries.retain(|_, e| e.bound != Some(service) || e.server.0 != server.0);
                station.templates.retain(|_, e| e.bound != Some(service) || e.server.0 != server.0);
            }
            Op::DelService { service } => {
                station.entries.retain(|_, e| e.bound != Some(service));
                station.templates.retain(|_, e| e.bound != Some(service));
            }
            _ => {}
        }
    }

    fn judge(&mut self) {
        let at_rest = self.machines.len() == 2 && self.machines.iter().all(Machine::is_at_rest);
        let promises: &[Promise] = if at_rest { &AT_REST } else { &ALWAYS };
        for number in 0..self.talks.len() {
            let segments: &[Segment] = match self.talks[number].segment {
                Segment::Datagram => &[Segment::Datagram],
                // A reset goes where an entry leads, as a segment in mid-stream does, and nowhere else.
                _ => &[Segment::Syn, Segment::Middle],
            };
            for &segment in segments {
                self.judgements += 1;
                let packet = self.talks[number].packet(segment);
                if let Err(finding) = check(&self.cluster, packet, promises) {
                    let history = std::mem::take(&mut self.history);
                    let (seed, at, events) = (self.seed, self.now, self.events);
                    self.violation = Some(Violation { seed, at, events, finding, history });
                    return;
                }
            }
        }
    }
}
