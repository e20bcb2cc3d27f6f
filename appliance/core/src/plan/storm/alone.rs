//! One box judged by itself: **what a member's frame brought never leaves for a member**.
//!
//! If every box keeps to that, no packet crosses twice, in a cluster of any size and whatever the other boxes hold: a
//! second crossing starts at a box that got the packet by the first, so in a frame with a member's MAC, and the box that
//! sends it on breaks the rule. A frame whose source address is the sender's own is the client's first step and no
//! crossing; nobody forwards such a packet in the name of that member, because each box uses its own MAC, and the member
//! itself drops what comes back to it with its own source address.
//!
//! So the states of several boxes need not be multiplied with each other to prove the promise, only those of each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::config::types::LinkName;
use crate::plan::state::{Address, AddressRole, KernelState, Virtual};

use super::finding::{Finding, Promise, check_at};
use super::ipvs::conversation;
use super::packet::{Packet, Segment, Sender};
use super::station::{Cluster, Entry, Phase, Station, Wire};

/// What is known of a fellow member without knowing its kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fellow {
    /// Its name, for the trace.
    pub name: String,
    /// It may forward: it is a director, by any document that it may have. Frames of others are their own.
    pub forwards: bool,
    /// Its own addresses with their links.
    pub addresses: BTreeSet<Address>,
    /// Its links.
    pub links: BTreeMap<LinkName, Wire>,
}

/// How many old entries are supposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// None, and one for each fellow that no deletion reaches: the worst there is. For every plan of a debug build.
    Worst,
    /// Every entry that any past could have left, and every template.
    Every,
}

/// A client that is no member (TEST-NET-3, RFC 5737; documentation prefix, RFC 3849).
pub(super) fn stranger(ipv6: bool) -> SocketAddr {
    let address: IpAddr =
        if ipv6 { [0x2001, 0xdb8, 0, 0, 0, 0, 0, 0xc1].into() } else { [203, 0, 113, 77].into() };
    SocketAddr::new(address, 40_000)
}

/// Judges `station` beside `fellows`, for the services that `services` names and old entries as deep as `depth`.
///
/// # Errors
/// The first finding.
pub fn alone<'s>(
    station: &Station,
    fellows: &[Fellow],
    services: impl IntoIterator<Item = &'s Virtual>,
    depth: Depth,
) -> Result<(), Box<Finding>> {
    let mut cluster = Cluster { stations: vec![station.clone()], others: BTreeSet::new() };
    for fellow in fellows {
        let kernel = KernelState { addresses: fellow.addresses.clone(), ..KernelState::default() };
        cluster.stations.push(Station::new(fellow.name.clone(), kernel, fellow.links.clone()));
    }
    for service in services {
        let Virtual::Address { protocol, address, port } = *service else { continue };
        for &segment in Segment::of(protocol) {
            let service = SocketAddr::new(address, port);
            let packet = Packet { client: stranger(address.is_ipv6()), service, segment, ttl: 64 };
            let talk = conversation(&packet);
            for entry in entries(station, fellows, &packet, depth) {
                cluster.stations[0].entries.clear();
                cluster.stations[0].entries.extend(entry.map(|entry| (talk, entry)));
                from_fellows(&cluster, fellows, packet)?;
            }
            cluster.stations[0].entries = station.entries.clone();
            if depth == Depth::Every {
                for template in entries(station, fellows, &packet, depth).into_iter().flatten() {
                    let Some(service) = template.bound else { continue };
                    cluster.stations[0].templates =
                        BTreeMap::from([((service, packet.client.ip()), template)]);
                    from_fellows(&cluster, fellows, packet)?;
                }
                cluster.stations[0].templates = station.templates.clone();
            }
        }
    }
    Ok(())
}

/// The packet in a frame of each fellow, on each link that both have: from a stranger, and from each other fellow.
fn from_fellows(cluster: &Cluster, fellows: &[Fellow], packet: Packet) -> Result<(), Box<Finding>> {
    for (link, wire) in &cluster.stations[0].links {
        for (number, fellow) in cluster.stations.iter().enumerate().skip(1) {
            let forwards = fellows.get(number - 1).is_some_and(|f| f.forwards);
            if !forwards || !fellow.links.values().any(|w| w.segment == wire.segment) {
                continue;
            }
            let others = cluster.stations.iter().enumerate().skip(1).filter(|(other, _)| *other != number);
            let own = others.flat_map(|(_, s)| s.kernel.addresses.iter().map(|a| a.cidr.address()));
            let same_family = own.filter(|a| a.is_ipv6() == packet.service.is_ipv6());
            let members = same_family.map(|a| SocketAddr::new(a, packet.client.port()));
            for client in members.chain([packet.client]) {
                let packet = Packet { client, ..packet };
                check_at(cluster, packet, Sender::Member(number), (0, link), &[Promise::Never])?;
            }
        }
    }
    Ok(())
}

/// The entries to suppose for the packet's conversation.
fn entries(station: &Station, fellows: &[Fellow], packet: &Packet, depth: Depth) -> Vec<Option<Entry>> {
    let family = |a: &IpAddr| a.is_ipv6() == packet.service.is_ipv6();
    let theirs = fellows.iter().flat_map(|f| f.addresses.iter().map(|a| a.cidr.address())).filter(family);
    let entry = |address, bound, phase| {
        Some(Entry { server: (address, packet.service.port()), bound, phase, controlled: false })
    };
    let unbound = theirs.map(|address| entry(address, None, Phase::Open));
    let mut all: Vec<Option<Entry>> = [None].into_iter().chain(unbound).collect();
    if depth == Depth::Every {
        let named = station.kernel.services.values().flat_map(|s| s.destinations.keys().map(|(a, _)| *a));
        let known: BTreeSet<IpAddr> = named
            .chain(fellows.iter().flat_map(|f| f.addresses.iter().map(|a| a.cidr.address())))
            .filter(family)
            .collect();
        for address in known {
            for service in station.kernel.services.keys() {
                for phase in [Phase::Open, Phase::Closed] {
                    all.push(entry(address, Some(*service), phase));
                }
            }
        }
    }
    all
}

impl Fellow {
    /// A fellow by its own addresses and links.
    pub fn new(
        name: impl Into<String>,
        forwards: bool,
        links: BTreeMap<LinkName, (Wire, Vec<crate::config::types::Cidr>)>,
    ) -> Self {
        let addresses = links.iter().flat_map(|(link, (_, cidrs))| {
            cidrs.iter().map(|&cidr| Address { link: Some(link.clone()), cidr, role: AddressRole::Own })
        });
        Self {
            name: name.into(),
            forwards,
            addresses: addresses.collect(),
            links: links.iter().map(|(link, (wire, _))| (link.clone(), wire.clone())).collect(),
        }
    }
}
