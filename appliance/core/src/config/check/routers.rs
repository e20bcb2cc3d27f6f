//! What `[[vrrp]]` sections may say: about each other, about the members that run them, and what each version of the
//! protocol can carry.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::{Lookup, Once, addressed, of_family};
use crate::config::VrrpVersion;
use crate::config::address::{is_broadcast, is_network};
use crate::config::draft::{Draft, MemberDraft, Role, VrrpDraft};
use crate::config::duration::render;
use crate::config::problem::{Place, Problems};
use crate::config::types::{Cidr, Family, InstanceId, LinkName};

pub(super) fn check(draft: &Draft, problems: &mut Problems) {
    let own = own_addresses(draft);
    let (mut ids, mut virtuals) = (Once::new(), Once::new());
    for router in &draft.vrrp {
        if let (Some(vrid), Some(interface)) = (&router.id, &router.interface) {
            let id = InstanceId { interface: interface.value.clone(), vrid: vrid.value };
            ids.take(
                id,
                &vrid.at,
                "give each virtual router on an interface an id of its own, whatever its family",
                problems,
            );
        }
        for address in &router.addresses.items {
            let fix = "write each virtual address once";
            virtuals.take(address.value.address(), &address.at, fix, problems);
        }
        on_every_director(draft, router, problems);
        virtual_addresses(draft, router, &own, problems);
        one_family(router, problems);
        priorities(draft, router, problems);
        timing(router, problems);
        version(router, problems);
    }
}

/// Every member's own addresses, and where they are written.
fn own_addresses(draft: &Draft) -> BTreeMap<IpAddr, &Place> {
    let interfaces = draft.members.iter().flat_map(|member| &member.interfaces);
    interfaces
        .flat_map(|interface| &interface.addresses.items)
        .map(|own| (own.value.address(), &own.at))
        .collect()
}

fn directors(draft: &Draft) -> impl Iterator<Item = &MemberDraft> {
    draft.members.iter().filter(|member| member.is(Role::Director))
}

fn on_every_director(draft: &Draft, router: &VrrpDraft, problems: &mut Problems) {
    if let Some(name) = &router.interface {
        for member in directors(draft) {
            addressed(member, name, "a director", problems);
            if let Some(first) = router.addresses.items.first() {
                let family = Family::of(first.value.address());
                of_family(member, &name.value, family, &first.at, "a director", problems);
            }
        }
    }
    let roles_known = !draft.members.is_empty()
        && draft.members.iter().all(|m| m.roles.complete && !m.roles.items.is_empty());
    if roles_known && directors(draft).next().is_none() {
        problems.add(&router.at, "no member is a director", "write \"director\" among a member's roles");
    }
}

/// IPv6 addresses that an advertisement can list without being fragmented at an MTU of 1500 bytes, behind 40 of IPv6
/// and 8 of VRRP.
const MOST_IPV6: usize = (1_500 - 40 - 8) / 16;

/// A virtual router speaks one family and holds addresses of no other (RFC 9568 §1.1). Over IPv6 there is version 3 only,
/// with one way to compute the checksum. RFC 9568 §5.2.9 wants a link-local address first in the list; here one may be
/// left out, since only a router that hosts use as their gateway needs it.
fn one_family(router: &VrrpDraft, problems: &mut Problems) {
    let Some(first) = router.addresses.items.first() else { return };
    let family = Family::of(first.value.address());
    for other in router.addresses.items.iter().filter(|other| Family::of(other.value.address()) != family) {
        problems.add(
            &other.at,
            format!("{} is not an {family} address as {} is", other.value.address(), first.value.address()),
            "write a [[vrrp]] section of its own for each family",
        );
    }
    if family == Family::Ipv4 {
        return;
    }
    let link_local = |address: IpAddr| matches!(address, IpAddr::V6(a) if a.is_unicast_link_local());
    for late in router.addresses.items.iter().skip(1).filter(|late| link_local(late.value.address())) {
        let what = format!("{} is link-local and not the first", late.value.address());
        problems.add(&late.at, what, "write it first, or leave it out");
    }
    if let Some(extra) = router.addresses.items.get(MOST_IPV6) {
        let what = format!("is the {}th; an advertisement with it does not fit into a frame", MOST_IPV6 + 1);
        problems.add(&extra.at, what, "write a further [[vrrp]] section");
    }
    if let Some(version) = router.version.as_ref().filter(|version| version.value == VrrpVersion::V2) {
        problems.add(&version.at, "VRRP version 2 knows no IPv6", "write version = 3");
    }
    if let Some(pseudo) = router.pseudo_header.as_ref().filter(|pseudo| pseudo.value) {
        let what = "over IPv6 the checksum always has a pseudo-header";
        problems.add(&pseudo.at, what, "remove it");
    }
}

