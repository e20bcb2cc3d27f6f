//! Does the product's storm checker foresee what packets do? Draws states of a pair, puts them into both kernels, sends
//! packets, and holds every way that the checker says a packet can go against what the switch counted and who answered.
//!
//! A state is a strategy's own plan for two drawn views (who is master, who is thought healthy), with some of the guard's
//! parts taken out on some boxes and a box cut off at times. Without those parts the checker must foresee the loop, and the
//! switch must count it. Connections stay from one state to the next, so that their entries are stale in it.
//!
//! The engines stand still meanwhile, or they would put right what was taken out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use halcyon_core::config::types::LinkName;
use halcyon_core::config::{Config, Protocol};
use halcyon_core::plan::storm::{
    Cluster, End, Entry, Packet, Segment, Sender, Station, Step, Walk, Wire, walk,
};

use super::drawn::{self, Drawn, config, planned};
use super::{halcyon, loading};
use crate::agent::Agent;
use crate::client::talk::{Ask, Outcome, Request};
use crate::pair::Pair;
use crate::seed::Seed;
use crate::tables;
use crate::wording::Strategy;

/// Packets of each protocol that are sent in each state.
const PROBES: usize = 8;

/// Clients that send them: few more, so that most have spoken in an earlier state.
const SENDERS: usize = 2 * PROBES + 4;

/// Who answers, answers within this.
const PATIENCE: Duration = Duration::from_secs(4);

/// What nobody can answer is given this, for the packet to end where it ends.
const DOOMED: Duration = Duration::from_millis(700);

/// Source ports of the first conversations of a strategy's states, and how many are left for them.
const PORTS: (u16, u16) = (20_000, 1_000);

/// What is seen of a packet, and what is foreseen: crossings, and who served it.
type Fate = (u32, Option<usize>);

/// What was found over all states.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// States.
    pub states: usize,
    /// Packets that went a way that was foreseen.
    pub packets: usize,
    /// Those of them that crossed more than once: something had been taken out.
    pub looped: usize,
    /// The most crossings.
    pub most: u32,
    /// Those that an entry from an earlier state sent on its way.
    pub stale: usize,
    /// Those that reached no application.
    pub unserved: usize,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { states, packets, looped, most, stale, unserved } = self;
        write!(
            f,
            "{packets} packets in {states} states, {stale} by stale entries, {unserved} unserved, {looped} crossed more \
             than once and at most {most} times, all as foreseen"
        )
    }
}

/// A pair whose states are drawn.
pub struct Agreement<'a> {
    pair: &'a mut Pair,
    agents: [Agent; 2],
    config: Config,
    model: Cluster,
    seed: Seed,
    /// The present conversation of each client, by its source port.
    ports: [u16; SENDERS],
    /// What was found so far.
    pub found: Found,
}

impl<'a> Agreement<'a> {
    /// Of a pair that serves, each with one TCP service and one UDP service.
    pub fn new(pair: &'a mut Pair, seed: &Seed) -> Result<Self> {
        let agents = [0, 1].map(|which| pair.agent(which));
        let config = config(pair)?;
        let seed = seed.fork("agreement");
        let (model, ports) = (Cluster::default(), [PORTS.0; SENDERS]);
        Ok(Self { pair, agents, config, model, seed, ports, found: Found::default() })
    }

    /// Gives both boxes a document with this strategy, unless they have it already.
    pub fn enforce(&mut self, strategy: Strategy) -> Result<()> {
        if self.pair.wording.strategy == strategy {
            return Ok(());
        }
        self.pair.wording.strategy = strategy;
        self.pair.wording.revision += 1;
        for which in [0, 1] {
            halcyon::change_document(self.pair, which, &self.agents[which])?;
        }
        self.config = config(self.pair)?;
        self.pair.wait_master(0)?;
        tables::wait_servers(
            &self.agents[0],
            &self.pair.cluster,
            &self.pair.cluster.services(&self.pair.wording),
            &[0, 1],
        )
    }

