//! The storm guard's packet rules: which frames count as forwarded by a fellow director, how they get past IPVS to the
//! socket, and what never leaves again. Decides that and the last word; whose a client's segment is, is
//! [`ownership`](super::ownership)'s.
//!
//! The kernel looks connections up before services and marks (`ip_vs_in_hook`, net/netfilter/ipvs/ip_vs_core.c), so a
//! mark alone cannot stop an old entry from sending a packet back. Therefore two layers:
//!
//! - **past IPVS**: what a fellow director forwarded takes a [`detour`](super::detour) around it, so that no memory of this
//!   box, old, synchronised or of another document, has a say in what another box has decided.
//! - **the last word**, on output: what came from a fellow director never leaves for a virtual address again, be it of a
//!   service that this box does not serve. IPVS hands what it forwards to the output hook with the header of the frame
//!   that brought it (`ip_vs_dr_xmit`), so the source MAC still tells there.
//!
//! A frame says who sent it by its MAC alone, never by an IP address, which is the client's. The one exception is a
//! member that is a client itself: its own MAC with its own address. The pair counts, not the address alone, because
//! what member A asks for may reach this box forwarded by member B, and then it is B's frame.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::config::types::{Cidr, LinkName, Mac};
use crate::config::{Member, Storm};

use super::detour::Services;
use super::rules::{Base, Chain, Condition, CounterName, Hook, Policy, Rule, Verdict};
use super::{Perspective, Plan, detour, own_addresses, ownership};

/// The chain that the input filter begins with where there is something to guard. It decides before IPVS, and on the same
/// hook as the filter, since each further hook costs every packet as much as a rule does.
pub(super) const ORIGIN: &str = "origin";

pub(super) fn plan(box_: &Perspective<'_>, plan: &mut Plan) {
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
    if !services.is_empty() {
        origin(box_, &services, &fellows, ownership::rules(box_), plan);
    }
    if box_.me.director && !fellows.is_empty() {
        last_word(virtual_addresses(box_), &fellows, plan);
    }
    plan.guarded.services = services;
}

/// What a fellow director forwarded passes IPVS by and is served here. The rest is a client's: `asked` are the rules and
/// chains that tell whose it is.
fn origin(
    box_: &Perspective<'_>,
    services: &Services,
    fellows: &[Fellow<'_>],
    (asked, led_to): (Vec<Rule>, Vec<Chain>),
    plan: &mut Plan,
) {
    let mut by_link: BTreeMap<LinkName, BTreeSet<Mac>> = BTreeMap::new();
    for (link, mac) in &plan.guarded.peers {
        by_link.entry(link.clone()).or_default().insert(*mac);
    }
    let mut from_fellows = Vec::new();
    // Nobody but members is on the segment for forwarding: there the interface tells, and no MAC has to be known.
    if let Storm::SecondNic(forward) = &box_.config.cluster.storm
        && box_.me.interfaces.contains_key(&forward.interface)
    {
        by_link.remove(&forward.interface);
        let link = forward.interface.clone();
        let why = "only members are on the segment for forwarding";
        plan.because(format!("guard: every frame on {link}"), why);
        from_fellows.push(Rule::when([Condition::In(link)]).then(Verdict::Jump("forwarded")));
    }
    from_fellows.extend(by_link.into_iter().map(|(link, macs)| {
        // Few frames are a fellow's, so the MAC is asked first.
        Rule::when([Condition::SourceMac(macs), Condition::In(link)]).then(Verdict::Jump("forwarded"))
    }));
    let chains = &mut plan.state.rules.chains;
    from_fellows.extend(asked);
    chains.push(Chain { name: ORIGIN, base: None, rules: from_fellows });
    let mut rules = clients(fellows);
    rules.extend(detour::out(box_, services));
    chains.push(Chain { name: "forwarded", base: None, rules });
    chains.extend(led_to);
    chains.push(detour::back(box_));
}

/// On output there is no incoming interface any more (IPVS passes none to the hook), but the frame still has its source.
///
/// It covers every virtual address whole, whoever serves which port: an old entry may be of a service that this box, or
/// the document, no longer has.
fn last_word(vips: BTreeSet<IpAddr>, fellows: &[Fellow<'_>], plan: &mut Plan) {
    let macs: BTreeSet<Mac> = plan.guarded.peers.iter().map(|(_, mac)| *mac).collect();
    let from_fellows = Rule::when([Condition::SourceMac(macs.clone())]).then(Verdict::Jump("lastword"));
    let base = Base { hook: Hook::Output, priority: 0, policy: Policy::Accept };
    let chains = &mut plan.state.rules.chains;
    chains.push(Chain { name: "output", base: Some(base), rules: vec![from_fellows] });
    let mut rules = clients(fellows);
    for ipv6 in [false, true] {
        let vips: BTreeSet<Cidr> =
            vips.iter().filter(|a| a.is_ipv6() == ipv6).map(|a| Cidr::host(*a)).collect();
        if !vips.is_empty() {
            let to_them = [Condition::Destination(vips)];
            rules.push(Rule::when(to_them).counted(CounterName::Dropped).then(Verdict::Drop));
        }
    }
    chains.push(Chain { name: "lastword", base: None, rules });
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
