//! Packet rules and sysctls: the storm guard and the input filter. Decides as data what is marked, dropped and let in;
//! the kernel edge renders it for `nft`.
//!
//! The kernel looks connections up before services and marks (`ip_vs_in_hook`, net/netfilter/ipvs/ip_vs_core.c), so a
//! mark alone cannot stop an old entry from sending a packet back. Therefore two layers: the mark for new connections
//! and, on output, the last word: what came from a fellow director never leaves for a virtual address again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::types::{Cidr, LinkName, Mac};
use crate::config::{Member, Port, Protocol};
use crate::sync::roll_call;

use super::state::{Accept, Traffic};
use super::{Perspective, Plan};

pub(super) fn plan(box_: &Perspective<'_>, plan: &mut Plan) {
    sysctls(box_, plan);
    input(box_, plan);
    origin(box_, plan);
}

/// An unconfigured box answers pings and nothing else.
pub(super) fn closed(plan: &mut Plan) {
    plan.state.rules.accepts.push(anyone(Traffic::Ping));
    plan.because("input filter: ping", "not configured: nothing else is let in");
}

fn sysctls(box_: &Perspective<'_>, plan: &mut Plan) {
    let mut set = |path: &str, value: &str, why: &str| {
        plan.state.sysctls.insert(path.to_owned(), value.to_owned());
        plan.because(format!("sysctl {} = {value}", path.replace('/', ".")), why);
    };
    set(
        "net/ipv4/conf/all/promote_secondaries",
        "1",
        "losing one address must not take its subnet's others along",
    );
    set("net/ipv4/conf/all/rp_filter", "0", "a real server answers for an address of the loopback");
    set("net/ipv4/ip_forward", "0", "direct routing forwards without being a router");
    if box_.me.real_server {
        for link in ["all", "lo"] {
            set(&format!("net/ipv4/conf/{link}/arp_ignore"), "1", "only the master answers ARP for a VIP");
            set(&format!("net/ipv4/conf/{link}/arp_announce"), "2", "never ask in the name of a VIP");
        }
    }
    if box_.me.director {
        set("net/ipv4/vs/expire_nodest_conn", "1", "connections to a deleted server end at once");
        set("net/ipv4/vs/expire_quiescent_template", "0", "stickiness outlives a pause of its server");
        set("net/ipv4/vs/sloppy_tcp", "1", "a connection in mid-stream is picked up after a takeover");
        set("net/ipv4/vs/backup_only", "0", "the guard works by origin, not by role");
        set("net/ipv4/vs/conn_reuse_mode", "1", "a new connection from a used port is scheduled anew");
    }
}

fn input(box_: &Perspective<'_>, plan: &mut Plan) {
    let directors: BTreeSet<Cidr> = box_.fellow_directors().flat_map(own_addresses).map(Cidr::host).collect();
    let mine: BTreeSet<Cidr> = own_addresses(box_.me).map(Cidr::host).collect();
    let mut accepts = BTreeSet::from([anyone(Traffic::Ping)]);
    let mut refuses = BTreeSet::new();

    if !directors.is_empty() {
        for instance in box_.instances() {
            accepts.insert(Accept {
                link: Some(instance.id.interface.clone()),
                sources: directors.clone(),
                destinations: BTreeSet::new(),
                traffic: Traffic::Vrrp,
            });
        }
        for daemon in plan.state.sync.values() {
            accepts.insert(Accept {
                link: Some(daemon.link.clone()),
                sources: directors.clone(),
                destinations: BTreeSet::new(),
                traffic: Traffic::Sync,
            });
            accepts.insert(Accept {
                link: Some(daemon.link.clone()),
                sources: directors.clone(),
                destinations: mine.clone(),
                traffic: Traffic::Port(Protocol::Udp, roll_call::PORT),
            });
        }
    }
    for service in box_.config.services.values() {
        if box_.me.director || box_.serves(service) {
            accepts.insert(Accept {
                link: None,
                sources: BTreeSet::new(),
                destinations: BTreeSet::from([Cidr::host(service.address)]),
                traffic: Traffic::Port(service.protocol, service.port),
            });
        }
        let Some(check) = &service.check else { continue };
        if box_.serves(service) && !directors.is_empty() {
            let check = Accept {
                link: None,
                sources: directors.clone(),
                destinations: mine.clone(),
                traffic: Traffic::Port(Protocol::Tcp, check.port.unwrap_or(service.port)),
            };
            // A box that leaves tells its fellows by failing their checks at once, while its applications still run.
            if box_.view.leaving {
                refuses.insert(check);
            } else {
                accepts.insert(check);
            }
        }
    }
    if let Some(observe) = &box_.config.observe
        && let Some(interface) = box_.me.interfaces.get(&observe.interface)
    {
        let sources = if observe.allow.is_empty() {
            interface.addresses.iter().map(|a| a.network()).collect()
        } else {
            observe.allow.iter().copied().collect()
        };
        accepts.insert(Accept {
            link: Some(observe.interface.clone()),
            sources,
            destinations: interface.addresses.iter().map(|a| Cidr::host(a.address())).collect(),
            traffic: Traffic::Port(Protocol::Tcp, observe.port),
        });
    }
    for accept in &accepts {
        plan.because(format!("input filter: {accept}"), "the document needs it; everything else is dropped");
    }
    plan.state.rules.accepts = accepts.into_iter().collect();
    plan.state.rules.refuses = refuses.into_iter().collect();
}

/// Which frames count as forwarded by a fellow director: those with its MAC, for a service that this box serves, unless
/// a member's own address is the source (then that member is a client).
fn origin(box_: &Perspective<'_>, plan: &mut Plan) {
    let guarded: BTreeSet<_> = box_
        .config
        .services
        .values()
        .filter(|s| box_.co_located(s))
        .map(|s| (s.address, s.protocol, s.port))
        .collect();
    if guarded.is_empty() {
        return;
    }
    for fellow in box_.fellow_directors() {
        for (link, mac) in macs(box_, fellow) {
            plan.because(
                format!("guard: frames from {mac} on {link}"),
                format!("{} is a fellow director", fellow.name),
            );
            plan.state.rules.peers.insert((link, mac));
        }
    }
    plan.state.rules.guarded = guarded;
    plan.state.rules.member_addresses = box_.config.members.values().flat_map(own_addresses).collect();
}

/// A fellow's MACs by link: those of the document, and those that the neighbour table has for its addresses. Never
/// those of advertisements, whose virtual MAC would name nobody.
fn macs(box_: &Perspective<'_>, fellow: &Member) -> BTreeSet<(LinkName, Mac)> {
    let mut macs = box_.view.neighbours.get(&fellow.name).cloned().unwrap_or_default();
    macs.extend(fellow.interfaces.iter().filter_map(|(link, interface)| match interface.port {
        Port::Mac(mac) => Some((link.clone(), mac)),
        Port::Path(_) => None,
    }));
    macs.retain(|(link, _)| box_.me.interfaces.contains_key(link));
    macs
}

fn own_addresses(member: &Member) -> impl Iterator<Item = IpAddr> {
    member.interfaces.values().flat_map(|i| i.addresses.iter().map(|a| a.address()))
}

fn anyone(traffic: Traffic) -> Accept {
    Accept { link: None, sources: BTreeSet::new(), destinations: BTreeSet::new(), traffic }
}
