//! What the members' sections may say about each other: who is who, which ports are whose, and addresses, gateways and
//! routes that can work.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Once;
use crate::config::address::{is_broadcast, is_network};
use crate::config::draft::{Draft, InterfaceDraft, MemberDraft};
use crate::config::problem::{Problems, Written};
use crate::config::types::{Cidr, Family, LinkName};

pub(super) fn check(draft: &Draft, problems: &mut Problems) {
    unique(draft, problems);
    one_segment_per_name(draft, problems);
    for member in &draft.members {
        identifiable(member, problems);
        subnets_apart(member, problems);
        one_gateway(member, problems);
        for interface in &member.interfaces {
            next_hops(interface, problems);
        }
    }
}

fn unique(draft: &Draft, problems: &mut Problems) {
    let (mut names, mut serials, mut keys) = (Once::new(), Once::new(), Once::new());
    let (mut macs, mut addresses) = (Once::new(), Once::new());
    for member in &draft.members {
        if let Some(name) = &member.name {
            names.take(
                format!("\"{}\"", name.value),
                &name.at,
                "give each member a name of its own",
                problems,
            );
        }
        if let Some(serial) = &member.serial {
            let fix = "write each box's own serial number, or none where the maker gave all the same";
            serials.take(format!("{:?}", serial.value), &serial.at, fix, problems);
        }
        if let Some(key) = &member.key {
            keys.take(
                key.value,
                &key.at,
                "write each box's own key, as \"key show\" prints it there",
                problems,
            );
        }
        let (mut links, mut paths) = (Once::new(), Once::new());
        for interface in &member.interfaces {
            if let Some(name) = &interface.name {
                let fix = "give each interface of a member a name of its own";
                links.take(format!("\"{}\"", name.value), &name.at, fix, problems);
            }
            if let Some(path) = &interface.path {
                paths.take(&path.value, &path.at, "write each port's own address", problems);
            }
            // A bond's port is in no other bond, and no interface of its own.
            let in_bond = interface.bond.iter().flat_map(|bond| &bond.ports.items);
            for mac in interface.mac.iter().chain(in_bond) {
                macs.take(mac.value, &mac.at, "write each port's own MAC", problems);
            }
            for address in &interface.addresses.items {
                let fix = "give each interface an address of its own";
                addresses.take(address.value.address(), &address.at, fix, problems);
            }
        }
    }
}

/// A box finds itself by its serial number or by a MAC; a bus address is the same in every box of a kind.
fn identifiable(member: &MemberDraft, problems: &mut Problems) {
    let by_path = |one: &InterfaceDraft| one.path.is_some() && one.mac.is_none() && one.bond.is_none();
    let carried = || member.interfaces.iter().filter(|one| one.vlan.is_none());
    if member.serial.is_none() && carried().next().is_some() && carried().all(by_path) {
        problems.add(
            &member.at,
            "has neither a serial number nor a MAC, so that no box can find itself in it",
            "write serial = \"…\", or mac instead of path at an interface",
        );
    }
}

/// One logical name is one segment, so its interfaces share a subnet.
fn one_segment_per_name(draft: &Draft, problems: &mut Problems) {
    let mut first: BTreeMap<&LinkName, (String, &InterfaceDraft)> = BTreeMap::new();
    for member in &draft.members {
        for interface in member.interfaces.iter().filter(|interface| !interface.addresses.items.is_empty()) {
            let Some(name) = &interface.name else { continue };
            let (other, there) = first.entry(&name.value).or_insert_with(|| (member.shown(), interface));
            let shared = interface.addresses.items.iter().any(|own| {
                there.addresses.items.iter().any(|theirs| theirs.value.network() == own.value.network())
            });
            if !shared && interface.addresses.complete && there.addresses.complete {
                let own = &interface.addresses.items[0];
                problems.add(
                    &own.at,
                    format!("{} shares no subnet with {other} on \"{}\"", own.value, name.value),
                    "give one name to one segment: correct the address or its prefix length, or the name",
                );
            }
        }
    }
}

