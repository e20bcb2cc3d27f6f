//! VLANs and bonds: made, found again, repaired, changed and taken away.

use super::*;
use crate::config::types::VlanId;
use crate::config::{Bond, BondMode, Device, Vlan};

fn bond(ports: &[u8], mode: BondMode) -> Link {
    let ports = ports.iter().map(|n| mac(*n)).collect();
    Link { device: Device::Bond(Bond { ports, mode }), mtu: None }
}

fn vlan(parent: &str, id: u16) -> Link {
    Link { device: Device::Vlan(Vlan { parent: name(parent), id: VlanId::new(id).unwrap() }), mtu: None }
}

/// [`master`] with its `lan` as VLAN 20 of a bond of both ports.
fn stacked() -> KernelState {
    let mut state = master();
    state.links.insert(name("trunk"), Link { mtu: Some(9000), ..bond(&[10, 11], BondMode::ActiveBackup) });
    state.links.insert(name("lan"), Link { mtu: Some(1500), ..vlan("trunk", 20) });
    state
}

/// What it takes to make the links of [`stacked`].
const STACKED: [&str; 9] = [
    "make link trunk: active-backup bond with MAC 52:54:00:00:00:0a",
    "put eth0 into bond trunk",
    "put eth1 into bond trunk",
    "set MTU of trunk to 9000",
    "set link trunk up",
    "make link lan: VLAN 20 on trunk",
    "set MTU of lan to 1500",
    "set link lan up",
    "add address 192.0.2.1/24 on lan",
];

fn settled(desired: &KernelState, observed: &Observed) -> Observed {
    let state = after(observed, &diff(desired, observed).ops);
    assert_eq!(diff(desired, &state), Difference::default());
    state
}

/// What is done to links alone.
fn to_links(desired: &KernelState, observed: &Observed) -> Vec<String> {
    let ops = diff(desired, observed).ops;
    let links = ["link", "bond", "MTU"].map(|word| move |op: &String| op.contains(word));
    sentences(&ops).into_iter().filter(|op| links.iter().any(|test| test(op))).collect()
}

#[test]
fn a_booted_box_stacks_its_links_behind_its_guard_and_before_its_addresses() {
    let difference = diff(&stacked(), &booted());
    let told = sentences(&difference.ops);
    assert_eq!(told[2], "set packet rules (1 in 1 chains)");
    assert_eq!(told[3..12], STACKED);
    assert_eq!(difference.unmet, []);
    let state = settled(&stacked(), &booted());
    let (_, lan) = state.by_name("lan").unwrap();
    assert_eq!((lan.mac, lan.mtu, lan.up), (Some(mac(10)), 1500, true));
    let (index, trunk) = state.by_name("trunk").unwrap();
    assert_eq!((trunk.mtu, trunk.up), (9000, true));
    for port in [2, 3] {
        let facts = &state.links[&port];
        assert_eq!((facts.controller, facts.mac, facts.mtu), (Some(index), Some(mac(10)), 9000));
    }
}

/// A bond's ports show its MAC; they are found, and the box is, by the ones that their hardware has.
#[test]
fn a_restarted_engine_finds_everything_as_it_is() {
    let state = settled(&stacked(), &booted());
    assert_eq!(state.find(&Port::Mac(mac(11))), Ok(3));
    assert_eq!(state.find(&Port::Mac(mac(10))), Ok(2));
    assert_eq!(state.permanent_macs().collect::<Vec<_>>(), [mac(10), mac(11)]);
}

#[test]
fn a_bond_does_without_a_port_that_is_not_there_and_keeps_its_mac() {
    let mut one_port = booted();
    one_port.links.remove(&2);
    let difference = diff(&stacked(), &one_port);
    let told: Vec<_> = difference.unmet.iter().map(ToString::to_string).collect();
    assert_eq!(
        told,
        ["port 52:54:00:00:00:0a of trunk: this box has no port with MAC 52:54:00:00:00:0a; it has eth1 \
          (52:54:00:00:00:0b)"]
    );
    let state = after(&one_port, &difference.ops);
    assert_eq!(state.by_name("lan").unwrap().1.mac, Some(mac(10)));

    let mut late = state.clone();
    late.links.insert(7, LinkFacts { up: false, ..link("eth0", 10) });
    assert_eq!(sentences(&diff(&stacked(), &late).ops), ["put eth0 into bond trunk"]);
}

#[test]
fn a_vlan_without_its_carrier_is_told_and_holds_up_nothing_else() {
    let mut desired = master();
    desired.links.insert(name("back"), Link { device: Port::Mac(mac(99)).into(), mtu: None });
    desired.links.insert(name("guests"), vlan("back", 30));
    let difference = diff(&desired, &booted());
    assert_eq!(difference.ops, diff(&master(), &booted()).ops);
    assert!(difference.unmet.iter().any(|unmet| unmet.to_string() == "link guests: there is no link back"));
}

