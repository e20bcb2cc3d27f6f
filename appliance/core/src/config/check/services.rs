//! What `[[service]]` sections may say: about each other, about the virtual routers that hold their addresses and about
//! the members and other boxes that serve them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Lookup, Once, addressed, of_family};
use crate::config::draft::{CheckDraft, Draft, Role, ServerDraft, ServiceDraft, VrrpDraft};
use crate::config::duration::render;
use crate::config::problem::{Problems, Written};
use crate::config::types::{Family, LinkName, MemberName};
use crate::config::{CheckKind, Protocol};

/// ipvsadm's own limit of a persistence timeout.
const LONGEST_PERSISTENCE: Duration = Duration::from_secs(31 * 86_400);
/// More often would be load, not knowledge.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// The longest time a check may be told to take or to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

pub(super) fn check(draft: &Draft, problems: &mut Problems) {
    let (mut names, mut sockets) = (Once::new(), Once::new());
    for service in &draft.services {
        if let Some(name) = &service.name {
            let fix = "give each service a name of its own";
            names.take(format!("\"{}\"", name.value), &name.at, fix, problems);
        }
        if let (Some(address), Some(port), Some(protocol)) =
            (&service.address, &service.port, &service.protocol)
        {
            let socket = format!("{} {}", protocol.value, SocketAddr::new(address.value, port.value));
            sockets.take(socket, &port.at, "write each address, port and protocol in one service", problems);
        }
        persistence(service, problems);
        health(service, problems);
        servers(draft, service, problems);
    }
}

/// The virtual router that holds an address.
pub(super) fn router_of(draft: &Draft, address: IpAddr) -> Option<&VrrpDraft> {
    draft.vrrp.iter().find(|router| router.addresses.items.iter().any(|own| own.value.address() == address))
}

fn persistence(service: &ServiceDraft, problems: &mut Problems) {
    let Some(time) = &service.persistence else { return };
    let whole = time.value.subsec_nanos() == 0 && !time.value.is_zero();
    if !whole || time.value > LONGEST_PERSISTENCE {
        problems.add(
            &time.at,
            format!("{} cannot be kept by IPVS", render(time.value)),
            format!("write whole seconds from 1s to {}, or omit it for none", render(LONGEST_PERSISTENCE)),
        );
    }
}

fn health(service: &ServiceDraft, problems: &mut Problems) {
    let udp = service.protocol.as_ref().is_some_and(|protocol| protocol.value == Protocol::Udp);
    let Some(check) = &service.check else {
        if udp {
            problems.add(
                &service.at,
                "has no check, and a UDP port cannot be checked in this version",
                "write [service.check] with kind = \"none\", or with kind = \"tcp\" and the port that tells",
            );
        }
        return;
    };
    match &check.kind {
        Some(Written { value: Some(CheckKind::Tcp), at }) if udp && check.port.is_none() => problems.add(
            at,
            "a TCP connection says nothing about a UDP port",
            "write kind = \"none\", or port = the TCP port that tells",
        ),
        _ => times(check, problems),
    }
}

fn times(check: &CheckDraft, problems: &mut Problems) {
    for (time, least) in [
        (&check.interval, SHORTEST_INTERVAL),
        (&check.timeout, Duration::from_millis(1)),
        (&check.retry_delay, Duration::ZERO),
    ] {
        let Some(time) = time else { continue };
        if !(least..=LONGEST_WAIT).contains(&time.value) {
            problems.add(
                &time.at,
                format!("{} is out of range", render(time.value)),
                format!("write {} to {}", render(least), render(LONGEST_WAIT)),
            );
        }
    }
}

fn servers(draft: &Draft, service: &ServiceDraft, problems: &mut Problems) {
    let segment = segment(draft, service, problems);
    let mut seen = Once::new();
    for server in &service.servers {
        if let Some(member) = &server.member {
            seen.take(member.value.to_string(), &member.at, "write each server once", problems);
            member_server(draft, member, service.address.as_ref(), segment, problems);
        }
        if let Some(address) = &server.address {
            seen.take(address.value.to_string(), &address.at, "write each server once", problems);
            foreign_server(draft, address, segment, problems);
        }
        if let (Some(port), Some(own)) = (&server.port, &service.port)
            && port.value != own.value
        {
            problems.add(
                &port.at,
                format!("direct routing cannot turn port {} into {}", own.value, port.value),
                "remove it: the server listens on the service's own port",
            );
        }
    }
    all_weights_zero(&service.servers, problems);
}