    /// Through `count` states of the strategy in force.
    pub fn states(&mut self, count: usize) -> Result<()> {
        for which in [0, 1] {
            loading::begin(self.pair, which, &self.agents[which])?;
        }
        self.model = Cluster {
            stations: (0..2).map(|which| self.station(which)).collect::<Result<_>>()?,
            others: BTreeSet::new(),
        };
        let generation = self.ports[0].max(PORTS.0) + PORTS.1;
        self.ports = [generation; SENDERS];
        for number in 0..count {
            let drawn = drawn::draw(&mut self.seed, number);
            self.enter(&drawn)?;
            self.probe(&drawn)?;
            self.found.states += 1;
        }
        let whole = Drawn { master: true, sees: [true; 2], without: BTreeSet::new(), there: true };
        self.enter(&[whole.clone(), whole])
    }

    /// Puts a state into both kernels and into the model.
    fn enter(&mut self, drawn: &[Drawn; 2]) -> Result<()> {
        for which in [0, 1] {
            let Drawn { master, sees, without, there } = &drawn[which];
            let mut kernel = planned(self.pair, &self.config, which, *master, *sees)?;
            let chains: Vec<&str> = without.iter().map(|part| part.chain()).collect();
            for chain in kernel.rules.chains.iter_mut().filter(|chain| chains.contains(&chain.name)) {
                chain.rules.clear();
            }
            let station = &mut self.model.stations[which];
            loading::load(&self.agents[which], &self.pair.cluster, &station.kernel, &kernel, &chains)?;
            station.kernel = kernel;
            // A destination that goes takes its connections with it (`expire_nodest_conn`).
            station.entries.retain(|_, entry| {
                entry.bound.and_then(|service| station.kernel.services.get(&service)).is_some_and(|service| {
                    let (address, port) = entry.server;
                    [port, 0].iter().any(|port| service.destinations.contains_key(&(address, *port)))
                })
            });
            let (front, back) = (self.pair.boxes[which].port, self.pair.boxes[which].back);
            let there = *there;
            self.pair.lab.with(move |network| {
                for port in [Some(front), back].into_iter().flatten() {
                    network.switch.set_cable(port, there);
                }
            });
        }
        Ok(())
    }

    /// The boxes as the checker knows them: links and wires, nothing in the kernel yet.
    fn station(&self, which: usize) -> Result<Station> {
        let cluster = &self.pair.cluster;
        let member = &cluster.members[which];
        let mut links = BTreeMap::new();
        for (name, mac) in [(&cluster.link, member.mac), (&cluster.back_link, member.back_mac)] {
            let segment: LinkName = name.parse().map_err(|error| anyhow!("{error}"))?;
            let mac = mac.to_string().parse().map_err(|error| anyhow!("{error}"))?;
            links.insert(segment.clone(), Wire { mac, segment });
        }
        Ok(Station::new(member.name.clone(), Default::default(), links))
    }

    /// Sends packets, and compares.
    fn probe(&mut self, drawn: &[Drawn; 2]) -> Result<()> {
        let vip = self.pair.cluster.vip;
        let services = self.pair.cluster.services(&self.pair.wording);
        let there: Vec<usize> = (0..2).filter(|which| drawn[*which].there).collect();
        let mut hosts: Vec<usize> = (0..SENDERS).collect();
        self.seed.shuffle(&mut hosts);
        let mut pins = vec![None; SENDERS];
        let mut probes = Vec::new();
        for (turn, host) in hosts.into_iter().take(2 * PROBES).enumerate() {
            let service = &services[turn % 2];
            // A TCP conversation ends; one of datagrams goes on for as long as its port is used.
            if !service.udp || self.seed.chance(0.3) {
                self.ports[host] += 1;
            }
            let at = *self.seed.pick(&there);
            pins[host] = Some((vip, self.pair.cluster.members[at].mac));
            let ttl = *self.seed.pick(&[8, 16, 64]);
            let segment = if service.udp { Segment::Datagram } else { Segment::Syn };
            let packet = Packet {
                client: (self.pair.cluster.clients[host].1, self.ports[host]).into(),
                service: (vip, service.port).into(),
                segment,
                ttl,
            };
            let foreseen = self.foresee(packet, at, drawn)?;
            let hopeful = foreseen.iter().any(|walk| fate(walk).1.is_some());
            let request = Request {
                patience: if hopeful { PATIENCE } else { DOOMED },
                ttl: Some(ttl),
                source_port: Some(self.ports[host]),
                ..Request::new(
                    if service.udp { Ask::Datagram } else { Ask::Name },
                    std::net::SocketAddrV4::new(vip, service.port),
                )
            };
            probes.push((host, request, packet, at, foreseen));
        }
        self.pair.lab.pin(pins);
        self.pair.lab.with(|network| network.switch.crossings.reset());
        let requests = probes.iter().map(|(host, request, ..)| (*host, request.clone())).collect();
        let outcomes = self.pair.lab.ask_all(requests);
        for ((_, _, packet, at, foreseen), outcome) in probes.into_iter().zip(outcomes) {
            self.compare(packet, at, &foreseen, &outcome, drawn)?;
        }
        Ok(())
    }

