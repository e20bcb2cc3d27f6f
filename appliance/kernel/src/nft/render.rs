//! The packet rules in `nft`'s language, word by word: one line for each rule, one phrase for each condition. Pure; what
//! the rules are and why is the planner's.

use std::collections::BTreeSet;
use std::fmt::{Display, Write};
use std::net::IpAddr;

use halcyon_core::config::Protocol;
use halcyon_core::config::types::{Cidr, Mac};
use halcyon_core::plan::rules::{
    Base, Chain, Condition, CounterName, Mark, Policy, Readdress, Rule, Rules, Verdict, flags,
};

/// The table that holds everything of Halcyon's.
pub const TABLE: &str = "halcyon";

/// The script that replaces all rules of the table in one transaction.
///
/// The table is flushed, not deleted: its counters go on counting. Chains that are no longer wanted stay, without rules.
pub fn render(rules: &Rules) -> String {
    let mut script = Script::default();
    script.line(format_args!("add table inet {TABLE}"));
    script.line(format_args!("flush table inet {TABLE}"));
    script.block(format_args!("table inet {TABLE}"), |script| {
        for counter in CounterName::ALL {
            script.block(format_args!("counter {}", counter.as_str()), |_| {});
        }
        for Chain { name, base, rules } in &rules.chains {
            script.block(format_args!("chain {name}"), |script| {
                if let Some(base) = base {
                    script.line(hook(*base));
                }
                for one in rules {
                    script.line(rule(one));
                }
            });
        }
    });
    script.text
}

fn hook(Base { priority, policy }: Base) -> String {
    let policy = match policy {
        Policy::Accept => "accept",
        Policy::Drop => "drop",
    };
    format!("type filter hook input priority {priority}; policy {policy};")
}

fn rule(rule: &Rule) -> String {
    let mut words: Vec<String> = rule.conditions.iter().map(condition).collect();
    words.extend(rule.counter.map(|counter| format!("counter name {}", counter.as_str())));
    words.extend(rule.mark.as_ref().map(mark));
    words.extend(rule.readdress.map(readdress));
    words.extend(rule.verdict.map(verdict));
    words.join(" ")
}

fn condition(condition: &Condition) -> String {
    match condition {
        Condition::In(link) => format!("iifname \"{link}\""),
        // The loopback's index never changes, and comparing it is cheaper than comparing a name.
        Condition::InLoopback => "iif \"lo\"".to_owned(),
        // As raw bytes of the frame's header: `ether saddr` would add a condition on the type of the device, which costs.
        Condition::SourceMac(macs) => format!("@ll,48,48 {}", list(macs.iter().map(|mac| number(*mac)))),
        Condition::Source(networks) => address("saddr", networks),
        Condition::Destination(networks) => address("daddr", networks),
        Condition::Port(protocol, ports) => format!("{} dport {}", transport(*protocol), list(ports)),
        Condition::Protocol(numbers) => format!("meta l4proto {}", list(numbers)),
        Condition::Marked(marks) => format!("meta mark {}", list(marks)),
        Condition::TcpFlags { among, are, not } => {
            let (among, are) = (tcp_flags(*among), tcp_flags(*are));
            format!("tcp flags & {among} {} {are}", if *not { "!=" } else { "==" })
        }
        Condition::Icmp(types) => format!("icmp type {}", list(types)),
        Condition::Icmp6(types) => format!("icmpv6 type {}", list(types)),
        Condition::Quotes(source) => format!("{} {}", quoted_source(*source), bytes(*source)),
        Condition::SocketMarked(true) => "socket mark != 0".to_owned(),
        Condition::SocketMarked(false) => "socket mark 0".to_owned(),
        Condition::SocketExpects => "socket transparent 0".to_owned(),
        Condition::UdpSocketBound => "meta l4proto 17 socket wildcard 0".to_owned(),
    }
}

fn readdress(readdress: Readdress) -> String {
    match readdress {
        Readdress::Destination(to) => format!("{} daddr set {to}", family(to.is_ipv6())),
        Readdress::QuotedSource(to) => format!("{} set {}", quoted_source(to), bytes(to)),
    }
}

/// Where an ICMP error has the source of the datagram that it quotes: behind 8 bytes of its own, at byte 12 of an IPv4
/// header (RFC 792) or at byte 8 of an IPv6 header (RFC 4443 §3). As raw bytes, because written by name it would take the
/// checksum along, which must not change for what is written back.
fn quoted_source(address: IpAddr) -> &'static str {
    if address.is_ipv6() { "@th,128,128" } else { "@th,160,32" }
}

fn bytes(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{:#010x}", address.to_bits()),
        IpAddr::V6(address) => format!("{:#034x}", address.to_bits()),
    }
}

fn mark(mark: &Mark) -> String {
    match mark {
        Mark::Is(number) => format!("meta mark set {number}"),
        Mark::ByPort(protocol, marks) => {
            let marks: Vec<String> = marks.iter().map(|(port, mark)| format!("{port} : {mark}")).collect();
            format!("meta mark set {} dport map {{ {} }}", transport(*protocol), marks.join(", "))
        }
    }
}

fn verdict(verdict: Verdict) -> String {
    match verdict {
        Verdict::Accept => "accept".to_owned(),
        Verdict::Drop => "drop".to_owned(),
        Verdict::Reset => "reject with tcp reset".to_owned(),
        Verdict::Return => "return".to_owned(),
        Verdict::Jump(chain) => format!("jump {chain}"),
    }
}

fn number(mac: Mac) -> String {
    mac.0.iter().fold("0x".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

fn address(side: &str, networks: &BTreeSet<Cidr>) -> String {
    let ipv6 = networks.first().is_some_and(|network| network.address().is_ipv6());
    let texts = networks.iter().map(|network| {
        let address = network.address();
        if *network == Cidr::host(address) { address.to_string() } else { network.to_string() }
    });
    format!("{} {side} {}", family(ipv6), list(texts))
}

fn family(ipv6: bool) -> &'static str {
    if ipv6 { "ip6" } else { "ip" }
}

fn tcp_flags(bits: u8) -> String {
    let known = [(flags::FIN, "fin"), (flags::SYN, "syn"), (flags::RST, "rst"), (flags::ACK, "ack")];
    let names: Vec<&str> = known.iter().filter(|(bit, _)| bits & bit != 0).map(|(_, name)| *name).collect();
    match names.as_slice() {
        [] => "0x0".to_owned(),
        [one] => (*one).to_owned(),
        several => format!("({})", several.join(" | ")),
    }
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