fn virtual_addresses(
    draft: &Draft,
    router: &VrrpDraft,
    own: &BTreeMap<IpAddr, &Place>,
    problems: &mut Problems,
) {
    // The advertisement counts them in one octet (RFC 9568 §5.2.5).
    if let Some(extra) = router.addresses.items.get(255) {
        problems.add(&extra.at, "is the 256th of this virtual router", "write a further [[vrrp]] section");
    }
    for address in &router.addresses.items {
        let bare = address.value.address();
        if let Some(place) = own.get(&bare) {
            problems.add(
                &address.at,
                format!("{bare} is a member's own address, at {}", place.path),
                "write an address that no box has",
            );
        }
        let gateway_of = directors(draft).find(|member| {
            let mut gateways = member.interfaces.iter().flat_map(|interface| &interface.gateways.items);
            gateways.any(|gateway| gateway.value == bare)
        });
        if let Some(member) = gateway_of {
            problems.add(
                &address.at,
                format!("{bare} is the gateway of {}, a director", member.shown()),
                "write an address that no router has",
            );
        }
        let mut subnets = router.interface.iter().flat_map(|name| subnets(draft, &name.value));
        if let Some(subnet) = subnets.find(|own| is_network(*own, bare) || is_broadcast(*own, bare)) {
            problems.add(
                &address.at,
                format!("{bare} is the first or last address of {}", subnet.network()),
                "write an address between them",
            );
        }
    }
}

/// The directors' subnets on the segment `name`.
fn subnets(draft: &Draft, name: &LinkName) -> impl Iterator<Item = Cidr> {
    directors(draft)
        .filter_map(move |member| match member.interface(name) {
            Lookup::Found(interface) => Some(interface),
            Lookup::Missing | Lookup::Unclear => None,
        })
        .flat_map(|interface| interface.addresses.items.iter().map(|own| own.value))
}

fn priorities(draft: &Draft, router: &VrrpDraft, problems: &mut Problems) {
    for (name, _) in &router.priorities {
        match draft.member(&name.value) {
            Lookup::Found(member) if member.roles.complete && !member.is(Role::Director) => problems.add(
                &name.at,
                format!("{} is not a director", name.value),
                "remove it, or write \"director\" among its roles",
            ),
            Lookup::Missing => {
                problems.add(&name.at, format!("no member is called {}", name.value), "write a member's name")
            }
            Lookup::Found(_) | Lookup::Unclear => {}
        }
    }
}

fn timing(router: &VrrpDraft, problems: &mut Problems) {
    if let (Some(version), Some(interval)) = (&router.version, &router.advert_interval) {
        let millis = interval.value.as_millis();
        // v2 counts seconds in an octet (RFC 3768 §5.3.7), v3 centiseconds in twelve bits (RFC 9568 §5.2.7).
        let (step, most, fix) = match version.value {
            VrrpVersion::V2 => (1_000, 255_000, "write whole seconds from 1s to 255s, or version = 3"),
            VrrpVersion::V3 => (10, 40_950, "write 10ms to 40950ms in steps of 10ms"),
        };
        if millis < step || millis > most || !millis.is_multiple_of(step) {
            let what = format!("{} cannot be told in this version of VRRP", render(interval.value));
            problems.add(&interval.at, what, fix);
        }
    }
    let Some(delay) = &router.preempt_delay else { return };
    if delay.value > Duration::from_secs(1_000) {
        problems.add(&delay.at, format!("{} is too long", render(delay.value)), "write 1000s at most");
    }
    if router.preempt.as_ref().is_some_and(|preempt| !preempt.value) && !delay.value.is_zero() {
        problems.add(&delay.at, "delays what preempt = false forbids", "remove one of the two");
    }
}

fn version(router: &VrrpDraft, problems: &mut Problems) {
    let Some(version) = &router.version else { return };
    if let (VrrpVersion::V3, Some(password)) = (version.value, &router.authentication) {
        let fix = "remove it, or write version = 2";
        problems.add(&password.at, "VRRP version 3 has no authentication", fix);
    }
    if let (VrrpVersion::V2, Some(pseudo)) =
        (version.value, router.pseudo_header.as_ref().filter(|p| p.value))
    {
        let fix = "remove it, or write version = 3";
        problems.add(&pseudo.at, "VRRP version 2 has no pseudo-header in its checksum", fix);
    }
}
