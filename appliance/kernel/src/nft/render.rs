//! The ruleset in `nft`'s language. Pure.
//!
//! Two promises shape it. *What a fellow director forwarded is served here*: its frames get mark 7 before IPVS looks,
//! and on output the last word keeps whatever an old IPVS entry would send on. *Nothing is open that the document does
//! not name*: input drops by default.
//!
//! There is no connection tracking anywhere: it costs a director 12–21 % and calls forwarded frames invalid, because it
//! sees one direction only. So answers to the box's own connections are let in without it: TCP segments other than a
//! connection's first (a socket that knows nothing of them answers with a reset, as it would behind no filter), UDP only
//! for sockets bound to an address (a connected one is), ICMP errors and echo replies. IPVS hooks into local input after
//! the filter (priority 99), so what it is to balance passes by the openings that the plan holds for virtual services.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write};
use std::net::IpAddr;

use halcyon_core::config::Protocol;
use halcyon_core::config::types::{Cidr, Mac};
use halcyon_core::plan::FORWARDED;
use halcyon_core::plan::state::{Accept, Ruleset, Traffic};

/// The table that holds everything of Halcyon's.
pub const TABLE: &str = "halcyon";
/// Counts what fellow directors forwarded and this box serves.
pub const DELIVERED: &str = "delivered";
/// Counts what the last word dropped.
pub const DROPPED: &str = "dropped";

/// The script that replaces all rules of the table in one transaction.
///
/// The table is flushed, not deleted: its counters go on counting.
pub fn render(rules: &Ruleset) -> String {
    let mut script = Script::default();
    script.line(format_args!("add table inet {TABLE}"));
    script.line(format_args!("flush table inet {TABLE}"));
    script.block(format_args!("table inet {TABLE}"), |script| {
        for counter in [DELIVERED, DROPPED] {
            script.block(format_args!("counter {counter}"), |_| {});
        }
        origin(script, rules);
        last_word(script, rules);
        input(script, rules);
    });
    script.text
}

/// Before IPVS, and before any address translation: which frames came from a fellow director.
fn origin(script: &mut Script, rules: &Ruleset) {
    script.block("chain origin", |script| {
        script.line("type filter hook prerouting priority -150; policy accept;");
        let mut by_link: BTreeMap<&str, Vec<Mac>> = BTreeMap::new();
        for (link, mac) in &rules.peers {
            by_link.entry(link.as_str()).or_default().push(*mac);
        }
        for (link, macs) in by_link {
            script.line(format_args!("iifname \"{link}\" {} jump forwarded", source(macs)));
        }
    });
    script.block("chain forwarded", |script| {
        from_members(script, rules);
        guarded(script, rules, &format!("counter name {DELIVERED} meta mark set {FORWARDED}"));
    });
}

/// On output there is no incoming interface any more (IPVS passes none to the hook), but the frame still has its
/// source.
fn last_word(script: &mut Script, rules: &Ruleset) {
    script.block("chain output", |script| {
        script.line("type filter hook output priority 0; policy accept;");
        let macs: BTreeSet<Mac> = rules.peers.iter().map(|(_, mac)| *mac).collect();
        if !macs.is_empty() {
            script.line(format_args!("{} jump lastword", source(macs)));
        }
    });
    script.block("chain lastword", |script| {
        from_members(script, rules);
        guarded(script, rules, &format!("counter name {DROPPED} drop"));
    });
}

/// The frame's source MAC, as raw bytes of its header: `ether saddr` would add a condition on the type of a device that
/// the output hook may not have.
fn source(macs: impl IntoIterator<Item = Mac>) -> String {
    let number = |mac: Mac| mac.0.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"));
    format!("@ll,48,48 {}", list(macs.into_iter().map(number)))
}

/// A member that is a client speaks in its own name, and is no director then.
fn from_members(script: &mut Script, rules: &Ruleset) {
    let members: BTreeSet<Cidr> = rules.member_addresses.iter().copied().map(Cidr::host).collect();
    for (family, addresses) in by_family(&members) {
        script.line(format_args!("{family} saddr {} return", list(addresses)));
    }
}

fn guarded(script: &mut Script, rules: &Ruleset, verdict: &str) {
    let mut ports: BTreeMap<(IpAddr, Protocol), Vec<u16>> = BTreeMap::new();
    for &(address, protocol, port) in &rules.guarded {
        ports.entry((address, protocol)).or_default().push(port);
    }
    for ((address, protocol), ports) in ports {
        let family = family(address);
        script.line(format_args!(
            "{family} daddr {address} {} dport {} {verdict}",
            transport(protocol),
            list(ports)
        ));
    }
}

