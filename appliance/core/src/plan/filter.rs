//! The input filter: nothing is open that the document does not name. Decides which traffic may reach this box, and
//! which is refused; never how it is balanced.
//!
//! There is no connection tracking: on a director it costs a fifth of the CPU time per connection and calls forwarded
//! frames invalid, because it sees one direction only. So answers to the box's own connections are let in without it:
//! TCP segments other than a connection's first (a socket that knows nothing of them answers with a reset, as it would
//! behind no filter), UDP only for sockets bound to an address (a connected one is), ICMP errors and echo replies. IPVS
//! hooks into local input after the filter (priority 99), so what it is to balance passes by the openings that stand
//! here for virtual services; and so the storm guard's rules, which must come before IPVS too, are this chain's first.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv6Addr;

use crate::config::Protocol;
use crate::config::types::{Cidr, Family, LinkName};
use crate::join;
use crate::sync::roll_call;
use crate::vrrp::wire::GROUP6;

use super::rules::{Base, Chain, Condition, Policy, Rule, Verdict, flags};
use super::{Perspective, Plan, guard, own_addresses};

/// `IPPROTO_IGMP` (`include/uapi/linux/in.h`).
const IGMP: u8 = 2;
/// VRRP (RFC 9568 §5.1.1.4).
const VRRP: u8 = 112;
/// The port of IPVS connection synchronisation (`IP_VS_SYNC_PORT`, net/netfilter/ipvs/ip_vs_sync.c).
const SYNC: u16 = 8848;
/// Echo reply, destination unreachable, time exceeded, parameter problem (RFC 792).
const ICMP_ANSWERS: [u8; 4] = [0, 3, 11, 12];
/// Echo request (RFC 792).
const ICMP_PING: u8 = 8;
/// Destination unreachable, packet too big, time exceeded, parameter problem, echo reply (RFC 4443); multicast listener
/// query (RFC 2710); neighbour solicitation and advertisement (RFC 4861). No router advertisement: addresses and
/// gateways are the document's word, and whoever can send one must not give this box others.
const ICMP6_ANSWERS: [u8; 8] = [1, 2, 3, 4, 129, 130, 135, 136];
/// Echo request (RFC 4443).
const ICMP6_PING: u8 = 128;

/// The first of the link-local addresses, fe80::/10 (RFC 4291 §2.5.6).
const LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0);

/// One opening in the input filter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Opening {
    /// Only on this link; `None`: on any.
    link: Option<LinkName>,
    /// Only from these sources; empty: from anywhere.
    sources: BTreeSet<Cidr>,
    /// Only to these destinations; empty: to any address of this box.
    destinations: BTreeSet<Cidr>,
    /// What is let in.
    traffic: Traffic,
}

/// A kind of traffic that the input filter can let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Traffic {
    Vrrp,
    Sync,
    Ping,
    Port(Protocol, u16),
}

pub(super) fn plan(box_: &Perspective<'_>, plan: &mut Plan) {
    let mut openings = BTreeSet::from([Opening::anyone(Traffic::Ping)]);
    let mut refusals = BTreeSet::new();
    from_fellows(box_, plan, &mut openings);
    services(box_, &mut openings, &mut refusals);
    observers(box_, &mut openings);
    if box_.view.join_open {
        joiners(&mut openings);
    }
    for opening in &openings {
        plan.because(format!("input filter: {opening}"), "the document needs it; everything else is dropped");
    }
    for refusal in &refusals {
        plan.because(
            format!("input filter refuses: {refusal}"),
            "this box leaves, and its fellows' checks shall find out",
        );
    }
    chain(&openings, &refusals, plan);
}

/// An unconfigured box answers pings and nothing else.
pub(super) fn closed(plan: &mut Plan) {
    plan.because("input filter: ping", "not configured: nothing else is let in");
    chain(&BTreeSet::from([Opening::anyone(Traffic::Ping)]), &BTreeSet::new(), plan);
}

