//! The document's sections, key by key: which there are, which are required, what they default to, and which a later
//! version will know.

use std::net::IpAddr;
use std::time::Duration;

use super::values::{
    bus_address, host, host_with_prefix, link_name, member_name, own_with_prefix, password, port, port_mac,
    printable, priority, reachable, schema, subnet,
};
use super::{
    AdminDraft, BondDraft, CheckDraft, ClusterDraft, Draft, InterfaceDraft, List, MemberDraft, ObserveDraft,
    ProbeDraft, Role, RouteDraft, SCHEDULERS, ServerDraft, ServiceDraft, Strategy, VlanDraft, VrrpDraft,
};
use crate::config::reader::Table;
use crate::config::scalar::{boolean, number, one_of, parsed, time};
use crate::config::types::{Priority, VlanId, Vrid, Weight};
use crate::config::{BondMode, Check, CheckKind, Fallback, Forwarding, Probing, Protocol, VrrpVersion};

/// The root table.
pub(super) fn document(root: &mut Table<'_, '_>) -> Draft {
    root.require(&[("schema", "1"), ("cluster", "[]"), ("member", "[[]]")]);
    root.read("schema", schema);
    root.later(&["log", "mail"]);
    root.not_empty("member", "write a [[member]] section for each box");
    Draft {
        cluster: root.table("cluster", cluster),
        members: root.tables("member", member),
        vrrp_complete: root.only_tables("vrrp"),
        vrrp: root.tables("vrrp", vrrp),
        services: root.tables("service", service),
        observe: root.table("observe", observe),
        dns: root.table("dns", |table| asked(table, "servers")).unwrap_or_default(),
        ntp: root.table("time", |table| asked(table, "ntp")).unwrap_or_default(),
        admin: root.table("admin", admin),
    }
}

fn cluster(table: &mut Table<'_, '_>) -> ClusterDraft {
    table.require(&[("name", "\"store-0417\""), ("revision", "1")]);
    table.later(&["peer-port"]);
    let storm = table.read_or("storm", Strategy::Weights, |value| {
        one_of(value, &Strategy::ALL.map(|strategy| (strategy.word(), strategy)), &[])
    });
    if storm.as_ref().is_some_and(|storm| storm.value == Strategy::SecondNic) {
        table.require(&[("forward-interface", "\"back\"")]);
    }
    ClusterDraft {
        name: table.read("name", |value| printable(value, 63)),
        revision: table.read("revision", |value| number(value, 1, i64::MAX).map(i64::unsigned_abs)),
        storm,
        probe: table.table("probe", probe),
        forward_interface: table.read("forward-interface", link_name),
        forward_fallback: table.read("forward-fallback", |value| {
            one_of(value, &[("refuse", Fallback::Refuse), ("lan", Fallback::Lan)], &[])
        }),
        forward_at: table.has("forward-interface").then(|| table.place("forward-interface")),
        sync_interface: table.read("sync-interface", parsed),
    }
}

fn probe(table: &mut Table<'_, '_>) -> ProbeDraft {
    let default = Probing::default();
    let interval = table.read_or("interval", default.interval, time);
    let timeout = interval.as_ref().map_or(default.timeout, |interval| default.timeout.min(interval.value));
    ProbeDraft {
        at: table.at(),
        interval,
        timeout: table.read_or("timeout", timeout, time),
        count: table.read_or("count", default.count, |value| number(value, 1, 100)),
    }
}

fn member(table: &mut Table<'_, '_>) -> MemberDraft {
    table.require(&[
        ("name", "\"castor\""),
        ("roles", "[\"director\", \"real-server\"]"),
        ("interface", "[[]]"),
    ]);
    table.not_empty("roles", "write \"director\", \"real-server\" or both");
    table.not_empty("interface", "write a [[member.interface]] section for each port");
    MemberDraft {
        at: table.at(),
        name: table.read("name", member_name),
        roles: table.list("roles", |value| {
            one_of(value, &[("director", Role::Director), ("real-server", Role::RealServer)], &[])
        }),
        priority: table.read_or(
            "priority",
            Priority::new(100).expect("100 lies between 1 and 254"),
            priority,
        ),
        serial: table.read("serial", |value| printable(value, 128)),
        key: table.read("key", parsed),
        interfaces: table.tables("interface", interface),
    }
}

fn interface(table: &mut Table<'_, '_>) -> InterfaceDraft {
    table.require(&[("name", "\"lan\"")]);
    table.exactly_one(&["mac", "path", "vlan", "bond"], "mac = \"52:54:00:00:00:0a\"");
    InterfaceDraft {
        at: table.at(),
        name: table.read("name", link_name),
        mac: table.read("mac", port_mac),
        path: table.read("path", bus_address),
        vlan: table.table("vlan", vlan),
        bond: table.table("bond", bond),
        addresses: table.list("addresses", own_with_prefix),
        dhcp: table.read_or("dhcp", false, boolean),
        gateways: table.one_or_list("gateway", host),
        // IPv4's least (RFC 791 §3.2) to the largest datagram.
        mtu: table.read("mtu", |value| number(value, 576, 65_535)),
        routes: table.tables("routes", |table| {
            table.require(&[("to", "\"10.0.0.0/8\""), ("via", "\"192.168.0.2\"")]);
            RouteDraft { to: table.read("to", subnet), via: table.read("via", host) }
        }),
    }
}

