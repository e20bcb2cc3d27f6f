//! The script as people read it; that the kernel takes it is seen in `tests/live`.

use halcyon_core::config::Protocol;
use halcyon_core::config::types::{Cidr, Mac};
use halcyon_core::plan::rules::{Base, Chain, Condition, Mark, Policy, Rule, Verdict, flags};

use super::*;

fn cidrs<const N: usize>(texts: [&str; N]) -> std::collections::BTreeSet<Cidr> {
    texts.into_iter().map(|text| text.parse().unwrap()).collect()
}

fn base(priority: i32, policy: Policy) -> Option<Base> {
    Some(Base { priority, policy })
}

/// Every condition, mark and verdict that there is.
fn every_word() -> rules::Rules {
    let lan = || Condition::In("lan".parse().unwrap());
    let macs = |last: &[u8]| {
        Condition::SourceMac(last.iter().map(|last| Mac([0x52, 0x54, 0, 0, 0, *last])).collect())
    };
    let tcp = |ports: &[u16]| Condition::Port(Protocol::Tcp, ports.iter().copied().collect());
    let vip = || Condition::Destination(cidrs(["192.0.2.100/32"]));
    let quotes = |source: &str| Condition::Quotes(source.parse().unwrap());
    let flags = |among, are, not| Condition::TcpFlags { among, are, not };
    let origin = vec![
        Rule::when([macs(&[0x0b, 0x0c]), lan()]).then(Verdict::Jump("forwarded")),
        Rule::when([vip(), tcp(&[80, 443]), flags(flags::SYN | flags::RST, 0, false)])
            .then(Verdict::Jump("whose")),
        Rule::when([vip(), tcp(&[80])]).marked(Mark::Is(0x100)),
    ];
    let forwarded = vec![
        Rule::when([macs(&[0x0b]), Condition::Source(cidrs(["192.0.2.1/32", "192.0.2.2/32"]))])
            .then(Verdict::Return),
        Rule::when([Condition::Destination(cidrs(["2001:db8::100/128"])), tcp(&[80])])
            .counted(CounterName::Delivered)
            .marked(Mark::Is(7))
            .readdressed("2001:db8::1".parse().unwrap())
            .then(Verdict::Accept),
        Rule::when([vip()]).readdressed("192.0.2.1".parse().unwrap()),
        Rule::when([Condition::Icmp([3].into()), quotes("192.0.2.100")])
            .requoted("192.0.2.1".parse().unwrap()),
        Rule::when([Condition::Icmp6([1, 2].into()), quotes("2001:db8::100")])
            .requoted("2001:db8::1".parse().unwrap()),
    ];
    let whose = vec![
        Rule::when([Condition::SocketMarked(true)]).counted(CounterName::Mine).marked(Mark::Is(7)),
        Rule::when([Condition::SocketMarked(false)]).then(Verdict::Return),
        Rule::when([Condition::SocketExpects]).then(Verdict::Return),
        Rule::when([vip()])
            .counted(CounterName::Theirs)
            .marked(Mark::ByPort(Protocol::Tcp, [(80, 4096), (443, 4098)].into())),
    ];
    let lastword = vec![
        Rule::when([vip(), Condition::Protocol([6, 17].into())])
            .counted(CounterName::Dropped)
            .then(Verdict::Drop),
    ];
    let input = vec![
        Rule::when([Condition::InLoopback]).then(Verdict::Accept),
        Rule::when([flags(flags::FIN | flags::SYN | flags::RST | flags::ACK, flags::SYN, true)])
            .then(Verdict::Accept),
        Rule::when([Condition::UdpSocketBound]).then(Verdict::Accept),
        Rule::when([Condition::Icmp([0, 3].into())]).then(Verdict::Accept),
        Rule::when([Condition::Icmp6([128].into())]).then(Verdict::Accept),
        Rule::when([lan(), Condition::Source(cidrs(["192.0.2.0/24"])), Condition::Protocol([112].into())])
            .then(Verdict::Accept),
        Rule::when([Condition::Port(Protocol::Udp, [53].into())]).then(Verdict::Accept),
        Rule::when([Condition::Port(Protocol::Sctp, [99].into())]).then(Verdict::Accept),
        Rule::when([tcp(&[81])]).then(Verdict::Reset),
        Rule::when([Condition::Marked([7, 8].into())]).then(Verdict::Accept),
    ];
    let chain = |name, base, rules| Chain { name, base, rules };
    rules::Rules {
        chains: vec![
            chain("origin", None, origin),
            chain("forwarded", None, forwarded),
            chain("whose", None, whose),
            chain("lastword", None, lastword),
            chain("delivered", base(100, Policy::Accept), Vec::new()),
            chain("input", base(0, Policy::Drop), input),
        ],
    }
}

#[test]
fn rules_are_written_down_word_by_word() {
    let expected = "\
add table inet halcyon
flush table inet halcyon
table inet halcyon {
    counter delivered {
    }
    counter dropped {
    }
    counter mine {
    }
    counter theirs {
    }
    chain origin {
        @ll,48,48 { 0x52540000000b, 0x52540000000c } iifname \"lan\" jump forwarded
        ip daddr 192.0.2.100 tcp dport { 80, 443 } tcp flags & (syn | rst) == 0x0 jump whose
        ip daddr 192.0.2.100 tcp dport 80 meta mark set 256
    }
    chain forwarded {
        @ll,48,48 0x52540000000b ip saddr { 192.0.2.1, 192.0.2.2 } return
        ip6 daddr 2001:db8::100 tcp dport 80 counter name delivered meta mark set 7 ip6 daddr set 2001:db8::1 accept
        ip daddr 192.0.2.100 ip daddr set 192.0.2.1
        icmp type 3 @th,160,32 0xc0000264 @th,160,32 set 0xc0000201
        icmpv6 type { 1, 2 } @th,128,128 0x20010db8000000000000000000000100 @th,128,128 set 0x20010db8000000000000000000000001
    }
    chain whose {
        socket mark != 0 counter name mine meta mark set 7
        socket mark 0 return
        socket transparent 0 return
        ip daddr 192.0.2.100 counter name theirs meta mark set tcp dport map { 80 : 4096, 443 : 4098 }
    }
    chain lastword {
        ip daddr 192.0.2.100 meta l4proto { 6, 17 } counter name dropped drop
    }
    chain delivered {
        type filter hook input priority 100; policy accept;
    }
    chain input {
        type filter hook input priority 0; policy drop;
        iif \"lo\" accept
        tcp flags & (fin | syn | rst | ack) != syn accept
        meta l4proto 17 socket wildcard 0 accept
        icmp type { 0, 3 } accept
        icmpv6 type 128 accept
        iifname \"lan\" ip saddr 192.0.2.0/24 meta l4proto 112 accept
        udp dport 53 accept
        sctp dport 99 accept
        tcp dport 81 reject with tcp reset
        meta mark { 7, 8 } accept
    }
}
";
    assert_eq!(render(&every_word()), expected);
}

#[test]
fn a_record_is_read_back_and_a_damaged_one_is_no_record() {
    let text = render(&every_word());
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