/// The interface on whose segment the service's address lives. Tells when no virtual router holds the address.
fn segment<'d>(
    draft: &'d Draft,
    service: &ServiceDraft,
    problems: &mut Problems,
) -> Option<&'d Written<LinkName>> {
    let address = service.address.as_ref()?;
    if let Some(router) = router_of(draft, address.value) {
        return router.interface.as_ref();
    }
    if draft.vrrp_complete && draft.vrrp.iter().all(|router| router.addresses.complete) {
        problems.add(
            &address.at,
            format!("{} is no virtual router's address", address.value),
            "write it among a [[vrrp]] section's virtual-addresses",
        );
    }
    None
}

fn member_server(
    draft: &Draft,
    name: &Written<MemberName>,
    address: Option<&Written<IpAddr>>,
    segment: Option<&Written<LinkName>>,
    problems: &mut Problems,
) {
    let member = match draft.member(&name.value) {
        Lookup::Found(member) => member,
        Lookup::Missing => {
            let fix = "write a member's name, or address = \"…\" for a box that is none";
            problems.add(&name.at, format!("no member is called {}", name.value), fix);
            return;
        }
        Lookup::Unclear => return,
    };
    if !member.is(Role::RealServer) && member.roles.complete {
        let fix = "write \"real-server\" among its roles, or remove it here";
        problems.add(&name.at, format!("{} is not a real server", name.value), fix);
    }
    // A director's interface was asked for by the virtual router.
    if let Some(segment) = segment.filter(|_| !member.is(Role::Director)) {
        addressed(
            member,
            &Written { value: segment.value.clone(), at: name.at.clone() },
            "a real server",
            problems,
        );
        if let Some(address) = address {
            of_family(member, &segment.value, Family::of(address.value), &name.at, "a real server", problems);
        }
    }
}

fn foreign_server(
    draft: &Draft,
    server: &Written<IpAddr>,
    segment: Option<&Written<LinkName>>,
    problems: &mut Problems,
) {
    let address = server.value;
    if router_of(draft, server.value).is_some() {
        problems.add(
            &server.at,
            format!("{address} is a virtual address"),
            "write the address of the box that serves",
        );
        return;
    }
    let owner = draft.members.iter().find(|member| {
        let mut own = member.interfaces.iter().flat_map(|interface| &interface.addresses.items);
        own.any(|own| own.value.address() == address)
    });
    if let Some(owner) = owner {
        problems.add(
            &server.at,
            format!("{address} is {}'s own", owner.shown()),
            format!("write member = \"{}\"", owner.shown()),
        );
        return;
    }
    let Some(segment) = segment else { return };
    let interfaces: Vec<_> = draft
        .members
        .iter()
        .filter(|member| member.is(Role::Director))
        .filter_map(|member| match member.interface(&segment.value) {
            Lookup::Found(interface) => Some(interface),
            Lookup::Missing | Lookup::Unclear => None,
        })
        .collect();
    let reachable = interfaces
        .iter()
        .all(|interface| interface.addresses.items.iter().any(|own| own.value.contains(address)));
    if !reachable && interfaces.iter().all(|interface| interface.addresses.complete) {
        problems.add(
            &server.at,
            format!("{address} is in no subnet of \"{}\" on every director", segment.value),
            "write a box on that segment: direct routing crosses no router",
        );
    }
}

fn all_weights_zero(servers: &[ServerDraft], problems: &mut Problems) {
    let Some(first) = servers.first().and_then(|server| server.weight.as_ref()) else { return };
    let zero = |server: &ServerDraft| server.weight.as_ref().is_some_and(|weight| weight.value.0 == 0);
    if servers.iter().all(zero) {
        problems.add(&first.at, "every server has the weight 0", "give one server a weight of 1 or more");
    }
}
