//! The storm guard's packet rules: which frames count as forwarded by a fellow director, how they get past IPVS to the
//! socket, and what of them ends here. Decides that and the last word; whose a client's segment is, is
//! [`ownership`](super::ownership)'s.
//!
//! The kernel looks connections up before services and marks (`ip_vs_in_hook`, net/netfilter/ipvs/ip_vs_core.c), so a
//! mark alone cannot stop an old entry from sending a packet back. Therefore nothing that a fellow director forwarded to
//! a virtual address is ever shown to IPVS:
//!
//! - **past IPVS** goes what this box serves, by a [`detour`](super::detour), so that no memory of this box, old,
//!   synchronised or of another document, has a say in what another box has decided;
//! - **the last word** drops and counts the rest, be it of a service that this box does not serve.
//!
//! Either alone keeps a packet from crossing twice. Both come before IPVS, on the frames of fellows alone, because a rule on
//! the way out would be asked about everything that this box forwards or answers, for a fellow's few frames.
//!
//! A frame says who sent it by its MAC alone, never by an IP address, which is the client's. The one exception is a
//! member that is a client itself: its own MAC with its own address. The pair counts, not the address alone, because
//! what member A asks for may reach this box forwarded by member B, and then it is B's frame.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::types::{Cidr, LinkName, Mac};
use crate::config::{Member, Storm};

use super::rules::{Chain, Condition, CounterName, Rule, Verdict};
use super::{Perspective, Plan, detour, own_addresses, ownership};

/// TCP, UDP and SCTP (include/uapi/linux/in.h).
const FORWARDED: [u8; 3] = [6, 17, 132];

/// The chain that the input filter begins with where there is something to guard. It decides before IPVS, and on the same
/// hook as the filter, since each further hook costs every packet as much as a rule does.
pub(super) const ORIGIN: &str = "origin";

pub(super) fn plan(box_: &Perspective<'_>, plan: &mut Plan) {
    // Whoever directs nothing forwards nothing, whatever reaches it.
    if !box_.me.director {
        return;
    }
    let services: BTreeSet<_> = box_
        .config
        .services
        .values()
        .filter(|s| box_.co_located(s))
        .map(|s| (s.address, s.protocol, s.port))
        .collect();
    let mut fellows = Vec::new();
    for fellow in box_.fellow_directors() {
        let macs = macs(box_, fellow);
        for (link, mac) in &macs {
            plan.because(
                format!("guard: frames from {mac} on {link}"),
                format!("{} is a fellow director", fellow.name),
            );
        }
        plan.guarded.peers.extend(macs.iter().cloned());
        fellows.push((fellow, macs.into_iter().map(|(_, mac)| mac).collect::<BTreeSet<Mac>>()));
    }
    fellows.retain(|(_, macs)| !macs.is_empty());
    let (asked, led_to) = ownership::rules(box_);
    let mut origin = from_fellows(box_, &fellows, plan);
    origin.extend(asked);
    if !origin.is_empty() {
        let mut rules = clients(&fellows);
        rules.extend(["detour", "lastword"].map(|chain| Rule::when([]).then(Verdict::Jump(chain))));
        let chain = |name, rules| Chain { name, base: None, rules };
        let chains = &mut plan.state.rules.chains;
        chains.push(chain(ORIGIN, origin));
        chains.push(chain("forwarded", rules));
        chains.push(chain("detour", detour::out(box_, &services)));
        chains.push(chain("lastword", last_word(virtual_addresses(box_))));
        chains.extend(led_to);
        chains.push(detour::back(box_));
    }
    plan.guarded.services = services;
}

/// Tells the frames of fellow directors.
///
/// Their MACs count on every link, whichever they belong to: nobody else has them, and a cable in the wrong port must not
/// open the guard.
fn from_fellows(box_: &Perspective<'_>, fellows: &[Fellow<'_>], plan: &mut Plan) -> Vec<Rule> {
    let mut rules = Vec::new();
    // Nobody but members is on the segment for forwarding: there the interface tells, and no MAC has to be known.
    if let Storm::SecondNic(forward) = &box_.config.cluster.storm
        && box_.me.interfaces.contains_key(&forward.interface)
        && box_.fellow_directors().next().is_some()
    {
        let link = forward.interface.clone();
        let why = "only members are on the segment for forwarding";
        plan.because(format!("guard: every frame on {link}"), why);
        rules.push(Rule::when([Condition::In(link)]).then(Verdict::Jump("forwarded")));
    }
    let macs: BTreeSet<Mac> = fellows.iter().flat_map(|(_, macs)| macs).copied().collect();
    if !macs.is_empty() {
        rules.push(Rule::when([Condition::SourceMac(macs)]).then(Verdict::Jump("forwarded")));
    }
    rules
}

/// What is left of a fellow's frames ends here, if it is anything that IPVS forwards: TCP, UDP, SCTP, and ICMP errors about
/// them (`ip_vs_in_icmp`). Whatever else is said to a virtual address, a neighbour solicitation for instance, is no
/// director's doing.
///
/// It covers every virtual address whole, whoever serves which port: an old entry may be of a service that this box, or
/// the document, no longer has.
fn last_word(vips: BTreeSet<IpAddr>) -> Vec<Rule> {
    let mut rules = Vec::new();
    for ipv6 in [false, true] {
        let vips: BTreeSet<Cidr> =
            vips.iter().filter(|a| a.is_ipv6() == ipv6).map(|a| Cidr::host(*a)).collect();
        if !vips.is_empty() {
            for what in [Condition::Protocol(FORWARDED.into()), detour::errors(ipv6)] {
                let to_them = [Condition::Destination(vips.clone()), what];
                rules.push(Rule::when(to_them).counted(CounterName::Dropped).then(Verdict::Drop));
            }
        }
    }
    rules
}

/// Every address that a virtual router holds or a service listens on.
fn virtual_addresses(box_: &Perspective<'_>) -> BTreeSet<IpAddr> {
    let held = box_.config.vrrp.values().flat_map(|i| i.addresses.iter().map(|a| a.address()));
    held.chain(box_.config.services.values().map(|s| s.address)).collect()
}

type Fellow<'a> = (&'a Member, BTreeSet<Mac>);

/// A member that is a client speaks in its own name, and is no director then.
fn clients(fellows: &[Fellow<'_>]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (fellow, macs) in fellows {
        for ipv6 in [false, true] {
            let addresses: BTreeSet<Cidr> =
                own_addresses(fellow).filter(|a| a.is_ipv6() == ipv6).map(Cidr::host).collect();
            if !addresses.is_empty() {
                let own = [Condition::SourceMac(macs.clone()), Condition::Source(addresses)];
                rules.push(Rule::when(own).then(Verdict::Return));
            }
        }
    }
    rules
}

/// A fellow's MACs by link: those of the document, of a bond every port's, and those that the neighbour table has for its
/// addresses. Never those of advertisements, whose virtual MAC would name nobody.
fn macs(box_: &Perspective<'_>, fellow: &Member) -> BTreeSet<(LinkName, Mac)> {
    let mut macs = box_.view.neighbours.get(&fellow.name).cloned().unwrap_or_default();
    let links = fellow.interfaces.keys();
    macs.extend(links.flat_map(|link| fellow.macs(link).iter().map(|mac| (link.clone(), *mac))));
    macs.retain(|(link, _)| box_.me.interfaces.contains_key(link));
    macs
}
