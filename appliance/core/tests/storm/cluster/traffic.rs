//! Clients: a few conversations that come again and again from the same ports, their packets entering at any box, and
//! what they leave in the connection tables, there and, by synchronisation, elsewhere.

use std::net::{IpAddr, SocketAddr};

use halcyon_core::plan::state::{SyncRole, Virtual};
use halcyon_core::plan::storm::station::{Conversation, TemplateKey};
use halcyon_core::plan::storm::{End, Entry, Packet, Phase, Segment, Sender, walk};

use super::world::{Arrival, World};
use crate::documents::{GENERATIONS, UDP_PORT, VIP};

/// A conversation between one client and one service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Talk {
    pub(crate) client: SocketAddr,
    pub(crate) service: SocketAddr,
    /// What it begins with.
    pub(crate) segment: Segment,
}

/// What one box tells another of its connection table.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Synchronised {
    Connection(Conversation, Entry),
    Template(TemplateKey, Entry),
    Closed(Conversation),
}

/// Four to the TCP service and two to the UDP service.
pub(crate) fn talks() -> Vec<Talk> {
    let talk = |n: u16, port, segment| Talk {
        client: SocketAddr::new([203, 0, 113, 1 + (n % 2) as u8].into(), 40_000 + n),
        service: SocketAddr::new(VIP.into(), port),
        segment,
    };
    let tcp = (0..4).map(|n| talk(n, GENERATIONS[usize::from(n == 3) * 2].port, Segment::Syn));
    tcp.chain((4..6).map(|n| talk(n, UDP_PORT, Segment::Datagram))).collect()
}

impl Talk {
    pub(crate) fn packet(&self, segment: Segment) -> Packet {
        Packet { client: self.client, service: self.service, segment, ttl: 64 }
    }

    fn key(&self) -> Conversation {
        (self.segment.protocol(), self.client, self.service)
    }
}

impl World {
    /// One packet of one conversation, at a box that lives; most go where the address is.
    pub(crate) fn traffic(&mut self) {
        let number = usize::try_from(self.chance(self.talks.len() as u64)).unwrap_or(0);
        let talk = self.talks[number];
        let drawing: Vec<usize> = (0..self.machines.len()).filter(|n| self.machines[*n].draws()).collect();
        let at = if drawing.is_empty() || self.chance(8) == 0 {
            usize::try_from(self.chance(self.machines.len() as u64)).unwrap_or(0)
        } else {
            drawing[usize::try_from(self.chance(drawing.len() as u64)).unwrap_or(0)]
        };
        let Some(link) = self.cluster.stations[at].links.keys().next().cloned() else { return };
        match (talk.segment, self.chance(8)) {
            (Segment::Syn, 0) => return self.close(talk.key()),
            (_, 1) => return self.forget(talk.key()),
            _ => {}
        }
        let open = self.cluster.stations.iter().any(|s| s.sockets.contains_key(&talk.key()));
        let segment = if open && talk.segment == Segment::Syn { Segment::Middle } else { talk.segment };
        let ways = walk(&self.cluster, talk.packet(segment), Sender::Client, at, &link);
        let Some(way) = ways.get(usize::try_from(self.chance(ways.len() as u64)).unwrap_or(0)).cloned()
        else {
            return;
        };
        for (&there, &entry) in &way.entries {
            self.cluster.stations[there].entries.insert(talk.key(), entry);
            self.synchronise(there, Synchronised::Connection(talk.key(), entry));
        }
        for (there, key, entry) in way.templates {
            self.cluster.stations[there].templates.insert(key, entry);
            self.synchronise(there, Synchronised::Template(key, entry));
        }
        match way.end {
            End::Served { at, mark } if segment == Segment::Syn => {
                let station = &mut self.cluster.stations[at];
                let inherits =
                    station.kernel.sysctls.get("net/ipv4/tcp_fwmark_accept").is_some_and(|v| v == "1");
                station.sockets.insert(talk.key(), if inherits { mark } else { 0 });
            }
            // A reset ends the client's side.
            End::Refused { .. } if segment == Segment::Middle => self.close(talk.key()),
            _ => {}
        }
        self.note(|| format!("packet {:?} of talk {number} at box{at}: {:?}", segment, way.end));
    }

    /// The conversation is over for its ends; directors learn of it or do not.
    fn close(&mut self, key: Conversation) {
        for number in 0..self.cluster.stations.len() {
            self.cluster.stations[number].sockets.remove(&key);
            let fate = self.chance(3);
            let entries = &mut self.cluster.stations[number].entries;
            if let Some(entry) = entries.get_mut(&key) {
                match fate {
                    0 => {}
                    1 => entry.phase = Phase::Closed,
                    _ => {
                        entries.remove(&key);
                    }
                }
            }
            if fate == 1 {
                self.synchronise(number, Synchronised::Closed(key));
            }
        }
    }

    /// A director's entry times out.
    fn forget(&mut self, key: Conversation) {
        let number = usize::try_from(self.chance(self.cluster.stations.len() as u64)).unwrap_or(0);
        self.cluster.stations[number].entries.remove(&key);
        if self.chance(3) == 0 {
            self.cluster.stations[number].templates.clear();
        }
    }

    /// The master daemon of one box tells the backup daemons of the others, unless the packet is lost.
    fn synchronise(&mut self, from: usize, entry: Synchronised) {
        if !self.cluster.stations[from].kernel.sync.contains_key(&SyncRole::Master) {
            return;
        }
        for to in 0..self.cluster.stations.len() {
            let hears = self.cluster.stations[to].kernel.sync.contains_key(&SyncRole::Backup);
            if to != from && hears && self.connected(from, to) && self.chance(4) != 0 {
                let after = self.latency();
                self.send(after, Arrival::Synchronised { to, entry });
            }
        }
    }

    /// `ip_vs_proc_conn`: the entry is bound to the server of the same service here, if there is one.
    pub(crate) fn synchronised(&mut self, to: usize, entry: Synchronised) {
        let station = &mut self.cluster.stations[to];
        if !station.kernel.sync.contains_key(&SyncRole::Backup) {
            return;
        }
        let services = &station.kernel.services;
        let bound = |entry: Entry| {
            let server = |service: &Virtual, (address, port): (IpAddr, u16)| {
                let destinations = &services.get(service)?.destinations;
                destinations.get(&(address, port)).or_else(|| destinations.get(&(address, 0))).map(|_| ())
            };
            let bound = entry.bound.filter(|service| server(service, entry.server).is_some());
            Entry { bound, ..entry }
        };
        match entry {
            Synchronised::Connection(key, entry) => {
                let entry = bound(entry);
                station.entries.insert(key, entry);
            }
            Synchronised::Template(key, entry) => {
                let entry = bound(entry);
                station.templates.insert(key, entry);
            }
            Synchronised::Closed(key) => {
                if let Some(entry) = station.entries.get_mut(&key) {
                    entry.phase = Phase::Closed;
                }
            }
        }
    }
}
