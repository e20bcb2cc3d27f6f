//! What every state of a cluster must keep to, and what is wrong where one does not.

use std::fmt;
use std::net::IpAddr;

use crate::config::types::LinkName;
use crate::plan::state::Virtual;

use super::ipvs::conversation;
use super::packet::{Packet, Segment, Sender};
use super::station::{Cluster, Station};
use super::walk::{End, Step, Walk, walk_until};

/// What must hold, whatever the states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Promise {
    /// No packet crosses between members more than once, wherever it enters and whatever old entries say.
    Once,
    /// What reaches a master that sees a server which answers is served, unless the server that the scheduler or an old
    /// entry named is dead without anybody knowing. What boxes remember of the conversation excuses nothing.
    Served,
    /// What a member's frame brought never leaves for a member: each box's part of `Once`.
    Never,
    /// An open connection, begun while the rules stood, is continued by the member that holds it, if that is to serve it
    /// still and the master that its packet reaches has it in its table, reaches it and remembers the connection not at
    /// all or rightly. What others remember excuses nothing.
    Owner,
}

/// A promise that is not kept, and the way that shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which.
    pub promise: Promise,
    /// The packet.
    pub packet: Packet,
    /// Where it came from.
    pub sender: Sender,
    /// Its way, the shortest that shows it.
    pub walk: Walk,
    /// The members' names.
    pub names: Vec<String>,
}

/// Checks a packet from a client, and one from each member as client, entering at every member on every link.
///
/// # Errors
/// The finding with the shortest way.
pub fn check(cluster: &Cluster, packet: Packet, promises: &[Promise]) -> Result<(), Box<Finding>> {
    let mut worst: Option<Box<Finding>> = None;
    for at in 0..cluster.stations.len() {
        for link in cluster.stations[at].links.keys() {
            if let Err(finding) = check_at(cluster, packet, Sender::Client, (at, link), promises)
                && worst.as_ref().is_none_or(|w| finding.walk.steps.len() < w.walk.steps.len())
            {
                worst = Some(finding);
            }
        }
    }
    worst.map_or(Ok(()), Err)
}

/// Checks a packet that enters at one place.
///
/// # Errors
/// The finding with the shortest way.
pub fn check_at(
    cluster: &Cluster,
    packet: Packet,
    sender: Sender,
    entrance: (usize, &LinkName),
    promises: &[Promise],
) -> Result<(), Box<Finding>> {
    let walks = walk_until(cluster, packet, sender, entrance, 1);
    let broken =
        |walk: &Walk| promises.iter().copied().find(|p| !keeps(*p, cluster, &packet, entrance.0, walk));
    let found = walks.iter().filter_map(|w| Some((broken(w)?, w))).min_by_key(|(_, w)| w.steps.len());
    match found {
        None => Ok(()),
        Some((promise, walk)) => Err(Box::new(Finding {
            promise,
            packet,
            sender,
            walk: walk.clone(),
            names: cluster.stations.iter().map(|s| s.name.clone()).collect(),
        })),
    }
}

fn keeps(promise: Promise, cluster: &Cluster, packet: &Packet, at: usize, walk: &Walk) -> bool {
    match promise {
        Promise::Once => walk.crossings <= 1,
        Promise::Never => walk.crossings == 0,
        Promise::Served => served(cluster, packet, at, walk),
        Promise::Owner => owner(cluster, packet, at, walk),
    }
}

/// The servers to which `at` would send a new conversation.
fn table<'c>(cluster: &'c Cluster, packet: &Packet, at: usize) -> impl Iterator<Item = IpAddr> + 'c {
    let service = Virtual::Address {
        protocol: packet.segment.protocol(),
        address: packet.service.ip(),
        port: packet.service.port(),
    };
    let found = cluster.stations[at].kernel.services.get(&service);
    let servers = found.into_iter().flat_map(|s| s.destinations.iter());
    servers.filter(|(_, d)| d.weight > 0).map(|((address, _), _)| *address)
}

