//! What the storm checker is shown of the boxes, and what it is asked after every change.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use halcyon_core::config::Protocol;
use halcyon_core::plan::rules::{Condition, Rule, Rules, Verdict};
use halcyon_core::plan::storm::{Answers, End, Packet, Promise, Segment, Sender, Station, check, walk};
use halcyon_core::reconcile::Op;

use super::{Violation, World};
use crate::cluster::machine::Machine;
use crate::documents::{VIP, address, member, serves};

/// What holds at every moment.
const ALWAYS: [Promise; 2] = [Promise::Once, Promise::Served];
/// What holds besides while every box of a pair has what it wants: an operation that is still to come, or has failed, may
/// be the one that tells whose an open connection is, and with three boxes the entries tell that alone.
const AT_REST: [Promise; 3] = [Promise::Once, Promise::Served, Promise::Owner];

/// Whether clients reach a port of the virtual address: a document's rules come a moment after the document.
fn lets_in(rules: &Rules, (protocol, port): (Protocol, u16)) -> bool {
    let mut filters = rules.chains.iter().filter(|c| c.base.is_some()).peekable();
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
    /// Judges every conversation.
    pub(super) fn judge(&mut self) {
        let at_rest = self.machines.len() == 2 && self.machines.iter().all(Machine::is_at_rest);
        let promises: &[Promise] = if at_rest { &AT_REST } else { &ALWAYS };
        for number in 0..self.talks.len() {
            let segments: &[Segment] = match self.talks[number].segment {
                Segment::Datagram => &[Segment::Datagram, Segment::Error(Protocol::Udp)],
                // A reset goes where an entry leads, as a segment in mid-stream does, and nowhere else.
                _ => &[Segment::Syn, Segment::Middle, Segment::Error(Protocol::Tcp)],
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
    pub(super) fn purge(&mut self, number: usize, op: &Op) {
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

    /// A check of this box's server passes that comes from box `from`.
    pub(super) fn passes(&self, from: usize, number: usize, target: SocketAddr) -> bool {
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
}
