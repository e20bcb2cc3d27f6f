//! The IPVS table and connection synchronisation of a director. Decides who may be forwarded to and with what weight;
//! which packets get a mark is [`guard`](super::guard)'s.
//!
//! No VRRP state enters here, but for a standby's: every director carries the same table at all times, so that a takeover
//! has nothing to rewrite and nothing can be late. What a client sent is weighted as the document says, what this box's
//! own sockets expect carries [`HERE`] and is weighted 100 for this box and 0 for every other; what a fellow director
//! forwarded never comes to IPVS ([`guard`](super::guard)). A standby carries no table until it is master. For a while
//! after it has yielded it keeps the one it had: a client that has missed the new master's announcement goes on sending
//! here, and only the entries of this box know, with three or more members, whose its open connections are.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::config::{Forwarding, Member, Service, Storm};

use super::state::{Destination, SyncDaemon, SyncRole, Virtual, VirtualService};
use super::{Health, Perspective, Plan, ownership};

/// The mark of what this box's own sockets expect: segments of open connections that no entry knows any more.
pub const HERE: u32 = 7;

/// Weight of this box for what its own sockets expect.
const MINE: u16 = 100;

/// `IP_VS_SVC_F_SCHED_MH_PORT` (`include/uapi/linux/ip_vs.h`): maglev hashing over address and port, so that the
/// connections of one client spread.
const MH_PORT: u32 = 0x0010;

pub(super) fn plan(box_: &Perspective<'_>, plan: &mut Plan) {
    if !box_.me.director {
        return;
    }
    let mut directs = false;
    for service in box_.config.services.values() {
        if !box_.directs(service) {
            let why = "standby: only who is master, or was a moment ago, directs; what others forward here is served";
            plan.because(format!("no service {}", service.name), why);
            continue;
        }
        directs = true;
        let destinations = destinations(box_, service, plan);
        plan.state.services.insert(
            Virtual::Address { protocol: service.protocol, address: service.address, port: service.port },
            VirtualService {
                scheduler: service.scheduler.clone(),
                scheduler_flags: if service.scheduler == "mh" { MH_PORT } else { 0 },
                persistence: service
                    .persistence
                    .map_or(0, |p| u32::try_from(p.as_secs()).unwrap_or(u32::MAX)),
                destinations,
            },
        );
    }
    if directs {
        here(box_, plan);
    }
    ownership::services(box_, plan);
    synchronise(box_, plan);
}

/// The servers that new connections of `service` may go to. One that is not known to be healthy is absent, not weighted
/// 0: only a deleted destination lets the kernel expire the connections that still name it (`expire_nodest_conn`).
fn destinations(
    box_: &Perspective<'_>,
    service: &Service,
    plan: &mut Plan,
) -> BTreeMap<(IpAddr, u16), Destination> {
    let mut table = BTreeMap::new();
    for server in service.servers.values() {
        let item = format!("server {} of {}", server.name, service.name);
        let why = match box_.health(service, &server.name) {
            Health::Up => match box_.reaches(server) {
                Some(address) => {
                    let destination = Destination { weight: server.weight.0, forwarding: service.forwarding };
                    table.insert((address, server.port), destination);
                    plan.because(item, format!("weight {} at {address}: healthy", server.weight.0));
                    continue;
                }
                None => "the segment for forwarding is down, and the document refuses another way",
            },
            Health::Unknown => "not checked yet",
            Health::Down => "its checks fail",
            Health::Suspect => "its box fell silent",
        };
        plan.because(format!("no {item}"), why);
    }
    table
}

/// The firewall-mark services for what this box's own sockets expect: this box at 100, the others at 0, one per address
/// family. This box stays in whatever its own health: sending such a packet on is never right.
fn here(box_: &Perspective<'_>, plan: &mut Plan) {
    let mut families: BTreeMap<bool, BTreeMap<(IpAddr, u16), Destination>> = BTreeMap::new();
    for service in box_.config.services.values().filter(|s| box_.co_located(s)) {
        for server in service.servers.values() {
            let mine = server.member.as_ref() == Some(&box_.me.name);
            let Some(address) = box_.reaches(server) else { continue };
            if !mine && box_.health(service, &server.name) != Health::Up {
                continue;
            }
            let weight = if mine { MINE } else { 0 };
            // Port 0: the connection keeps the port it was made to (`ip_vs_schedule`, net/netfilter/ipvs/ip_vs_core.c).
            families
                .entry(service.address.is_ipv6())
                .or_default()
                .entry((address, 0))
                .or_insert(Destination { weight, forwarding: Forwarding::Direct });
        }
    }
    for (ipv6, destinations) in families {
        plan.because(
            format!("mark {HERE}: weight {MINE} for {}, 0 for every other", box_.me.name),
            "what a socket here expects is served here",
        );
        plan.state.services.insert(
            Virtual::Mark { mark: HERE, ipv6 },
            VirtualService { scheduler: "rr".into(), scheduler_flags: 0, persistence: 0, destinations },
        );
    }
}

/// Connection synchronisation in both directions, between any two directors: on the interface that the document names,
/// else on the first virtual router's.
fn synchronise(box_: &Perspective<'_>, plan: &mut Plan) {
    if let Storm::Standby(_) = box_.config.cluster.storm {
        return;
    }
    let Some(first) = box_.instances().next() else { return };
    if box_.fellow_directors().next().is_none() {
        return;
    }
    let link = box_.config.cluster.sync_interface.as_ref().unwrap_or(&first.id.interface);
    let speaks_ipv4 = |member: &Member| {
        let addresses = member.interfaces.get(link).map(|interface| interface.addresses.as_slice());
        addresses.unwrap_or_default().iter().any(|own| own.address().is_ipv4())
    };
    if !speaks_ipv4(box_.me) || !box_.fellow_directors().all(speaks_ipv4) {
        plan.because(
            format!("no synchronisation on {link}"),
            "it is spoken over IPv4, and not every director has an IPv4 address there",
        );
        return;
    }
    // The VRID tells the clusters of a segment apart already, and both number spaces are 1..=255.
    let daemon = SyncDaemon { link: link.clone(), id: first.id.vrid.get() };
    for role in [SyncRole::Master, SyncRole::Backup] {
        plan.state.sync.insert(role, daemon.clone());
    }
    let peers: BTreeSet<_> = box_.fellow_directors().map(|m| m.name.to_string()).collect();
    plan.because(
        format!("synchronisation {} on {link}", daemon.id),
        format!("connections survive a takeover by {}", peers.into_iter().collect::<Vec<_>>().join(", ")),
    );
}
