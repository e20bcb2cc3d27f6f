//! The rule by tables, its lack of exceptions by properties: whatever the kernel holds, every prefix of the operations
//! is safe and all of them together leave nothing to do.

use std::net::IpAddr;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::config::types::Mac;
use crate::config::{Forwarding, Port, Protocol};
use crate::plan::rules::{Base, Chain, Condition, Hook, Policy, Rule, Rules, Verdict};
use crate::plan::state::{AddressRole, Destination, Link, Route, SyncDaemon, SyncRole};

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
    let base = Base { hook: Hook::Input, priority: 0, policy: Policy::Drop };
    Rules { chains: vec![Chain { name: "input", base: Some(base), rules: rules.collect() }] }
}

/// A co-located member that is master: everything that a plan can hold.
fn master() -> KernelState {
    let lan = name("lan");
    let mut state = KernelState::default();
    state.links.insert(lan.clone(), Link { port: Port::Mac(mac(10)), mtu: None });
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

#[test]
fn a_booted_box_becomes_master_in_the_safe_order() {
    let difference = diff(&master(), &booted());
    assert_eq!(
        sentences(&difference.ops),
        [
            "set sysctl net.ipv4.conf.all.arp_ignore = 1",
            "set sysctl net.ipv4.conf.all.promote_secondaries = 1",
            "set packet rules (1 in 1 chains)",
            "rename link eth0 to lan",
            "set link lan up",
            "add address 192.0.2.1/24 on lan",
            "add route 0.0.0.0/0 via 192.0.2.254 on lan",
            "add service mark 7, rr",
            "add server 192.0.2.1:0 to mark 7, weight 100",
            "add server 192.0.2.2:0 to mark 7, weight 0",
            "add service tcp 192.0.2.100:80, rr",
            "add server 192.0.2.1:80 to tcp 192.0.2.100:80, weight 1",
            "add server 192.0.2.2:80 to tcp 192.0.2.100:80, weight 1",
            "add served address 192.0.2.100/32 on lo",
            "start sync master 51 on lan",
            "start sync backup 51 on lan",
            "add virtual address 192.0.2.100/32 on lan",
        ]
    );
    assert_eq!(difference.unmet, []);
}

#[test]
fn a_booted_box_is_on_the_wire_before_its_rules_and_one_that_balances_or_shares_is_not() {
    let early = groundwork(&master(), &booted());
    assert!(early.iter().any(|op| matches!(op, Op::AddAddress { .. })));
    for op in &early {
        assert!(!matches!(op, Op::SetRules(_)), "{op}");
        assert!(
            !matches!(op, Op::AddAddress { address, .. } if address.role != AddressRole::Own),
            "{op} draws traffic"
        );
    }
    let later = diff(&master(), &after(&booted(), &early)).ops;
    assert!(matches!(later[0], Op::SetRules(_)), "{}", later[0]);

    let mut balancing = booted();
    balancing.services.insert(service(80), ServiceFacts::default());
    let mut sharing = booted();
    sharing.addresses.insert((2, cidr(VIP, 24)));
    for state in [balancing, sharing] {
        assert_eq!(groundwork(&master(), &state), []);
    }
}

#[test]
fn a_takeover_purges_the_dead_server_before_it_claims_the_address() {
    let mut backup = master();
    backup.addresses.retain(|a| a.role != AddressRole::Virtual);
    let running = after(&booted(), &diff(&backup, &booted()).ops);

    let mut alone = master();
    alone.services.insert(MARK, scheduled([(1, 0, 100)]));
    alone.services.insert(service(80), scheduled([(1, 80, 1)]));
    assert_eq!(
        sentences(&diff(&alone, &running).ops),
        [
            "delete server 192.0.2.2:80 of tcp 192.0.2.100:80",
            "delete server 192.0.2.2:0 of mark 7",
            "add virtual address 192.0.2.100/32 on lan",
        ]
    );
}

#[test]
fn a_demotion_lets_go_of_the_address_first() {
    let running = after(&booted(), &diff(&master(), &booted()).ops);
    let mut gone = master();
    gone.addresses.retain(|a| a.role != AddressRole::Virtual);
    gone.services.remove(&service(80));
    gone.services.remove(&MARK);
    gone.rules = Rules::default();
    assert_eq!(
        sentences(&diff(&gone, &running).ops),
        [
            "delete address 192.0.2.100/32 on lan",
            "delete service tcp 192.0.2.100:80",
            "set packet rules (0 in 0 chains)",
            "delete service mark 7",
        ]
    );
}

#[test]
fn two_ports_swap_their_names() {
    let mut observed = booted();
    observed.links.insert(2, link("back", 10));
    observed.links.insert(3, link("lan", 11));
    let mut desired = KernelState::default();
    desired.links.insert(name("lan"), Link { port: Port::Mac(mac(10)), mtu: Some(9000) });
    desired.links.insert(name("back"), Link { port: Port::Mac(mac(11)), mtu: None });
    let ops = diff(&desired, &observed).ops;
    assert_eq!(
        sentences(&ops),
        [
            "set packet rules (0 in 0 chains)",
            "rename link back to port2",
            "rename link lan to back",
            "rename link port2 to lan",
            "set MTU of lan to 9000",
        ]
    );
    assert_eq!(diff(&desired, &after(&observed, &ops)), Difference::default());
}

#[test]
fn a_missing_port_is_told_and_holds_up_nothing_else() {
    let mut desired = master();
    desired.links.insert(name("back"), Link { port: Port::Mac(mac(99)), mtu: None });
    desired.addresses.insert(Address {
        link: Some(name("back")),
        cidr: cidr([198, 51, 100, 1], 24),
        role: AddressRole::Own,
    });
    let difference = diff(&desired, &booted());
    assert_eq!(difference.ops, diff(&master(), &booted()).ops);
    let told: Vec<_> = difference.unmet.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        [
            "link back: this box has no port with MAC 52:54:00:00:00:63; it has eth0 (52:54:00:00:00:0a), \
             eth1 (52:54:00:00:00:0b)",
            "address 198.51.100.1/24: there is no link back",
        ]
    );
}