/// Two ports in one subnet answer each other's ARP requests.
fn subnets_apart(member: &MemberDraft, problems: &mut Problems) {
    for (index, interface) in member.interfaces.iter().enumerate() {
        for other in &member.interfaces[..index] {
            for own in &interface.addresses.items {
                let overlap = other.addresses.items.iter().find(|theirs| {
                    let (a, b) = (theirs.value, own.value);
                    a.address() != b.address() && (a.contains(b.address()) || b.contains(a.address()))
                });
                if let Some(theirs) = overlap {
                    problems.add(
                        &own.at,
                        format!("{} overlaps {} at {}", own.value.network(), theirs.value, theirs.at.path),
                        "give each interface of a member a subnet of its own",
                    );
                }
            }
        }
    }
}

/// One for each family.
fn one_gateway(member: &MemberDraft, problems: &mut Problems) {
    for ipv4 in [true, false] {
        let gateways = member.interfaces.iter().flat_map(|interface| &interface.gateways.items);
        let mut gateways = gateways.filter(|gateway| gateway.value.is_ipv4() == ipv4);
        let Some(first) = gateways.next() else { continue };
        for further in gateways {
            problems.add(
                &further.at,
                format!("{} is a second default gateway beside {}", further.value, first.at.path),
                "keep one, and write routes = [{ to = …, via = … }] for what goes elsewhere",
            );
        }
    }
}

/// Gateways and the next hops of routes must be neighbours.
fn next_hops(interface: &InterfaceDraft, problems: &mut Problems) {
    for gateway in &interface.gateways.items {
        neighbour(interface, gateway, problems);
    }
    let mut destinations = Once::new();
    for route in &interface.routes {
        if let Some(via) = &route.via {
            neighbour(interface, via, problems);
        }
        let Some(to) = &route.to else { continue };
        destinations.take(to.value, &to.at, "keep one of them", problems);
        if let Some(via) =
            route.via.as_ref().filter(|via| via.value.is_ipv4() != to.value.address().is_ipv4())
        {
            let what = format!("{} and {} are of different families", via.value, to.value);
            problems.add(&via.at, what, "write a router's address of the destination's family");
        }
        if to.value.prefix() == 0 {
            problems.add(&to.at, "is the default route", "write gateway = \"…\" instead");
        }
        if interface.addresses.items.iter().any(|own| own.value.network() == to.value) {
            problems.add(&to.at, format!("{} is the interface's own subnet", to.value), "remove the route");
        }
    }
}

fn neighbour(interface: &InterfaceDraft, hop: &Written<IpAddr>, problems: &mut Problems) {
    let address = hop.value;
    // A link-local router is a neighbour on whatever link it is named for, and IPv6's usual one.
    if matches!(address, IpAddr::V6(router) if router.is_unicast_link_local()) {
        return;
    }
    let subnets: Vec<Cidr> = interface.addresses.items.iter().map(|own| own.value).collect();
    let what = if subnets.iter().any(|own| own.address() == address) {
        "is this interface's own address".to_owned()
    } else if subnets.iter().any(|own| is_network(*own, hop.value) || is_broadcast(*own, hop.value)) {
        "is the network's own or its broadcast address".to_owned()
    } else if interface.addresses.complete && !subnets.iter().any(|own| own.contains(address)) {
        match subnets.iter().find(|own| own.address().is_ipv4() == address.is_ipv4()) {
            Some(own) => format!("lies outside {}", own.network()),
            None if subnets.is_empty() => "cannot be reached: the interface has no address".to_owned(),
            None => format!("cannot be reached: the interface has no {} address", Family::of(address)),
        }
    } else {
        return;
    };
    problems.add(
        &hop.at,
        format!("{} {what}", hop.value),
        "write a router's address in the interface's subnet",
    );
}