fn vlan(table: &mut Table<'_, '_>) -> VlanDraft {
    table.require(&[("parent", "\"trunk\""), ("id", "20")]);
    VlanDraft {
        at: table.at(),
        parent: table.read("parent", link_name),
        id: table.read("id", |value| {
            number(value, 1, 4094).map(|id| VlanId::new(id).expect("the range is the type's own"))
        }),
    }
}

fn bond(table: &mut Table<'_, '_>) -> BondDraft {
    table.require(&[
        ("ports", "[\"52:54:00:00:00:0a\", \"52:54:00:00:00:0b\"]"),
        ("mode", "\"active-backup\""),
    ]);
    table.not_empty("ports", "write the MACs of the ports that it is made of");
    BondDraft {
        ports: table.list("ports", port_mac),
        mode: table.read("mode", |value| {
            one_of(value, &BondMode::ALL.map(|mode| (mode.word(), mode)), &["broadcast", "balance-alb"])
        }),
    }
}

fn vrrp(table: &mut Table<'_, '_>) -> VrrpDraft {
    table.require(&[("id", "51"), ("interface", "\"lan\""), ("virtual-addresses", "[\"192.168.0.239/24\"]")]);
    table.later(&["unicast", "group"]);
    table.not_empty("virtual-addresses", "write at least one, such as \"192.168.0.239/24\"");
    VrrpDraft {
        at: table.at(),
        id: table.read("id", |value| {
            number(value, 1, 255).map(|id: u8| Vrid::new(id).expect("the range leaves out 0"))
        }),
        interface: table.read("interface", link_name),
        version: table.read_or("version", VrrpVersion::V3, |value| {
            number(value, 2u8, 3).map(|version| match version {
                2 => VrrpVersion::V2,
                _ => VrrpVersion::V3,
            })
        }),
        advert_interval: table.read_or("advert-interval", Duration::from_secs(1), time),
        addresses: table.list("virtual-addresses", host_with_prefix),
        priorities: table.map("priority", priority),
        preempt: table.read_or("preempt", true, boolean),
        preempt_delay: table.read_or("preempt-delay", Duration::ZERO, time),
        authentication: table.read("authentication", password),
        pseudo_header: table.read_or("pseudo-header", false, boolean),
    }
}

fn service(table: &mut Table<'_, '_>) -> ServiceDraft {
    table.require(&[
        ("name", "\"pos\""),
        ("address", "\"192.168.0.239\""),
        ("port", "8898"),
        ("server", "[[]]"),
    ]);
    table.not_empty("server", "write a [[service.server]] section for each real server");
    ServiceDraft {
        at: table.at(),
        name: table.read("name", parsed),
        address: table.read("address", reachable),
        port: table.read("port", port),
        protocol: table.read_or("protocol", Protocol::Tcp, |value| {
            one_of(value, &[("tcp", Protocol::Tcp), ("udp", Protocol::Udp)], &["sctp"])
        }),
        forwarding: table.read_or("forwarding", Forwarding::Direct, |value| {
            one_of(value, &[("direct", Forwarding::Direct)], &["nat", "tunnel"])
        }),
        scheduler: table
            .read_or("scheduler", "rr", |value| one_of(value, &SCHEDULERS.map(|name| (name, name)), &[])),
        persistence: table.read("persistence", time),
        check: table.table("check", check),
        servers: table.tables("server", server),
    }
}

fn check(table: &mut Table<'_, '_>) -> CheckDraft {
    table.require(&[("kind", "\"tcp\"")]);
    let usual = Check::default();
    CheckDraft {
        at: table.at(),
        kind: table.read("kind", |value| {
            let later = ["http", "https", "dns", "udp", "smtp", "ping"];
            one_of(value, &[("tcp", Some(CheckKind::Tcp)), ("none", None)], &later)
        }),
        port: table.read("port", port),
        interval: table.read_or("interval", usual.interval, time),
        timeout: table.read_or("timeout", usual.timeout, time),
        retries: table.read_or("retries", usual.retries, |value| number(value, 0, 100)),
        retry_delay: table.read_or("retry-delay", usual.retry_delay, time),
    }
}

fn server(table: &mut Table<'_, '_>) -> ServerDraft {
    table.exactly_one(&["member", "address"], "member = \"castor\"");
    ServerDraft {
        at: table.at(),
        member: table.read("member", member_name),
        address: table.read("address", reachable),
        port: table.read("port", port),
        weight: table.read_or("weight", Weight(1), |value| number(value, 0, u16::MAX).map(Weight)),
    }
}

fn admin(table: &mut Table<'_, '_>) -> AdminDraft {
    table.require(&[("password", "\"$argon2id$…\"")]);
    AdminDraft { password: table.read("password", parsed) }
}

fn observe(table: &mut Table<'_, '_>) -> ObserveDraft {
    table.require(&[("interface", "\"lan\"")]);
    ObserveDraft {
        interface: table.read("interface", link_name),
        port: table.read_or("port", 9780, port),
        allow: table.list("allow", subnet),
    }
}

/// Servers that the box asks, which its table is about.
fn asked(table: &mut Table<'_, '_>, key: &'static str) -> List<IpAddr> {
    table.require(&[(key, "[\"192.168.0.1\"]")]);
    table.not_empty(key, "write the servers' addresses, or remove the section");
    table.list(key, reachable)
}