#[test]
fn a_port_is_found_by_its_permanent_mac_or_its_bus_address() {
    let mut observed = booted();
    // A VLAN above eth0 shows eth0's MAC, and eth1's driver was told to use it too.
    observed.links.insert(4, LinkFacts { permanent: None, ..link("vlan20", 10) });
    observed
        .links
        .insert(3, LinkFacts { mac: Some(mac(10)), path: Some("0000:01:00.0".into()), ..link("eth1", 11) });
    observed.links.insert(5, LinkFacts { permanent: None, ..link("veth0", 77) });
    for (port, expected) in [
        (Port::Mac(mac(10)), Ok(2)),
        (Port::Mac(mac(11)), Ok(3)),
        (Port::Mac(mac(77)), Ok(5)),
        (Port::Path("0000:01:00.0".into()), Ok(3)),
        (Port::Path("0000:02:00.0".into()), Err(())),
    ] {
        assert_eq!(observed.find(&port).map_err(drop), expected, "{port:?}");
    }
}

#[test]
fn drift_is_repaired_and_foreign_things_of_the_box_go() {
    let mut observed = after(&booted(), &diff(&master(), &booted()).ops);
    observed.addresses.insert((2, cidr([203, 0, 113, 9], 24)));
    observed.addresses.insert((1, Cidr::host([203, 0, 113, 8].into())));
    observed.addresses.insert((2, cidr("fe80::1".parse::<IpAddr>().unwrap(), 64)));
    observed.addresses.insert((3, cidr([10, 0, 0, 1], 8)));
    observed.links.insert(4, LinkFacts { permanent: None, ..link("br0", 12) });
    observed.addresses.insert((4, cidr([172, 16, 0, 1], 16)));
    observed.services.insert(service(81), ServiceFacts::default());
    let facts = observed.services.get_mut(&service(80)).unwrap();
    facts.destinations.insert((server(1), 80), DestinationFacts { weight: 1, forwarding: None });
    observed.rules = None;
    observed.sync.get_mut(&SyncRole::Backup).unwrap().link = "eth0".into();
    assert_eq!(
        sentences(&diff(&master(), &observed).ops),
        [
            "delete address 203.0.113.9/24 on lan",
            "delete address fe80::1/64 on lan",
            "delete address 10.0.0.1/8 on eth1",
            "delete address 203.0.113.8/32 on lo",
            "delete service tcp 192.0.2.100:81",
            "set packet rules (1 in 1 chains)",
            "set server 192.0.2.1:80 of tcp 192.0.2.100:80 to weight 1",
            "stop sync backup 51 on eth0",
            "start sync backup 51 on lan",
        ]
    );
}

