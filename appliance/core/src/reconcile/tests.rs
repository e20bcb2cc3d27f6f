//! The rule by tables, its lack of exceptions by properties. Here: the box that all of them are about, as it booted
//! and as its plan wants it to be.

mod links;
mod order;
mod properties;
mod repair;

use std::net::IpAddr;

use super::*;
use crate::config::types::{Cidr, Mac};
use crate::config::{Forwarding, Port, Protocol};
use crate::plan::rules::{Base, Chain, Condition, Policy, Rule, Rules, Verdict};
use crate::plan::state::{Destination, Link, Route, SyncDaemon, SyncRole, Virtual, VirtualService};

const VIP: [u8; 4] = [192, 0, 2, 100];
const MARK: Virtual = Virtual::Mark { mark: 7, ipv6: false };

fn name(text: &str) -> LinkName {
    text.parse().unwrap()
}

fn cidr(address: impl Into<IpAddr>, prefix: u8) -> Cidr {
    Cidr::new(address.into(), prefix).unwrap()
}

fn mac(n: u8) -> Mac {
    Mac([0x52, 0x54, 0, 0, 0, n])
}

fn link(name: &str, n: u8) -> LinkFacts {
    LinkFacts {
        name: name.into(),
        up: true,
        carrier: true,
        mtu: 1500,
        mac: Some(mac(n)),
        permanent: Some(mac(n)),
        ..LinkFacts::default()
    }
}

fn booted() -> Observed {
    let mut observed = Observed::default();
    observed
        .links
        .insert(1, LinkFacts { name: "lo".into(), loopback: true, up: true, ..LinkFacts::default() });
    observed.links.insert(2, LinkFacts { up: false, ..link("eth0", 10) });
    observed.links.insert(3, LinkFacts { up: false, ..link("eth1", 11) });
    observed.addresses.insert((1, cidr([127, 0, 0, 1], 8)));
    for path in SYSCTLS {
        observed.sysctls.insert(path.into(), "0".into());
    }
    observed
}

const SYSCTLS: [&str; 2] = ["net/ipv4/conf/all/promote_secondaries", "net/ipv4/conf/all/arp_ignore"];

fn service(port: u16) -> Virtual {
    Virtual::Address { protocol: Protocol::Tcp, address: VIP.into(), port }
}

fn server(n: u8) -> IpAddr {
    [192, 0, 2, n].into()
}

fn direct(weight: u16) -> Destination {
    Destination { weight, forwarding: Forwarding::Direct }
}

fn scheduled(destinations: impl IntoIterator<Item = (u8, u16, u16)>) -> VirtualService {
    VirtualService {
        scheduler: "rr".into(),
        scheduler_flags: 0,
        persistence: 0,
        destinations: destinations.into_iter().map(|(n, port, w)| ((server(n), port), direct(w))).collect(),
    }
}

/// Rules that let `ports` in and nothing else.
fn rules(ports: impl IntoIterator<Item = u16>) -> Rules {
    let rules = ports
        .into_iter()
        .map(|port| Rule::when([Condition::Port(Protocol::Tcp, [port].into())]).then(Verdict::Accept));
    let base = Base { priority: 0, policy: Policy::Drop };
    Rules { chains: vec![Chain { name: "input", base: Some(base), rules: rules.collect() }] }
}

/// A co-located member that is master: everything that a plan can hold.
fn master() -> KernelState {
    let lan = name("lan");
    let mut state = KernelState::default();
    state.links.insert(lan.clone(), Link { device: Port::Mac(mac(10)).into(), mtu: None });
    for (link, cidr, role) in [
        (Some(lan.clone()), cidr([192, 0, 2, 1], 24), AddressRole::Own),
        (Some(lan.clone()), Cidr::host(VIP.into()), AddressRole::Virtual),
        (None, Cidr::host(VIP.into()), AddressRole::Served),
    ] {
        state.addresses.insert(Address { link, cidr, role });
    }
    let default = cidr([0, 0, 0, 0], 0);
    state.routes.insert(Route { to: default, via: [192, 0, 2, 254].into(), link: lan.clone() });
    for path in SYSCTLS {
        state.sysctls.insert(path.into(), "1".into());
    }
    state.rules = rules([80]);
    state.services.insert(MARK, scheduled([(1, 0, 100), (2, 0, 0)]));
    state.services.insert(service(80), scheduled([(1, 80, 1), (2, 80, 1)]));
    for role in [SyncRole::Master, SyncRole::Backup] {
        state.sync.insert(role, SyncDaemon { link: lan.clone(), id: 51 });
    }
    state
}

fn after(observed: &Observed, ops: &[Op]) -> Observed {
    let mut state = observed.clone();
    for op in ops {
        state.apply(op);
    }
    state
}

fn sentences(ops: &[Op]) -> Vec<String> {
    ops.iter().map(ToString::to_string).collect()
}
