//! Every state of every member, and every step on the way from each to each other.
//!
//! A member's kernel follows from its VRRP state, the health that it sees and the document's generation; a change from
//! one such view to another is a list of operations, and after each of them the kernel is in a state that is judged. So
//! are the steps of a box that has just started, and those that an earlier list left half done.
//!
//! What is not multiplied, and why that loses nothing:
//!
//! - **Members with each other**, for the promise that nothing crosses twice: each box is judged alone ([`alone`]),
//!   against frames of every fellow and every old entry, and the module says why that is enough. So three members cost
//!   three times one, and the fellows may be at any step of any change themselves.
//! - **VRRP states** but two: the planner knows master and not master only; the kernel state of each is compared, so a
//!   third kind would be a state of its own here.
//! - **Health** but in and out of the table, for the same reason.
//! - **Flows**: the kernels tell flows apart by protocol, service and client. Every service is tried with every kind of
//!   packet; a client is a stranger or a member; ports of clients mean nothing to any rule.
//! - **Entries** by what IPVS asks of them: whom they name, which service's server that is or was, and whether their
//!   connection is over. How they came about (this box, synchronisation, a former generation) is no question it asks.
//!
//! That a master serves, and that an open connection stays with its box, is a promise of two boxes together: there one
//! member of a pair goes through all its steps while the other stands in each of its states, and each remembers the
//! conversation in each way that matters to the promise.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use halcyon_core::config::types::MemberName;
use halcyon_core::config::{Config, Protocol};
use halcyon_core::plan::state::{KernelState, Virtual};
use halcyon_core::plan::storm::alone::{Depth, alone};
use halcyon_core::plan::storm::{
    Answers, Cluster, Entry, Finding, Packet, Phase, Promise, Segment, Station, Wire, check,
};
use halcyon_core::plan::{Health, View, VrrpState, plan};
use halcyon_core::reconcile::{Observed, diff};

use crate::documents::{
    GENERATIONS, Generation, VIP, address, booted, document, fellows, lan, mac, member, serves,
};
use crate::mutations::Mutation;

/// What the kernel of member `me` is to hold, for every view that a document allows.
fn standings(config: &Config, me: &MemberName) -> Vec<KernelState> {
    let servers: Vec<_> = config
        .services
        .values()
        .flat_map(|service| service.servers.keys().map(|server| (service.name.clone(), server.clone())))
        .collect();
    let names: BTreeSet<_> = servers.iter().map(|(_, server)| server.clone()).collect();
    let mut all = Vec::new();
    for state in [VrrpState::Backup, VrrpState::Master] {
        // A server is a box: its services come and go together, but for the moment between two operations.
        for bits in 0..1_u32 << names.len() {
            let up = |name| names.iter().position(|n| n == name).is_some_and(|at| bits >> at & 1 == 1);
            let mut view = View::default();
            view.vrrp.extend(config.vrrp.keys().map(|id| (id.clone(), state)));
            view.health.extend(servers.iter().map(|(service, server)| {
                ((service.clone(), server.clone()), if up(server) { Health::Up } else { Health::Down })
            }));
            all.push(plan(config, me, &view).state);
        }
    }
    all
}

/// The sysctls that a kernel has from the start, with its defaults.
fn with_sysctls(mut observed: Observed, standings: &[KernelState]) -> Observed {
    for path in standings.iter().flat_map(|standing| standing.sysctls.keys()) {
        let default = if path.ends_with("conn_reuse_mode") { "1" } else { "0" };
        observed.sysctls.insert(path.clone(), default.into());
    }
    observed
}

/// Every state that the kernel of member `me` can be in, half-way ones included, each once.
fn steps(count: usize, generations: &[Generation], me: usize) -> Vec<Observed> {
    let name = member(me);
    let standings: Vec<KernelState> =
        generations.iter().flat_map(|g| standings(&document(count, *g), &name)).collect();
    let mut from = vec![with_sysctls(booted(me), &standings)];
    let mut seen: BTreeMap<String, Observed> = BTreeMap::new();
    let applied: Vec<Observed> = standings
        .iter()
        .map(|standing| {
            let mut observed = from[0].clone();
            for op in diff(standing, &observed).ops {
                observed.apply(&op);
            }
            observed
        })
        .collect();
    from.extend(applied);
    for start in &from {
        for standing in &standings {
            let mut observed = start.clone();
            for op in diff(standing, start).ops {
                observed.apply(&op);
                seen.entry(format!("{observed:?}")).or_insert_with(|| observed.clone());
            }
        }
    }
    seen.into_values().collect()
}

/// All services that any generation has: a box may be sent what it does not serve any more.
fn services(generations: &[Generation]) -> BTreeSet<Virtual> {
    let tables = generations.iter().flat_map(|g| {
        let standing = standings(&document(2, *g), &member(0)).remove(0);
        standing.services.into_keys()
    });
    tables.filter(|service| matches!(service, Virtual::Address { .. })).collect()
}

fn observed_station(me: usize, observed: &Observed, mutation: Option<&Mutation>) -> Station {
    let mut station = Station::observed(member(me).to_string(), observed, &lan());
    if let Some(mutation) = mutation {
        (mutation.apply)(&mut station.kernel);
    }
    station
}

