//! What a box is found to lack or to hold too much, down to which of its ports a document means; and what cannot be
//! put right now.

use super::*;

#[test]
fn two_ports_swap_their_names() {
    let mut observed = booted();
    observed.links.insert(2, link("back", 10));
    observed.links.insert(3, link("lan", 11));
    let mut desired = KernelState::default();
    desired.links.insert(name("lan"), Link { device: Port::Mac(mac(10)).into(), mtu: Some(9000) });
    desired.links.insert(name("back"), Link { device: Port::Mac(mac(11)).into(), mtu: None });
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
    desired.links.insert(name("back"), Link { device: Port::Mac(mac(99)).into(), mtu: None });
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
fn a_box_without_a_document_keeps_its_addresses() {
    let mut observed = booted();
    observed.addresses.insert((2, cidr([203, 0, 113, 9], 24)));
    let rules = Op::SetRules(Box::default());
    assert_eq!(diff(&KernelState::default(), &observed).ops, [rules]);
}