fn served(cluster: &Cluster, packet: &Packet, at: usize, walk: &Walk) -> bool {
    let begins = matches!(packet.segment, Segment::Syn | Segment::Datagram);
    let master = cluster.stations[at].is_master_of(packet.service.ip());
    let sees = table(cluster, packet, at).any(|server| cluster.answers(at, server, packet));
    if !begins || !master || !sees {
        return true;
    }
    let mistaken = walk.wanted.is_some_and(|server| !cluster.answers(at, server, packet));
    match walk.end {
        End::Served { .. } | End::Left { .. } => true,
        End::Loops => false,
        _ => mistaken,
    }
}

fn owner(cluster: &Cluster, packet: &Packet, at: usize, walk: &Walk) -> bool {
    let talk = conversation(packet);
    let holds = |s: &Station| s.sockets.get(&talk).is_some_and(|mark| *mark != 0) && s.answers(packet);
    let holder = cluster.stations.iter().position(holds);
    let Some(holder) = holder.filter(|_| packet.segment == Segment::Middle) else { return true };
    let remembered = cluster.stations[at].entries.get(&talk);
    let wrongly = remembered.is_some_and(|entry| !cluster.stations[holder].holds(entry.server.0));
    let master = cluster.stations[at].is_master_of(packet.service.ip());
    let reached = |server| cluster.stations[holder].holds(server) && cluster.answers(at, server, packet);
    let known = holder == at || table(cluster, packet, at).any(reached);
    wrongly || !master || !known || matches!(walk.end, End::Served { at, .. } if at == holder)
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Once => "a packet crosses between members more than once",
            Self::Served => "a master that sees a healthy server does not serve",
            Self::Never => "a box sends to a member what a member sent to it",
            Self::Owner => "an open connection is not continued by the box that holds it",
        })
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |at: usize| self.names.get(at).map_or("?", String::as_str);
        write!(f, "{}: {}", self.promise, self.packet)?;
        if let Sender::Member(number) = self.sender {
            write!(f, " from {} itself", name(number))?;
        }
        for step in &self.walk.steps {
            match step {
                Step::Arrives { at, link, ttl } => {
                    write!(f, "\n  {} gets it on {link}, TTL {ttl}", name(*at))?
                }
                Step::Marked { at, mark } => write!(f, "\n  {} marks it {mark}", name(*at))?,
                Step::Scheduled { at, service, server } => {
                    write!(f, "\n  {} schedules it by {service} to {server}", name(*at))?;
                }
                Step::Follows { at, server } => {
                    write!(f, "\n  {} has an entry that names {server}", name(*at))?;
                }
                Step::Crosses { from, to } => write!(f, "\n  {} sends it to {}", name(*from), name(*to))?,
            }
        }
        match &self.walk.end {
            End::Served { at, .. } => write!(f, "\n  served at {}", name(*at)),
            End::Refused { at } => write!(f, "\n  refused at {}: nothing there expects it", name(*at)),
            End::Left { server } => write!(f, "\n  left for {server}, which is no member"),
            End::Lost { server } => write!(f, "\n  lost: nobody has {server}"),
            End::Filtered { at, chain } => write!(f, "\n  dropped at {} by chain {chain}", name(*at)),
            End::NotMine { at } => write!(f, "\n  dropped at {}: not its address", name(*at)),
            End::Martian { at } => write!(f, "\n  dropped at {}: its own address as source", name(*at)),
            End::Stuck { at } => write!(f, "\n  dropped at {}: the entry's server was deleted", name(*at)),
            End::NoServer { at } => write!(f, "\n  refused at {}: the service has no server", name(*at)),
            End::Expired { at } => write!(f, "\n  its time to live ended at {}", name(*at)),
            End::Loops => f.write_str("\n  and so on"),
        }
    }
}
