//! Packet rules, walked as netfilter walks them: the chains by rising priority, each until a verdict. `accept` ends
//! the chain and not the hook, `drop` ends the packet (nft(8), "Verdict statements").

use std::net::IpAddr;
use std::ops::RangeInclusive;

use crate::config::Protocol;
use crate::config::types::{LinkName, Mac};
use crate::plan::rules::{Chain, Condition, Mark, Policy, Readdress, Rule, Rules, Verdict};

use super::packet::{Packet, Segment};

/// A packet as the rules see it.
#[derive(Clone, Debug)]
pub(super) struct Seen<'a> {
    /// As it is at the moment: rules can write its destination.
    pub packet: Packet,
    /// Of an ICMP error, the source of the datagram that it quotes; rules can write that, too.
    pub quotes: Option<IpAddr>,
    /// Where it came in.
    pub link: &'a LinkName,
    /// Source MAC of the frame that brought it.
    pub mac: Mac,
    pub mark: u32,
    /// A local socket expects it, with this mark, 0 for none; the one that listens included.
    pub socket: Option<u32>,
}

/// Where a packet ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stopped {
    /// In this chain.
    pub chain: &'static str,
    /// The sender is told.
    pub reset: bool,
}

impl<'a> Seen<'a> {
    /// A packet as it comes in; `socket` is the mark of the local socket that expects it.
    pub(super) fn new(packet: Packet, (link, mac): (&'a LinkName, Mac), socket: Option<u32>) -> Self {
        let quotes = matches!(packet.segment, Segment::Error(_)).then(|| packet.service.ip());
        Self { packet, quotes, link, mac, mark: 0, socket }
    }

    /// The packet by which its conversation is looked up: that of an error is what it quotes, turned round.
    pub(super) fn asks(&self) -> Packet {
        let mut packet = self.packet;
        packet.service.set_ip(self.quotes.unwrap_or(packet.service.ip()));
        packet
    }
}

/// Sends a packet through the chains of local input whose priorities are in `priorities`.
pub(super) fn input(
    rules: &Rules,
    priorities: RangeInclusive<i32>,
    seen: &mut Seen<'_>,
) -> Result<(), Stopped> {
    let base = |chain: &&Chain| chain.base.as_ref().is_some_and(|base| priorities.contains(&base.priority));
    let mut chains: Vec<&Chain> = rules.chains.iter().filter(base).collect();
    chains.sort_by_key(|chain| chain.base.map(|b| b.priority));
    for chain in chains {
        let policy = chain.base.map_or(Policy::Accept, |b| b.policy);
        match chain_verdict(rules, chain, seen, 0) {
            Some(Verdict::Accept) => {}
            Some(Verdict::Drop) => return Err(Stopped { chain: chain.name, reset: false }),
            Some(Verdict::Reset) => return Err(Stopped { chain: chain.name, reset: true }),
            Some(Verdict::Return | Verdict::Jump(_)) | None => {
                if policy == Policy::Drop {
                    return Err(Stopped { chain: chain.name, reset: false });
                }
            }
        }
    }
    Ok(())
}

/// `IPPROTO_ICMP` and `IPPROTO_ICMPV6` (include/uapi/linux/in.h, in6.h).
const ICMP: u8 = 1;
const ICMP6: u8 = 58;
/// The type of an error as it matters most: a service that does not hear of it goes on sending what does not fit
/// (RFC 792, destination unreachable; RFC 4443 §3.2).
const FRAGMENTATION_NEEDED: u8 = 3;
const PACKET_TOO_BIG: u8 = 2;

fn protocol_number(packet: &Packet) -> u8 {
    match packet.segment.transport() {
        Some(Protocol::Tcp) => 6,
        Some(Protocol::Udp) => 17,
        Some(Protocol::Sctp) => 132,
        None if packet.service.is_ipv6() => ICMP6,
        None => ICMP,
    }
}

/// The longest row of jumps (`NFT_JUMP_STACK_SIZE`, include/net/netfilter/nf_tables.h).
const DEEPEST: u8 = 16;

/// The final verdict of a chain, or `None` at its end.
fn chain_verdict(rules: &Rules, chain: &Chain, seen: &mut Seen<'_>, depth: u8) -> Option<Verdict> {
    for rule in &chain.rules {
        if !matches(rule, seen) {
            continue;
        }
        match &rule.mark {
            None => {}
            Some(Mark::Is(mark)) => seen.mark = *mark,
            Some(Mark::ByPort(protocol, marks)) => {
                let Packet { service, segment, .. } = seen.packet;
                let port = Some(service.port()).filter(|_| segment.transport() == Some(*protocol));
                let Some(mark) = port.and_then(|port| marks.get(&port)) else { continue };
                seen.mark = *mark;
            }
        }
        match rule.readdress {
            None => {}
            Some(Readdress::Destination(to)) => seen.packet.service.set_ip(to),
            Some(Readdress::QuotedSource(to)) => seen.quotes = seen.quotes.map(|_| to),
        }
        match rule.verdict {
            None => {}
            Some(Verdict::Return) => return None,
            Some(Verdict::Jump(name)) => {
                let target = rules.chains.iter().find(|c| c.name == name).filter(|_| depth < DEEPEST);
                let verdict = target.and_then(|target| chain_verdict(rules, target, seen, depth + 1));
                if verdict.is_some() {
                    return verdict;
                }
            }
            end => return end,
        }
    }
    None
}

fn matches(rule: &Rule, seen: &Seen<'_>) -> bool {
    rule.conditions.iter().all(|condition| holds(condition, seen))
}

fn holds(condition: &Condition, seen: &Seen<'_>) -> bool {
    let packet = &seen.packet;
    let (source, destination) = (packet.client.ip(), packet.service.ip());
    match condition {
        Condition::In(link) => seen.link == link,
        // The packets of clients and members come over a wire.
        Condition::InLoopback => false,
        Condition::SourceMac(macs) => macs.contains(&seen.mac),
        Condition::Source(networks) => networks.iter().any(|n| n.contains(source)),
        Condition::Destination(networks) => networks.iter().any(|n| n.contains(destination)),
        Condition::Port(protocol, ports) => {
            packet.segment.transport() == Some(*protocol) && ports.contains(&packet.service.port())
        }
        Condition::Protocol(numbers) => numbers.contains(&protocol_number(packet)),
        Condition::Icmp(types) => protocol_number(packet) == ICMP && types.contains(&FRAGMENTATION_NEEDED),
        Condition::Icmp6(types) => protocol_number(packet) == ICMP6 && types.contains(&PACKET_TOO_BIG),
        Condition::Quotes(source) => seen.quotes == Some(*source),
        Condition::Marked(marks) => marks.contains(&seen.mark),
        Condition::TcpFlags { among, are, not } => {
            packet.segment.flags().is_some_and(|flags| (flags & among == *are) != *not)
        }
        Condition::SocketMarked(marked) => seen.socket.is_some_and(|mark| (mark != 0) == *marked),
        Condition::SocketExpects => seen.socket.is_some(),
        Condition::UdpSocketBound => seen.socket.is_some() && packet.segment == Segment::Datagram,
    }
}
