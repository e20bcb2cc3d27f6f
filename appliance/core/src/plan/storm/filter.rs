//! Packet rules, walked as netfilter walks them: the chains of a hook by rising priority, each until a verdict. `accept`
//! ends the chain and not the hook, `drop` ends the packet (nft(8), "Verdict statements").

use std::ops::RangeInclusive;

use crate::config::types::{LinkName, Mac};
use crate::plan::rules::{Chain, Condition, Hook, Mark, Policy, Rule, Rules, Verdict};

use super::packet::{Packet, Segment};

/// A packet as the rules see it.
#[derive(Clone, Debug)]
pub(super) struct Seen<'a> {
    /// As it is at the moment: rules can write its destination.
    pub packet: Packet,
    /// Where it came in; `None` on output.
    pub link: Option<&'a LinkName>,
    /// Source MAC of the frame that brought it; the header stays on a packet that IPVS passes on.
    pub mac: Option<Mac>,
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

/// Sends a packet through the chains of `hook` whose priorities are in `priorities`.
pub(super) fn hook(
    rules: &Rules,
    hook: Hook,
    priorities: RangeInclusive<i32>,
    seen: &mut Seen<'_>,
) -> Result<(), Stopped> {
    let base = |chain: &&Chain| {
        chain.base.as_ref().is_some_and(|b| b.hook == hook && priorities.contains(&b.priority))
    };
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
                let port = Some(service.port()).filter(|_| segment.protocol() == *protocol);
                let Some(mark) = port.and_then(|port| marks.get(&port)) else { continue };
                seen.mark = *mark;
            }
        }
        if let Some(to) = rule.destination {
            seen.packet.service.set_ip(to);
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
        Condition::In(link) => seen.link == Some(link),
        // The packets of clients and members come over a wire.
        Condition::InLoopback | Condition::Protocol(_) | Condition::Icmp(_) | Condition::Icmp6(_) => false,
        Condition::SourceMac(macs) => seen.mac.is_some_and(|mac| macs.contains(&mac)),
        Condition::Source(networks) => networks.iter().any(|n| n.contains(source)),
        Condition::Destination(networks) => networks.iter().any(|n| n.contains(destination)),
        Condition::Port(protocol, ports) => {
            packet.segment.protocol() == *protocol && ports.contains(&packet.service.port())
        }
        Condition::Marked(marks) => marks.contains(&seen.mark),
        Condition::TcpFlags { among, are, not } => {
            packet.segment.flags().is_some_and(|flags| (flags & among == *are) != *not)
        }
        Condition::SocketMarked(marked) => seen.socket.is_some_and(|mark| (mark != 0) == *marked),
        Condition::SocketExpects => seen.socket.is_some(),
        Condition::UdpSocketBound => seen.socket.is_some() && packet.segment == Segment::Datagram,
    }
}