#[test]
fn what_somebody_takes_away_is_made_again_as_another_link() {
    let state = settled(&stacked(), &booted());
    let (trunk, _) = state.by_name("trunk").unwrap();
    let mut broken = state.clone();
    broken.apply(&Op::DelLink { index: trunk, link: "trunk".into() });
    assert!(broken.by_name("lan").is_none() && broken.links[&2].controller.is_none());
    let repair = diff(&stacked(), &broken).ops;
    let told = sentences(&repair);
    assert_eq!(told[..9], STACKED);
    assert_eq!(
        told[9..],
        [
            "add route 0.0.0.0/0 via 192.0.2.254 on lan",
            "stop sync master 51 on lan",
            "stop sync backup 51 on lan",
            "start sync master 51 on lan",
            "start sync backup 51 on lan",
            "add virtual address 192.0.2.100/32 on lan",
        ]
    );
    let repaired = after(&broken, &repair);
    let (again, _) = repaired.by_name("trunk").unwrap();
    assert!(again > state.newest, "sockets are kept by index: {again} was a link's before");
    assert_eq!(diff(&stacked(), &repaired), Difference::default());
}

/// What somebody does to a box, given the index of its bond, and what mends it.
type Damage = (fn(&mut Observed, u32), &'static [&'static str]);

#[test]
fn small_damage_is_mended_in_place() {
    let state = settled(&stacked(), &booted());
    let (trunk, _) = state.by_name("trunk").unwrap();
    let damage: [Damage; 5] = [
        (|s, _| s.apply(&Op::LeaveBond { index: 3, port: "eth1".into() }), &["put eth1 into bond trunk"]),
        (|s, _| s.links.get_mut(&3).unwrap().up = false, &["set link eth1 up"]),
        (|s, t| s.links.get_mut(&t).unwrap().up = false, &["set link trunk up"]),
        (|s, t| s.links.get_mut(&t).unwrap().name = "bond7".into(), &["rename link bond7 to trunk"]),
        (
            |s, t| {
                s.links.insert(9, link("eth2", 12));
                s.apply(&Op::JoinBond { index: 9, port: "eth2".into(), bond: t, link: name("trunk") });
            },
            &["take eth2 out of its bond"],
        ),
    ];
    for (harm, expected) in damage {
        let mut broken = state.clone();
        harm(&mut broken, trunk);
        assert_eq!(sentences(&diff(&stacked(), &broken).ops), expected);
    }
}

#[test]
fn vlans_and_bonds_that_nobody_wants_go_and_their_ports_are_ports_again() {
    let state = settled(&stacked(), &booted());
    assert_eq!(
        to_links(&master(), &state),
        ["delete link lan", "delete link trunk", "rename link eth0 to lan", "set link lan up"]
    );
    settled(&master(), &state);
    // The bonding driver makes one when it is loaded.
    let mut fresh = booted();
    let bond0 =
        LinkFacts { made: Some(Made::Bond { mode: Some(BondMode::RoundRobin) }), ..LinkFacts::default() };
    fresh.links.insert(4, LinkFacts { name: "bond0".into(), mac: Some(mac(77)), ..bond0 });
    assert!(to_links(&stacked(), &fresh).contains(&"delete link bond0".to_owned()));
    assert_eq!(
        to_links(&KernelState::default(), &fresh),
        [""; 0],
        "a box without a document keeps what it has"
    );
}

#[test]
fn another_mode_is_another_bond_and_its_vlans_are_others() {
    let state = settled(&stacked(), &booted());
    let mut lacp = stacked();
    lacp.links.insert(name("trunk"), Link { mtu: Some(9000), ..bond(&[10, 11], BondMode::Lacp) });
    let ops = sentences(&diff(&lacp, &state).ops);
    let place =
        |text: &str| ops.iter().position(|op| op == text).unwrap_or_else(|| panic!("{text}: {ops:#?}"));
    let order = [
        "delete address 192.0.2.100/32 on lan",
        "delete link lan",
        "delete link trunk",
        "make link trunk: 802.3ad bond with MAC 52:54:00:00:00:0a",
        "put eth0 into bond trunk",
        "make link lan: VLAN 20 on trunk",
        "add address 192.0.2.1/24 on lan",
        "start sync master 51 on lan",
        "add virtual address 192.0.2.100/32 on lan",
    ];
    assert!(order.map(place).is_sorted(), "{ops:#?}");
    settled(&lacp, &state);
}

#[test]
fn a_port_moves_from_one_bond_to_another() {
    let mut observed = booted();
    observed.links.insert(4, LinkFacts { up: false, ..link("eth2", 12) });
    let mut two = KernelState::default();
    two.links.insert(name("a"), bond(&[10], BondMode::Lacp));
    two.links.insert(name("b"), bond(&[11, 12], BondMode::Lacp));
    let state = settled(&two, &observed);
    two.links.insert(name("a"), bond(&[10, 12], BondMode::Lacp));
    two.links.insert(name("b"), bond(&[11], BondMode::Lacp));
    assert_eq!(to_links(&two, &state), ["put eth2 into bond a"]);
    settled(&two, &state);
}

#[test]
fn a_vlan_follows_what_carries_it_to_a_smaller_mtu() {
    let mut desired = master();
    desired.links.insert(name("lan"), Link { device: Port::Mac(mac(10)).into(), mtu: Some(9000) });
    desired.links.insert(name("guests"), Link { mtu: Some(9000), ..vlan("lan", 30) });
    let state = settled(&desired, &booted());
    for (link, mtu) in [("lan", 1500), ("guests", 1400)] {
        desired.links.get_mut(&name(link)).unwrap().mtu = Some(mtu);
    }
    assert_eq!(to_links(&desired, &state), ["set MTU of lan to 1500", "set MTU of guests to 1400"]);
    settled(&desired, &state);
}
