//! A whole plan applied to the in-memory kernel, with and without refusals.

use halcyon_core::config::types::{Cidr, Mac};
use halcyon_core::config::{Forwarding, Port, Protocol};
use halcyon_core::plan::rules::Chain;
use halcyon_core::plan::state::{
    Address, AddressRole, Destination, KernelState, Link, Virtual, VirtualService,
};
use halcyon_core::reconcile::{LinkFacts, Observed, Op, diff};

use super::*;
use crate::fake::Fake;

const MARK: Virtual = Virtual::Mark { mark: 7, ipv6: false };

fn service(port: u16) -> Virtual {
    Virtual::Address { protocol: Protocol::Tcp, address: [192, 0, 2, 100].into(), port }
}

fn box_() -> Fake {
    let mut state = Observed::default();
    let lo = LinkFacts { name: "lo".into(), loopback: true, up: true, ..LinkFacts::default() };
    let mac = Some(Mac([2, 0, 0, 0, 0, 1]));
    let port = LinkFacts { name: "eth0".into(), mac, permanent: mac, mtu: 1500, ..LinkFacts::default() };
    state.links.extend([(1, lo), (2, port)]);
    Fake::new(state)
}

fn master(services: u16) -> KernelState {
    let lan: LinkName = "lan".parse().unwrap();
    let vip = Cidr::host([192, 0, 2, 100].into());
    let mut state = KernelState::default();
    state.links.insert(lan.clone(), Link { device: Port::Mac(Mac([2, 0, 0, 0, 0, 1])).into(), mtu: None });
    state.addresses.insert(Address { link: Some(lan.clone()), cidr: vip, role: AddressRole::Virtual });
    state.addresses.insert(Address { link: None, cidr: vip, role: AddressRole::Served });
    state.rules.chains.push(Chain { name: "forwarded", base: None, rules: Vec::new() });
    let destination = Destination { weight: 1, forwarding: Forwarding::Direct };
    for service in (0..services).map(|n| service(1000 + n)).chain([MARK]) {
        let destinations = (1..=10).map(|n| (([192, 0, 2, n].into(), 80), destination)).collect();
        let scheduler = "rr".to_owned();
        state
            .services
            .insert(service, VirtualService { scheduler, scheduler_flags: 0, persistence: 0, destinations });
    }
    state
}

#[tokio::test]
async fn a_large_plan_is_applied_in_batches() {
    let (mut kernel, desired) = (box_(), master(200));
    let ops = diff(&desired, &kernel.state).ops;
    let applied = apply_all(&mut kernel, &ops).await;
    assert_eq!((applied.done, applied.failed.len(), applied.withheld.len()), (ops.len(), 0, 0));
    assert_eq!(kernel.log, ops);
    assert_eq!(kernel.writes(), ops.len() as u64);
    assert_eq!(diff(&desired, &kernel.observe(&desired).await.unwrap()).ops, []);
}

#[tokio::test]
async fn without_its_rules_a_box_draws_no_traffic_and_with_them_it_does() {
    let (mut kernel, desired) = (box_(), master(2));
    kernel.refuse(|op| matches!(op, Op::SetRules(_)));
    let ops = diff(&desired, &kernel.state).ops;
    let applied = apply_all(&mut kernel, &ops).await;
    assert_eq!(applied.failed.len(), 1);
    let withheld: Vec<String> = applied.withheld.iter().map(ToString::to_string).collect();
    assert_eq!(
        withheld,
        [
            "add service tcp 192.0.2.100:1000, rr",
            "add service tcp 192.0.2.100:1001, rr",
            "add served address 192.0.2.100/32 on lo",
            "add virtual address 192.0.2.100/32 on lan",
        ]
    );
    assert!(kernel.state.addresses.is_empty());
    assert!(!kernel.state.services.contains_key(&service(1000)));

    kernel.relent();
    let ops = diff(&desired, &kernel.state).ops;
    assert!(apply_all(&mut kernel, &ops).await.failed.is_empty());
    assert_eq!(diff(&desired, &kernel.state).ops, []);
}

#[tokio::test]
async fn one_bad_service_does_not_hold_up_the_others() {
    let (mut kernel, desired) = (box_(), master(3));
    kernel.refuse(|op| matches!(op, Op::AddService { service, .. } if *service == self::service(1001)));
    let ops = diff(&desired, &kernel.state).ops;
    let applied = apply_all(&mut kernel, &ops).await;
    assert_eq!((applied.failed.len(), applied.withheld.len()), (1, 0));
    assert!(kernel.state.services.contains_key(&service(1002)));
    assert_eq!(kernel.state.addresses.len(), 2);
}