    fn foresee(&self, packet: Packet, at: usize, drawn: &[Drawn; 2]) -> Result<Vec<Walk>> {
        let mut cluster = self.model.clone();
        for (station, drawn) in cluster.stations.iter_mut().zip(drawn) {
            if !drawn.there {
                // Nobody finds it.
                station.kernel.addresses.clear();
            }
        }
        let link = self.pair.cluster.link.parse().map_err(|error| anyhow!("{error}"))?;
        Ok(walk(&cluster, packet, Sender::Client, at, &link))
    }

    /// What was seen must have been foreseen; what the packet left behind is taken into the model.
    fn compare(
        &mut self,
        packet: Packet,
        at: usize,
        foreseen: &[Walk],
        outcome: &Outcome,
        drawn: &[Drawn; 2],
    ) -> Result<()> {
        let protocol = packet.segment.protocol();
        let number = if protocol == Protocol::Udp { 17 } else { 6 };
        let (client, port) = (packet.client.ip(), packet.client.port());
        let crossings =
            self.pair.lab.with(move |network| network.switch.crossings.of_source(number, client, port));
        let Some(crossings) = crossings else { bail!("{packet}: the switch never saw it") };
        let names: Vec<&str> = self.pair.cluster.members.iter().map(|member| member.name.as_str()).collect();
        let server = outcome.result.as_ref().ok().and_then(|name| names.iter().position(|one| one == name));
        let seen: Fate = (crossings, server);
        let Some(taken) = foreseen.iter().find(|walk| fate(walk) == seen) else {
            let foreseen: BTreeSet<Fate> = foreseen.iter().map(fate).collect();
            bail!(
                "{packet} with TTL {} at {}: seen {seen:?} ({:?}), foreseen {foreseen:?} (crossings and who served), in \
                 the {}. state {drawn:?}, entries {:?}",
                packet.ttl,
                names[at],
                outcome.result,
                self.found.states + 1,
                self.model.stations.iter().map(|one| self.entry_of(one, &packet)).collect::<Vec<_>>()
            );
        };
        let conversation = (protocol, packet.client, packet.service);
        self.found.packets += 1;
        self.found.looped += usize::from(crossings > 1);
        self.found.most = self.found.most.max(crossings);
        let old = |step: &Step| match step {
            Step::Follows { at, .. } => self.model.stations[*at].entries.contains_key(&conversation),
            _ => false,
        };
        self.found.stale += usize::from(taken.steps.iter().any(old));
        self.found.unserved += usize::from(server.is_none());
        for (which, entry) in &taken.entries {
            self.model.stations[*which].entries.insert(conversation, *entry);
        }
        Ok(())
    }

    fn entry_of<'s>(&self, station: &'s Station, packet: &Packet) -> Option<&'s Entry> {
        let conversation: (Protocol, SocketAddr, SocketAddr) =
            (packet.segment.protocol(), packet.client, packet.service);
        station.entries.get(&conversation)
    }
}

fn fate(walk: &Walk) -> Fate {
    let server = match walk.end {
        End::Served { at, .. } => Some(at),
        _ => None,
    };
    (walk.crossings, server)
}