fn input(script: &mut Script, rules: &Ruleset) {
    script.block("chain input", |script| {
        script.line("type filter hook input priority 0; policy drop;");
        script.line("iifname \"lo\" accept");
        script.line("tcp flags & (fin | syn | rst | ack) != syn accept");
        script.line("meta l4proto udp socket wildcard 0 accept");
        script.line(
            "icmp type { echo-reply, destination-unreachable, time-exceeded, parameter-problem } accept",
        );
        script.line(
            "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, \
             echo-reply, nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } accept",
        );
        // IGMP queries: a switch that snoops sends multicast, VRRP's too, only to those who answer them.
        script.line("ip protocol 2 accept");
        // A reset tells a check at once; a drop would cost it its timeout.
        for refused in &rules.refuses {
            opening(script, refused, "reject with tcp reset");
        }
        for accept in &rules.accepts {
            opening(script, accept, "accept");
        }
    });
}

/// One opening: a line for each address family that it reaches.
fn opening(script: &mut Script, accept: &Accept, verdict: &str) {
    let link = accept.link.as_ref().map(|l| format!("iifname \"{l}\" ")).unwrap_or_default();
    let anywhere = accept.sources.is_empty() && accept.destinations.is_empty();
    let (sources, destinations) = (by_family(&accept.sources), by_family(&accept.destinations));
    if anywhere && accept.traffic != Traffic::Ping {
        script.line(format_args!("{link}{} {verdict}", traffic(accept.traffic, "ip")));
        return;
    }
    for family in ["ip", "ip6"] {
        let side =
            |wanted: &BTreeSet<Cidr>, here: &BTreeMap<_, Vec<String>>, word: &str| match here.get(family) {
                _ if wanted.is_empty() => Some(String::new()),
                Some(addresses) => Some(format!("{family} {word} {} ", list(addresses))),
                None => None,
            };
        if let Some(from) = side(&accept.sources, &sources, "saddr")
            && let Some(to) = side(&accept.destinations, &destinations, "daddr")
        {
            script.line(format_args!("{link}{from}{to}{} {verdict}", traffic(accept.traffic, family)));
        }
    }
}

fn traffic(traffic: Traffic, family: &str) -> String {
    match (traffic, family) {
        (Traffic::Vrrp, _) => "meta l4proto 112".to_owned(),
        (Traffic::Sync, _) => "udp dport 8848".to_owned(),
        (Traffic::Ping, "ip6") => "icmpv6 type echo-request".to_owned(),
        (Traffic::Ping, _) => "icmp type echo-request".to_owned(),
        (Traffic::Port(protocol, port), _) => format!("{} dport {port}", transport(protocol)),
    }
}

/// The networks of each family, without those that lie in another: `nft` refuses overlaps.
fn by_family(cidrs: &BTreeSet<Cidr>) -> BTreeMap<&'static str, Vec<String>> {
    let networks: BTreeSet<Cidr> = cidrs.iter().map(|c| c.network()).collect();
    let mut families: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for cidr in &networks {
        let within = |other: &Cidr| other.prefix() < cidr.prefix() && other.contains(cidr.address());
        if networks.iter().any(within) {
            continue;
        }
        let address = cidr.address();
        let text = if *cidr == Cidr::host(address) { address.to_string() } else { cidr.to_string() };
        families.entry(family(address)).or_default().push(text);
    }
    families
}

fn family(address: IpAddr) -> &'static str {
    if address.is_ipv4() { "ip" } else { "ip6" }
}

fn transport(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

fn list<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    match items.as_slice() {
        [one] => one.clone(),
        several => format!("{{ {} }}", several.join(", ")),
    }
}

#[derive(Default)]
struct Script {
    text: String,
    depth: usize,
}

impl Script {
    fn line(&mut self, text: impl Display) {
        writeln!(self.text, "{:1$}{text}", "", self.depth * 4).expect("a string takes every text");
    }

    fn block(&mut self, head: impl Display, body: impl FnOnce(&mut Self)) {
        self.line(format_args!("{head} {{"));
        self.depth += 1;
        body(self);
        self.depth -= 1;
        self.line("}");
    }
}