#[test]
fn a_new_own_address_brings_the_routes_back_that_go_with_the_old_one() {
    let observed = after(&booted(), &diff(&master(), &booted()).ops);
    let mut moved = master();
    moved.addresses.retain(|a| a.role == AddressRole::Served);
    let own = Address { link: Some(name("lan")), cidr: cidr([192, 0, 2, 3], 24), role: AddressRole::Own };
    moved.addresses.insert(own);
    assert_eq!(
        sentences(&diff(&moved, &observed).ops),
        [
            "delete address 192.0.2.1/24 on lan",
            "delete address 192.0.2.100/32 on lan",
            "add address 192.0.2.3/24 on lan",
            "add route 0.0.0.0/0 via 192.0.2.254 on lan",
        ]
    );
}

#[test]
fn what_draws_traffic_waits_for_its_guard() {
    let ops = diff(&master(), &booted()).ops;
    let held_up_by = |failed: &str| -> Vec<String> {
        let failed = ops.iter().find(|op| op.to_string().starts_with(failed)).unwrap();
        ops.iter().filter(|op| op.depends_on(failed)).map(ToString::to_string).collect()
    };
    let service = "add service tcp 192.0.2.100:80, rr";
    let served = "add served address 192.0.2.100/32 on lo";
    let claim = "add virtual address 192.0.2.100/32 on lan";
    assert_eq!(held_up_by("set packet rules"), [service, served, claim]);
    assert_eq!(held_up_by("add service mark 7"), [service, claim]);
    assert_eq!(held_up_by("add server 192.0.2.1:0 to mark 7"), [service, claim]);
    assert_eq!(held_up_by("set sysctl net.ipv4.conf.all.arp_ignore"), [served]);
    assert_eq!(held_up_by("start sync master"), [""; 0]);
    assert_eq!(held_up_by("add service tcp"), [""; 0]);
}

#[test]
fn a_box_without_a_document_keeps_its_addresses() {
    let mut observed = booted();
    observed.addresses.insert((2, cidr([203, 0, 113, 9], 24)));
    let rules = Op::SetRules(Box::default());
    assert_eq!(diff(&KernelState::default(), &observed).ops, [rules]);
}

fn any_desired() -> impl Strategy<Value = KernelState> {
    let destinations =
        || btree_map((1_u8..4).prop_map(|n| (server(n), 80)), (0_u16..3).prop_map(direct), 0..3);
    let services = btree_map(80_u16..84, (prop::sample::select(vec!["rr", "mh"]), destinations()), 0..4);
    (any::<[bool; 6]>(), services, 0_u16..2, btree_set(0_u8..4, 0..3), 1_u8..3).prop_map(
        |(
            [is_master, co_located, two_ports, swapped, sync, serves],
            services,
            persistence,
            owns,
            gateway,
        )| {
            let mut state = KernelState::default();
            let (a, b) = if swapped { (11, 10) } else { (10, 11) };
            state.links.insert(name("lan"), Link { port: Port::Mac(mac(a)), mtu: None });
            if two_ports {
                state.links.insert(name("back"), Link { port: Port::Mac(mac(b)), mtu: Some(1400) });
            }
            let lan = Some(name("lan"));
            for n in owns {
                let address = cidr([192, 0, 2, 1 + n], 24);
                state.addresses.insert(Address { link: lan.clone(), cidr: address, role: AddressRole::Own });
            }
            let vip = Cidr::host(VIP.into());
            if is_master {
                state.addresses.insert(Address { link: lan, cidr: vip, role: AddressRole::Virtual });
            }
            if serves {
                state.addresses.insert(Address { link: None, cidr: vip, role: AddressRole::Served });
            }
            let via = [192, 0, 2, 250 + gateway].into();
            state.routes.insert(Route { to: cidr([0, 0, 0, 0], 0), via, link: name("lan") });
            state.rules = rules(services.keys().copied());
            for (port, (scheduler, destinations)) in services {
                if co_located {
                    state.services.insert(MARK, scheduled([(1, 0, 100), (2, 0, 0)]));
                }
                let wanted = VirtualService {
                    scheduler: scheduler.into(),
                    scheduler_flags: 0,
                    persistence: persistence.into(),
                    destinations,
                };
                state.services.insert(service(port), wanted);
            }
            if sync {
                state.sync.insert(SyncRole::Master, SyncDaemon { link: name("lan"), id: 51 });
            }
            for path in SYSCTLS {
                state.sysctls.insert(path.into(), persistence.to_string());
            }
            state
        },
    )
}

