//! Whatever the plan says and whatever the kernel holds: every prefix of the operations is safe, and all of them
//! together leave nothing to do.

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::config::types::VlanId;
use crate::config::{Bond, BondMode, Device, Vlan};

/// `lan` as a port, as a bond or as a VLAN on one of these, and what else there may be beside it.
fn any_links() -> impl Strategy<Value = BTreeMap<LinkName, Link>> {
    let mode = prop::sample::select(BondMode::ALL.to_vec());
    (any::<[bool; 4]>(), mode, 1_u16..4, prop::option::of(576_u32..1500)).prop_map(
        |([swapped, second, bonded, tagged], mode, id, mtu)| {
            let (a, b) = if swapped { (11, 10) } else { (10, 11) };
            let ports = if second { vec![mac(a)] } else { vec![mac(a), mac(b)] };
            let port = Port::Mac(mac(a)).into();
            let device = if bonded { Device::Bond(Bond { ports, mode }) } else { port };
            let carrier = if tagged { "trunk" } else { "lan" };
            let mut links = BTreeMap::from([(name(carrier), Link { device, mtu })]);
            if second {
                links.insert(name("back"), Link { device: Port::Mac(mac(b)).into(), mtu: Some(1400) });
            }
            if tagged {
                let vlan = Vlan { parent: name(carrier), id: VlanId::new(id).unwrap() };
                links.insert(name("lan"), Link { device: Device::Vlan(vlan), mtu });
            }
            links
        },
    )
}

fn any_desired() -> impl Strategy<Value = KernelState> {
    let destinations =
        || btree_map((1_u8..4).prop_map(|n| (server(n), 80)), (0_u16..3).prop_map(direct), 0..3);
    let services = btree_map(80_u16..84, (prop::sample::select(vec!["rr", "mh"]), destinations()), 0..4);
    (any::<[bool; 4]>(), any_links(), services, 0_u16..2, btree_set(0_u8..4, 0..3), 1_u8..3).prop_map(
        |([is_master, co_located, sync, serves], links, services, persistence, owns, gateway)| {
            let mut state = KernelState { links, ..KernelState::default() };
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
    (any_desired(), strays, any::<[bool; 7]>()).prop_map(
        |(earlier, strays, [fresh, rules, weight, extra, route, torn, loose])| {
            let mut state = booted();
            if !fresh {
                state = after(&state, &diff(&earlier, &state).ops);
            }
            for (index, address) in strays {
                state.addresses.insert((index, cidr(address, 24)));
            }
            let made = state.links.iter().find(|(_, l)| l.made.is_some()).map(|(&index, _)| index);
            if torn && let Some(index) = made {
                state.apply(&Op::DelLink { index, link: "some".into() });
            }
            if loose {
                state.apply(&Op::LeaveBond { index: 2, port: "eth0".into() });
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