/// VRRP, connection synchronisation and the roll call, from members only.
fn from_fellows(box_: &Perspective<'_>, plan: &Plan, openings: &mut BTreeSet<Opening>) {
    let directors = directors(box_);
    if directors.is_empty() {
        return;
    }
    let mine: BTreeSet<Cidr> = own_addresses(box_.me).map(Cidr::host).collect();
    for instance in box_.instances() {
        let link = Some(instance.id.interface.clone());
        openings.insert(match instance.family() {
            Family::Ipv4 => Opening {
                link,
                sources: directors.iter().copied().filter(|own| own.address().is_ipv4()).collect(),
                destinations: BTreeSet::new(),
                traffic: Traffic::Vrrp,
            },
            // They come from the fellows' link-local addresses, which the document does not name. No such packet comes
            // through a router, and one with another hop limit than 255 is refused where it is read.
            Family::Ipv6 => Opening {
                link,
                sources: BTreeSet::from([Cidr::new(LINK_LOCAL.into(), 10).expect("10 bits of 128")]),
                destinations: BTreeSet::from([Cidr::host(GROUP6.into())]),
                traffic: Traffic::Vrrp,
            },
        });
    }
    let mut open = |link: &LinkName, destinations: &BTreeSet<Cidr>, traffic| {
        openings.insert(Opening {
            link: Some(link.clone()),
            sources: directors.clone(),
            destinations: destinations.clone(),
            traffic,
        });
    };
    for daemon in plan.state.sync.values() {
        open(&daemon.link, &BTreeSet::new(), Traffic::Sync);
        open(&daemon.link, &mine, Traffic::Port(Protocol::Udp, roll_call::PORT));
    }
}

/// Virtual services, and the checks of this box's own servers.
fn services(box_: &Perspective<'_>, openings: &mut BTreeSet<Opening>, refusals: &mut BTreeSet<Opening>) {
    let directors = directors(box_);
    let mine: BTreeSet<Cidr> = own_addresses(box_.me).map(Cidr::host).collect();
    for service in box_.config.services.values() {
        if box_.me.director || box_.serves(service) {
            openings.insert(Opening {
                destinations: BTreeSet::from([Cidr::host(service.address)]),
                ..Opening::anyone(Traffic::Port(service.protocol, service.port))
            });
        }
        let Some(check) = &service.check else { continue };
        if box_.serves(service) && !directors.is_empty() {
            let check = Opening {
                link: None,
                sources: directors.clone(),
                destinations: mine.clone(),
                traffic: Traffic::Port(Protocol::Tcp, check.port.unwrap_or(service.port)),
            };
            // A box that leaves tells its fellows by failing their checks at once, while its applications still run.
            if box_.view.leaving {
                refusals.insert(check);
            } else {
                openings.insert(check);
            }
        }
    }
}

/// `/status` and `/metrics`, where the document has them.
fn observers(box_: &Perspective<'_>, openings: &mut BTreeSet<Opening>) {
    if let Some(observe) = &box_.config.observe
        && let Some(interface) = box_.me.interfaces.get(&observe.interface)
    {
        let lent = box_.view.leases.get(&observe.interface).map(|lease| lease.address);
        let own: Vec<Cidr> = interface.addresses.iter().copied().chain(lent).collect();
        // No address yet: an opening to none would be one to all.
        if own.is_empty() {
            return;
        }
        let sources = if observe.allow.is_empty() {
            own.iter().map(|a| a.network()).collect()
        } else {
            observe.allow.iter().copied().collect()
        };
        openings.insert(Opening {
            link: Some(observe.interface.clone()),
            sources,
            destinations: own.iter().map(|a| Cidr::host(a.address())).collect(),
            traffic: Traffic::Port(Protocol::Tcp, observe.port),
        });
    }
}

/// A box that joins asks a group, and then speaks to this box's link-local address, from its own: it has no other. No such
/// packet comes through a router (RFC 4291 §2.5.6).
fn joiners(openings: &mut BTreeSet<Opening>) {
    let link_local = BTreeSet::from([Cidr::new(LINK_LOCAL.into(), 10).expect("10 bits of 128")]);
    let group = BTreeSet::from([Cidr::host(join::GROUP.into())]);
    for (protocol, destinations) in [(Protocol::Udp, group), (Protocol::Tcp, link_local.clone())] {
        let traffic = Traffic::Port(protocol, join::PORT);
        openings.insert(Opening { link: None, sources: link_local.clone(), destinations, traffic });
    }
}

fn directors(box_: &Perspective<'_>) -> BTreeSet<Cidr> {
    box_.fellow_directors().flat_map(own_addresses).map(Cidr::host).collect()
}