/// A kernel as another plan left it, with things that nobody planned.
fn any_observed() -> impl Strategy<Value = Observed> {
    let strays = vec((1_u32..4, (0_u8..6).prop_map(|n| [198, 51, 100, n])), 0..4);
    (any_desired(), strays, any::<[bool; 5]>()).prop_map(
        |(earlier, strays, [fresh, rules, weight, extra, route])| {
            let mut state = booted();
            if !fresh {
                state = after(&state, &diff(&earlier, &state).ops);
            }
            for (index, address) in strays {
                state.addresses.insert((index, cidr(address, 24)));
            }
            if rules {
                state.rules = None;
            }
            if weight && let Some(first) = state.services.values_mut().next() {
                for destination in first.destinations.values_mut() {
                    destination.weight += 70_000;
                }
            }
            if extra {
                state.services.insert(service(99), ServiceFacts::default());
                state.services.insert(Virtual::Mark { mark: 12, ipv6: true }, ServiceFacts::default());
            }
            if route {
                let via = [192, 0, 2, 77].into();
                state.routes.insert(RouteFact { to: cidr([0, 0, 0, 0], 0), via, index: 2 });
                state.routes.insert(RouteFact { to: cidr([10, 0, 0, 0], 8), via, index: 2 });
            }
            state
        },
    )
}

fn is_guard(service: &Virtual) -> bool {
    matches!(service, Virtual::Mark { .. })
}

/// The guard that `desired` asks for stands in `state`: rules, and the services that they mark packets for.
fn guard_stands(desired: &KernelState, state: &Observed) -> bool {
    state.rules.as_ref() == Some(&desired.rules)
        && desired.services.iter().filter(|(s, _)| is_guard(s)).all(|(service, wanted)| {
            state.services.get(service).is_some_and(|found| {
                found.destinations.len() == wanted.destinations.len()
                    && wanted.destinations.iter().all(|(server, d)| {
                        found.destinations.get(server).is_some_and(|f| f.weight == u32::from(d.weight))
                    })
            })
        })
}

fn no_server_too_many(desired: &KernelState, state: &Observed) -> bool {
    state.services.iter().all(|(service, found)| {
        desired.services.get(service).is_some_and(|wanted| {
            found.destinations.keys().all(|server| wanted.destinations.contains_key(server))
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn all_operations_together_leave_nothing_to_do(desired in any_desired(), observed in any_observed()) {
        let first = diff(&desired, &observed);
        let then = diff(&desired, &after(&observed, &first.ops));
        prop_assert_eq!(then.ops, []);
        prop_assert_eq!(then.unmet, first.unmet);
    }

    #[test]
    fn every_prefix_is_safe(desired in any_desired(), observed in any_observed()) {
        let ops = diff(&desired, &observed).ops;
        prop_assert!(ops.is_sorted_by_key(Op::stage));
        let mut state = observed.clone();
        for op in &ops {
            let before = state.clone();
            state.apply(op);
            match op {
                Op::AddAddress { address, .. } if address.role == AddressRole::Virtual => {
                    prop_assert!(guard_stands(&desired, &before), "claimed without a guard");
                    prop_assert!(no_server_too_many(&desired, &before), "claimed with a dead server");
                    prop_assert!(
                        desired.services.keys().all(|s| before.services.contains_key(s)),
                        "claimed before the services were there"
                    );
                }
                Op::AddService { service: Virtual::Address { .. }, .. } => {
                    prop_assert!(guard_stands(&desired, &before), "a service before its guard");
                }
                Op::DelService { service: Virtual::Mark { .. } } => {
                    prop_assert_eq!(before.rules.as_ref(), Some(&desired.rules), "rules still mark for it");
                }
                Op::SetRules(_) => {
                    for service in state.services.keys().filter(|s| !is_guard(s)) {
                        prop_assert!(desired.services.contains_key(service), "{} outlives its guard", service);
                    }
                    let wanted = |a: Cidr| desired.addresses.iter().any(|d| d.cidr == a);
                    for &(index, address) in state.addresses.iter().filter(|(_, a)| a.address() == IpAddr::from(VIP)) {
                        prop_assert!(wanted(address), "{} on {} outlives its release", address, index);
                    }
                }
                _ => {}
            }
        }
    }

    #[test]
    fn what_is_right_is_not_touched(desired in any_desired()) {
        let state = after(&booted(), &diff(&desired, &booted()).ops);
        let state = after(&state, &diff(&desired, &state).ops);
        prop_assert_eq!(diff(&desired, &state).ops, []);
    }
}