/// Judges each state of each member alone.
fn explore_alone(
    count: usize,
    generations: &[Generation],
    mutation: Option<&Mutation>,
) -> (usize, Option<Box<Finding>>) {
    let services = services(generations);
    let config = document(count, generations[0]);
    let mut judged = 0;
    let mut worst: Option<Box<Finding>> = None;
    for me in 0..count {
        let fellows = fellows(&config, &member(me));
        for observed in steps(count, generations, me) {
            judged += 1;
            let station = observed_station(me, &observed, mutation);
            if let Err(finding) = alone(&station, &fellows, &services, Depth::Every)
                && worst.as_ref().is_none_or(|w| finding.walk.steps.len() < w.walk.steps.len())
            {
                worst = Some(finding);
            }
        }
    }
    (judged, worst)
}

/// What pairs are judged by.
const PROMISES: [Promise; 3] = [Promise::Once, Promise::Served, Promise::Owner];

/// The mark of a socket whose connection began while the rules stood.
const ACCEPTED: u32 = 0x100;

/// What a member of a pair remembers of a conversation, as far as it matters to whether that is served.
fn memories(number: usize, service: Virtual) -> Vec<Option<Entry>> {
    let other = 1 - number;
    let entry = |server, bound, phase| {
        Some(Entry { server: (address(server).into(), port(service)), bound, phase, controlled: false })
    };
    vec![
        None,
        entry(other, Some(service), Phase::Open),
        entry(number, Some(service), Phase::Open),
        entry(other, Some(service), Phase::Closed),
        entry(other, None, Phase::Open),
    ]
}

fn port(service: Virtual) -> u16 {
    match service {
        Virtual::Address { port, .. } => port,
        Virtual::Mark { .. } => 0,
    }
}

/// Judges pairs: each state of the first member, half-way ones included, beside each that the second comes to rest in.
fn explore_pairs(generation: Generation, mutation: Option<&Mutation>) -> (usize, Option<Box<Finding>>) {
    let config = document(2, generation);
    let second: Vec<Station> = standings(&config, &member(1))
        .into_iter()
        .map(|standing| {
            let wire = Wire { mac: mac(1), segment: lan() };
            let mut station = Station::new(member(1).to_string(), standing, BTreeMap::from([(lan(), wire)]));
            if let Some(mutation) = mutation {
                (mutation.apply)(&mut station.kernel);
            }
            station.answers = Answers::Ports(serves(&config, 1));
            station
        })
        .collect();
    let mut judged = 0;
    let mut worst: Option<Box<Finding>> = None;
    for observed in steps(2, &[generation], 0) {
        let mut first = observed_station(0, &observed, mutation);
        // An application is asked for what its box takes packets for.
        let ports = if first.holds(VIP.into()) { serves(&config, 0) } else { BTreeSet::new() };
        first.answers = Answers::Ports(ports);
        for second in &second {
            judged += 1;
            let mut cluster =
                Cluster { stations: vec![first.clone(), second.clone()], others: BTreeSet::new() };
            for service in services(&[generation]) {
                let Virtual::Address { protocol, .. } = service else { continue };
                let service_at = SocketAddr::new(VIP.into(), port(service));
                let client = SocketAddr::new([203, 0, 113, 7].into(), 40_000);
                let segment = Segment::of(protocol)[0];
                let packet = Packet { client, service: service_at, segment, ttl: 64 };
                let talk = (protocol, client, service_at);
                let mut judge = |cluster: &Cluster, segment| {
                    if let Err(finding) = check(cluster, Packet { segment, ..packet }, &PROMISES)
                        && worst.as_ref().is_none_or(|w| finding.walk.steps.len() < w.walk.steps.len())
                    {
                        worst = Some(finding);
                    }
                };
                for here in memories(0, service) {
                    for there in memories(1, service) {
                        for (station, entry) in cluster.stations.iter_mut().zip([here, there]) {
                            station.entries = entry.map(|entry| (talk, entry)).into_iter().collect();
                        }
                        judge(&cluster, segment);
                        for holder in (0..2).filter(|_| protocol == Protocol::Tcp) {
                            cluster.stations[holder].sockets.insert(talk, ACCEPTED);
                            judge(&cluster, Segment::Middle);
                            cluster.stations[holder].sockets.clear();
                        }
                    }
                }
            }
        }
    }
    (judged, worst)
}

#[test]
fn no_box_at_any_step_sends_on_to_a_member_what_a_member_sent() {
    for count in [2, 3] {
        let (judged, finding) = explore_alone(count, &GENERATIONS, None);
        println!("{count} members: {judged} kernel states");
        if let Some(finding) = finding {
            panic!("{count} members: {finding}");
        }
    }
}

#[test]
fn a_master_of_a_pair_serves_at_every_step_of_either() {
    for generation in GENERATIONS {
        let (judged, finding) = explore_pairs(generation, None);
        println!("{judged} pairs of states");
        if let Some(finding) = finding {
            panic!("{generation:?}: {finding}");
        }
    }
}

/// The finding that each protection's absence leads to, by exploration.
pub(crate) fn find(mutation: &Mutation) -> Option<(&'static str, Box<Finding>)> {
    let alone = explore_alone(2, &GENERATIONS[..1], Some(mutation)).1;
    let pairs = || explore_pairs(GENERATIONS[0], Some(mutation)).1;
    alone.map(|f| ("each box alone", f)).or_else(|| pairs().map(|f| ("pairs of states", f)))
}
