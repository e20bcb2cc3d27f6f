//! The script as people read it; that the kernel takes it is seen in `tests/live.rs`.

use std::collections::BTreeSet;

use halcyon_core::config::Protocol;
use halcyon_core::config::types::{Cidr, Mac};
use halcyon_core::plan::state::{Accept, Traffic};

use super::*;

fn cidrs(texts: &[&str]) -> BTreeSet<Cidr> {
    let parse = |text: &&str| {
        let (address, prefix) = text.split_once('/').unwrap();
        Cidr::new(address.parse().unwrap(), prefix.parse().unwrap()).unwrap()
    };
    texts.iter().map(parse).collect()
}

fn accept(link: Option<&str>, sources: &[&str], destinations: &[&str], traffic: Traffic) -> Accept {
    let link = link.map(|l| l.parse().unwrap());
    Accept { link, sources: cidrs(sources), destinations: cidrs(destinations), traffic }
}

fn two_directors() -> Ruleset {
    let tcp = |port| Traffic::Port(Protocol::Tcp, port);
    Ruleset {
        accepts: vec![
            accept(None, &[], &[], Traffic::Ping),
            accept(None, &[], &["192.0.2.100/32"], tcp(80)),
            accept(Some("lan"), &["192.0.2.2/32", "192.0.2.3/32"], &[], Traffic::Vrrp),
            accept(Some("lan"), &["192.0.2.2/32"], &[], Traffic::Sync),
            accept(None, &["192.0.2.2/32"], &["192.0.2.1/32"], tcp(80)),
            accept(Some("lan"), &["192.0.2.1/24", "192.0.2.9/32", "2001:db8::/64"], &[], tcp(9780)),
        ],
        refuses: vec![accept(None, &["192.0.2.2/32"], &["192.0.2.1/32"], tcp(80))],
        guarded: BTreeSet::from([
            ([192, 0, 2, 100].into(), Protocol::Tcp, 80),
            ([192, 0, 2, 100].into(), Protocol::Tcp, 443),
            ([192, 0, 2, 100].into(), Protocol::Udp, 53),
            ("2001:db8::100".parse().unwrap(), Protocol::Tcp, 80),
        ]),
        peers: BTreeSet::from([
            ("lan".parse().unwrap(), Mac([0x52, 0x54, 0, 0, 0, 0x0b])),
            ("lan".parse().unwrap(), Mac([0x52, 0x54, 0, 0, 0, 0x0c])),
            ("back".parse().unwrap(), Mac([0x52, 0x54, 0, 0, 0, 0x1b])),
        ]),
        member_addresses: BTreeSet::from([[192, 0, 2, 1].into(), [192, 0, 2, 2].into()]),
    }
}

#[test]
fn two_directors_guard_each_other() {
    let expected = "\
add table inet halcyon
flush table inet halcyon
table inet halcyon {
    counter delivered {
    }
    counter dropped {
    }
    chain origin {
        type filter hook prerouting priority -150; policy accept;
        iifname \"back\" @ll,48,48 0x52540000001b jump forwarded
        iifname \"lan\" @ll,48,48 { 0x52540000000b, 0x52540000000c } jump forwarded
    }
    chain forwarded {
        ip saddr { 192.0.2.1, 192.0.2.2 } return
        ip daddr 192.0.2.100 tcp dport { 80, 443 } counter name delivered meta mark set 7
        ip daddr 192.0.2.100 udp dport 53 counter name delivered meta mark set 7
        ip6 daddr 2001:db8::100 tcp dport 80 counter name delivered meta mark set 7
    }
    chain output {
        type filter hook output priority 0; policy accept;
        @ll,48,48 { 0x52540000000b, 0x52540000000c, 0x52540000001b } jump lastword
    }
    chain lastword {
        ip saddr { 192.0.2.1, 192.0.2.2 } return
        ip daddr 192.0.2.100 tcp dport { 80, 443 } counter name dropped drop
        ip daddr 192.0.2.100 udp dport 53 counter name dropped drop
        ip6 daddr 2001:db8::100 tcp dport 80 counter name dropped drop
    }
    chain input {
        type filter hook input priority 0; policy drop;
        iifname \"lo\" accept
        tcp flags & (fin | syn | rst | ack) != syn accept
        meta l4proto udp socket wildcard 0 accept
        icmp type { echo-reply, destination-unreachable, time-exceeded, parameter-problem } accept
        icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-reply, \
nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept
        ip protocol 2 accept
        ip saddr 192.0.2.2 ip daddr 192.0.2.1 tcp dport 80 reject with tcp reset
        icmp type echo-request accept
        icmpv6 type echo-request accept
        ip daddr 192.0.2.100 tcp dport 80 accept
        iifname \"lan\" ip saddr { 192.0.2.2, 192.0.2.3 } meta l4proto 112 accept
        iifname \"lan\" ip saddr 192.0.2.2 udp dport 8848 accept
        ip saddr 192.0.2.2 ip daddr 192.0.2.1 tcp dport 80 accept
        iifname \"lan\" ip saddr 192.0.2.0/24 tcp dport 9780 accept
        iifname \"lan\" ip6 saddr 2001:db8::/64 tcp dport 9780 accept
    }
}
";
    assert_eq!(render(&two_directors()), expected);
}

#[test]
fn families_that_do_not_meet_open_nothing() {
    let mut rules = Ruleset::default();
    let closed = render(&rules);
    rules.accepts.push(accept(
        None,
        &["192.0.2.2/32"],
        &["2001:db8::1/128"],
        Traffic::Port(Protocol::Tcp, 80),
    ));
    assert_eq!(render(&rules), closed);
}

#[test]
fn a_record_is_read_back_and_a_damaged_one_is_no_record() {
    let text = render(&two_directors());
    let known = parse_record(&format!("generation 42\n{text}")).unwrap();
    assert_eq!((known.generation, known.text), (42, text));
    for damaged in ["", "generation 42", "generation -1\nx", "42\nx", "generation 4294967296\n"] {
        assert_eq!(parse_record(damaged), None, "{damaged:?}");
    }
}

#[test]
fn a_program_that_cannot_run_or_refuses_is_told() {
    let missing = run(Path::new("/nonexistent/nft"), "").unwrap_err().to_string();
    assert!(missing.starts_with("packet rules: cannot run /nonexistent/nft: "), "{missing}");
    let refused = run(Path::new("/bin/false"), "").unwrap_err().to_string();
    assert!(refused.contains("nft refused them (exit status: 1)"), "{refused}");
}
