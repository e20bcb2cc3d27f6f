//! Links, addresses and routes of this box. Decides which addresses it holds; never how packets are balanced.

use crate::config::types::Cidr;

use super::state::{Address, AddressRole, Link, Route};
use super::{Perspective, Plan};

pub(super) fn plan(box_: &Perspective<'_>, plan: &mut Plan) {
    own(box_, plan);
    lent(box_, plan);
    virtual_addresses(box_, plan);
    served(box_, plan);
}

/// The box's own interfaces, addresses and routes: as the document says.
fn own(box_: &Perspective<'_>, plan: &mut Plan) {
    for interface in box_.me.interfaces.values() {
        let name = &interface.name;
        // A new VLAN takes its carrier's MTU, but does not follow it later.
        let mtu = interface.mtu.or_else(|| box_.me.carrier(name)?.mtu);
        plan.state.links.insert(name.clone(), Link { device: interface.device.clone(), mtu });
        plan.because(format!("link {name}"), interface.device.to_string());
        for &cidr in &interface.addresses {
            plan.state.addresses.insert(Address { link: Some(name.clone()), cidr, role: AddressRole::Own });
            plan.because(format!("address {cidr} on {name}"), format!("{}'s own", box_.me.name));
        }
        for &gateway in &interface.gateways {
            let to = Cidr::host(gateway).everything();
            plan.state.routes.insert(Route { to, via: gateway, link: name.clone() });
            plan.because(format!("route {to} via {gateway}"), format!("gateway of {name}"));
        }
        for route in &interface.routes {
            plan.state.routes.insert(Route { to: route.to, via: route.via, link: name.clone() });
            plan.because(format!("route {} via {}", route.to, route.via), format!("a route of {name}"));
        }
    }
}

/// What DHCP servers lent. A gateway of theirs counts where the document names none, and of several the first link's.
fn lent(box_: &Perspective<'_>, plan: &mut Plan) {
    let gateways = box_.me.interfaces.values().flat_map(|interface| &interface.gateways);
    let mut has_gateway = gateways.into_iter().any(|gateway| gateway.is_ipv4());
    for (name, lease) in &box_.view.leases {
        let cidr = lease.address;
        plan.state.addresses.insert(Address { link: Some(name.clone()), cidr, role: AddressRole::Own });
        plan.because(format!("address {cidr} on {name}"), format!("lent by DHCP server {}", lease.server));
        let Some(via) = lease.gateway else { continue };
        let to = Cidr::host(via).everything();
        if !std::mem::replace(&mut has_gateway, true) {
            plan.state.routes.insert(Route { to, via, link: name.clone() });
            plan.because(format!("route {to} via {via}"), format!("told by DHCP server {}", lease.server));
        } else {
            plan.because(format!("no route {to} via {via}"), "there is another default gateway");
        }
    }
    let asking = box_.me.interfaces.values().filter(|i| i.dhcp && !box_.view.leases.contains_key(&i.name));
    for interface in asking {
        plan.because(format!("no IPv4 address on {}", interface.name), "no DHCP server has lent one");
    }
}

/// The virtual addresses that this box holds as master.
fn virtual_addresses(box_: &Perspective<'_>, plan: &mut Plan) {
    for instance in box_.instances() {
        let link = &instance.id.interface;
        for &vip in &instance.addresses {
            if !box_.is_master(&instance.id) {
                plan.because(
                    format!("no address {} on {link}", vip.address()),
                    format!("{} is not master", instance.id),
                );
                continue;
            }
            let cidr = on_the_wire(box_, link, vip);
            plan.state.addresses.insert(Address {
                link: Some(link.clone()),
                cidr,
                role: AddressRole::Virtual,
            });
            plan.because(format!("address {cidr} on {link}"), format!("master of {}", instance.id));
        }
    }
}

/// A virtual address takes its prefix only where the box has no address of its own in that subnet. Otherwise it is
/// added as a host address: as a further address of the subnet the kernel would make it the primary one when the own
/// address is ever removed and added again, and the box would then speak to everyone from the VIP.
fn on_the_wire(box_: &Perspective<'_>, link: &crate::config::types::LinkName, vip: Cidr) -> Cidr {
    let own = box_.me.interfaces.get(link).map(|i| i.addresses.as_slice()).unwrap_or_default();
    if own.iter().any(|a| a.contains(vip.address())) { Cidr::host(vip.address()) } else { vip }
}

/// The real-server part: the VIP on the loopback as a host address, in every VRRP state, so that what a director
/// forwards is accepted here and no transition has to add it.
fn served(box_: &Perspective<'_>, plan: &mut Plan) {
    for service in box_.config.services.values().filter(|s| box_.serves(s)) {
        let cidr = Cidr::host(service.address);
        let address = Address { link: None, cidr, role: AddressRole::Served };
        if plan.state.addresses.insert(address) {
            plan.because(format!("address {cidr} on lo"), format!("real server of service {}", service.name));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{View, plan};
    use crate::config::check::check;

    #[test]
    fn a_vlan_without_an_mtu_has_its_carriers() {
        let document = include_str!("../../../../examples/vlan-on-bond.toml");
        for (document, expected) in [(document.to_owned(), 1500), (document.replace("mtu = 1500", ""), 9000)]
        {
            let plan = plan(&check(&document).unwrap(), &"castor".parse().unwrap(), &View::default());
            assert_eq!(plan.state.links[&"lan".parse().unwrap()].mtu, Some(expected));
            let why = |item: &str| plan.reasons.iter().find(|r| r.item == item).map(|r| r.why.as_str());
            assert_eq!(why("link lan"), Some("VLAN 20 on trunk"));
            let bond = "active-backup bond of 52:54:00:00:00:0a and 52:54:00:00:00:1a";
            assert_eq!(why("link trunk"), Some(bond));
        }
    }
}