/// The chain itself. The guard's rules are its first, if there are any, and what they accept is let in.
fn chain(openings: &BTreeSet<Opening>, refusals: &BTreeSet<Opening>, plan: &mut Plan) {
    let chains = &mut plan.state.rules.chains;
    let guarded = chains.iter().any(|chain| chain.name == guard::ORIGIN);
    let accept = |condition| Rule::when([condition]).then(Verdict::Accept);
    let mut rules = Vec::from_iter(guarded.then(|| Rule::when([]).then(Verdict::Jump(guard::ORIGIN))));
    rules.extend([
        accept(Condition::InLoopback),
        accept(Condition::TcpFlags {
            among: flags::FIN | flags::SYN | flags::RST | flags::ACK,
            are: flags::SYN,
            not: true,
        }),
        accept(Condition::UdpSocketBound),
        accept(Condition::Icmp(ICMP_ANSWERS.into())),
        accept(Condition::Icmp6(ICMP6_ANSWERS.into())),
        // Queries: a switch that snoops sends multicast, VRRP's too, only to those who answer them.
        accept(Condition::Protocol([IGMP].into())),
    ]);
    // A reset tells a check at once; a drop would cost it its timeout.
    rules.extend(compile(refusals, Verdict::Reset));
    rules.extend(compile(openings, Verdict::Accept));
    let base = Base { priority: 0, policy: Policy::Drop };
    chains.insert(0, Chain { name: "input", base: Some(base), rules });
}

/// The rules for `openings`: one for all ports between the same ends, and for each address family that they reach.
fn compile(openings: &BTreeSet<Opening>, verdict: Verdict) -> Vec<Rule> {
    type Ends<'a> = (&'a Option<LinkName>, &'a BTreeSet<Cidr>, &'a BTreeSet<Cidr>);
    let mut kinds: BTreeMap<(Ends<'_>, Kind), BTreeSet<u16>> = BTreeMap::new();
    for Opening { link, sources, destinations, traffic } in openings {
        let (kind, port) = match *traffic {
            Traffic::Vrrp => (Kind::Protocol(VRRP), None),
            Traffic::Sync => (Kind::Ports(Protocol::Udp), Some(SYNC)),
            Traffic::Ping => (Kind::Ping, None),
            Traffic::Port(protocol, port) => (Kind::Ports(protocol), Some(port)),
        };
        kinds.entry(((link, sources, destinations), kind)).or_default().extend(port);
    }
    let mut rules = Vec::new();
    for (((link, sources, destinations), kind), ports) in kinds {
        let (from, to) = (by_family(sources), by_family(destinations));
        let anywhere = sources.is_empty() && destinations.is_empty() && kind != Kind::Ping;
        for ipv6 in [false, true] {
            // A side that names addresses, but none of this family, is reached by nobody.
            let nobody =
                |side: &BTreeSet<Cidr>, here: &BTreeMap<_, _>| !side.is_empty() && !here.contains_key(&ipv6);
            if (anywhere && ipv6) || nobody(sources, &from) || nobody(destinations, &to) {
                continue;
            }
            let what = match kind {
                Kind::Protocol(number) => Condition::Protocol([number].into()),
                Kind::Ports(protocol) => Condition::Port(protocol, ports.clone()),
                Kind::Ping if ipv6 => Condition::Icmp6([ICMP6_PING].into()),
                Kind::Ping => Condition::Icmp([ICMP_PING].into()),
            };
            let ends = [
                link.clone().map(Condition::In),
                from.get(&ipv6).cloned().map(Condition::Source),
                to.get(&ipv6).cloned().map(Condition::Destination),
                Some(what),
            ];
            rules.push(Rule::when(ends.into_iter().flatten()).then(verdict));
        }
    }
    rules
}

/// [`Traffic`] without its port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Ping,
    Ports(Protocol),
    Protocol(u8),
}

/// The networks of each family (IPv6: `true`), without those that lie in another: the kernel's sets take no overlaps.
fn by_family(cidrs: &BTreeSet<Cidr>) -> BTreeMap<bool, BTreeSet<Cidr>> {
    let networks: BTreeSet<Cidr> = cidrs.iter().map(|c| c.network()).collect();
    let mut families: BTreeMap<bool, BTreeSet<Cidr>> = BTreeMap::new();
    for &network in &networks {
        let within = |other: &Cidr| other.prefix() < network.prefix() && other.contains(network.address());
        if !networks.iter().any(within) {
            families.entry(network.address().is_ipv6()).or_default().insert(network);
        }
    }
    families
}

impl Opening {
    fn anyone(traffic: Traffic) -> Self {
        Self { link: None, sources: BTreeSet::new(), destinations: BTreeSet::new(), traffic }
    }
}

/// As people read it.
impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.traffic {
            Traffic::Vrrp => f.write_str("VRRP")?,
            Traffic::Sync => f.write_str("connection synchronisation")?,
            Traffic::Ping => f.write_str("ping")?,
            Traffic::Port(protocol, port) => write!(f, "{protocol} {port}")?,
        }
        if let Some(link) = &self.link {
            write!(f, " on {link}")?;
        }
        for (word, set) in [("from", &self.sources), ("to", &self.destinations)] {
            if !set.is_empty() {
                let list: Vec<_> = set.iter().map(ToString::to_string).collect();
                write!(f, " {word} {}", list.join(", "))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
