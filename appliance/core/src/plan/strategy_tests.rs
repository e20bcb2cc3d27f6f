//! What the storm strategies `standby` and `second-nic` plan otherwise than `weights`, and what they share with it.

use std::net::IpAddr;

use super::rules::{Chain, Condition, Verdict};
use super::state::{AddressRole, Virtual};
use super::*;
use crate::config::check::check;

const PAIR: &str = include_str!("../../../../examples/pair.toml");
const STANDBY: &str = include_str!("../../../../examples/standby.toml");
const SECOND_NIC: &str = include_str!("../../../../examples/second-nic.toml");

fn castor() -> MemberName {
    "castor".parse().expect("a member's name")
}

fn document(text: &str) -> Config {
    check(text).expect("the example is right")
}

/// Castor's plan in `state`, with everyone healthy and its port for forwarding as `forward_down` says.
fn planned(config: &Config, state: VrrpState, forward_down: bool) -> KernelState {
    let servers = config
        .services
        .values()
        .flat_map(|service| service.servers.keys().map(move |server| (service.name.clone(), server.clone())));
    let view = View {
        vrrp: config.vrrp.keys().map(|id| (id.clone(), state)).collect(),
        health: servers.map(|server| (server, Health::Up)).collect(),
        forward_down,
        ..View::default()
    };
    plan(config, &castor(), &view).state
}

fn destinations(state: &KernelState) -> Vec<String> {
    let tables = state.services.iter().map(|(service, table)| {
        let servers: Vec<String> =
            table.destinations.iter().map(|((address, _), to)| format!("{address} {}", to.weight)).collect();
        match service {
            Virtual::Address { .. } => servers.join(", "),
            Virtual::Mark { mark, .. } => format!("mark {mark}: {}", servers.join(", ")),
        }
    });
    tables.collect()
}

/// The chains of the guard; the input filter opens a port for synchronisation, which a standby has not.
fn guard(state: &KernelState) -> Vec<&Chain> {
    state.rules.chains.iter().filter(|chain| chain.name != "input").collect()
}

const STATES: [VrrpState; 4] = [VrrpState::Init, VrrpState::Backup, VrrpState::Master, VrrpState::Fault];

#[test]
fn a_standby_directs_as_master_only_and_serves_and_guards_always() {
    let config = document(STANDBY);
    let master = planned(&config, VrrpState::Master, false);
    let weights = planned(&document(PAIR), VrrpState::Master, false);
    assert_eq!(master.services, weights.services);
    for state in STATES {
        let planned = planned(&config, state, false);
        assert_eq!(planned.rules, master.rules, "{state:?}");
        assert_eq!(guard(&planned), guard(&weights), "{state:?}");
        assert_eq!(planned.sysctls, master.sysctls, "{state:?}");
        assert!(planned.sync.is_empty(), "{state:?}");
        let roles: Vec<_> = planned.addresses.iter().map(|address| address.role).collect();
        assert!(roles.contains(&AddressRole::Served), "{state:?}");
        let is_master = state == VrrpState::Master;
        assert_eq!(roles.contains(&AddressRole::Virtual), is_master, "{state:?}");
        assert_eq!(planned.services.is_empty(), !is_master, "{state:?}");
    }
}

#[test]
fn a_standby_that_has_yielded_keeps_its_table_and_lets_the_address_go() {
    let config = document(STANDBY);
    let view = |master, yielded: bool| {
        let ids = config.vrrp.keys().cloned();
        let state = if master { VrrpState::Master } else { VrrpState::Backup };
        View {
            vrrp: ids.clone().map(|id| (id, state)).collect(),
            yielded: if yielded { ids.collect() } else { BTreeSet::new() },
            ..View::default()
        }
    };
    let [master, yielded, backup] = [(true, false), (false, true), (false, false)]
        .map(|(master, yielded)| plan(&config, &castor(), &view(master, yielded)).state);
    assert!(!master.services.is_empty());
    assert_eq!((&yielded.services, &yielded.addresses), (&master.services, &backup.addresses));
    assert!(backup.services.is_empty());
}

#[test]
fn a_second_network_card_carries_what_members_forward_to_each_other() {
    let lan = document(SECOND_NIC);
    let refuse = document(&SECOND_NIC.replace("fallback = \"lan\"", "fallback = \"refuse\""));
    let up = [
        "10.88.0.1 1, 10.88.0.2 1",
        "mark 7: 10.88.0.1 100, 10.88.0.2 0",
        "mark 4097: 10.88.0.1 1, 10.88.0.2 2",
    ];
    for state in STATES {
        assert_eq!(destinations(&planned(&lan, state, false)), up, "{state:?}");
        assert_eq!(destinations(&planned(&refuse, state, false)), up, "{state:?}");
        let by_lan = [
            "10.88.0.1 1, 192.168.0.238 1",
            "mark 7: 10.88.0.1 100, 192.168.0.238 0",
            "mark 4097: 10.88.0.1 1, 192.168.0.238 2",
        ];
        assert_eq!(destinations(&planned(&lan, state, true)), by_lan, "{state:?}");
        let alone = ["10.88.0.1 1", "mark 7: 10.88.0.1 100", "mark 4097: 10.88.0.1 1"];
        assert_eq!(destinations(&planned(&refuse, state, true)), alone, "{state:?}");
    }
}

#[test]
fn the_guard_tells_by_interface_on_one_segment_and_by_mac_on_the_other_whatever_is_down() {
    let config = document(SECOND_NIC);
    let rules = planned(&config, VrrpState::Backup, false).rules;
    for state in STATES {
        for forward_down in [false, true] {
            assert_eq!(planned(&config, state, forward_down).rules, rules);
        }
    }
    let origin = rules.chains.iter().find(|chain| chain.name == "origin").expect("a chain");
    let back = Condition::In("back".parse().expect("a name"));
    let macs = ["52:54:00:00:00:0b", "52:54:00:00:00:1b"].map(|mac| mac.parse().expect("a MAC"));
    let told = origin.rules.iter().filter(|rule| rule.verdict == Some(Verdict::Jump("forwarded")));
    let told: Vec<_> = told.flat_map(|rule| &rule.conditions).collect();
    assert_eq!(told, [&back, &Condition::SourceMac(macs.into())], "a MAC counts on the other segment, too");
}

#[test]
fn a_pure_director_reaches_members_over_the_segment_too() {
    let text = SECOND_NIC.replacen("[\"director\", \"real-server\"]", "[\"director\"]", 1);
    let servers = text.replace("[[service.server]]\nmember = \"castor\"\nweight = 1\n", "");
    let config = document(&servers);
    let pollux: IpAddr = [10, 88, 0, 2].into();
    let table = planned(&config, VrrpState::Master, false).services;
    assert!(table.values().all(|service| service.destinations.keys().all(|(address, _)| *address == pollux)));
    assert_eq!(table.len(), 1, "nobody forwards to a box that serves nothing");
}
