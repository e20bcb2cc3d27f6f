//! Packet rules as data, at the height of the kernel's own: chains on hooks, rules tried in order, each a list of
//! conditions, what it does to the packet, and a verdict. The kernel edge writes them down in `nft`'s language, word by
//! word; the storm checker walks them packet by packet. Nothing is computed here, and no rule is hidden in a renderer.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::config::Protocol;
use crate::config::types::{Cidr, LinkName, Mac};

/// All packet rules of a box: one table, chains in the order in which they are written down.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// The chains; names are unique, and a jump leads to a chain that stands later.
    pub chains: Vec<Chain>,
}

/// One chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name in the table.
    pub name: &'static str,
    /// Where packets enter it by themselves; `None`: only by a jump.
    pub base: Option<Base>,
    /// Tried in order until one has a verdict.
    pub rules: Vec<Rule>,
}

/// Where a chain hangs in the packet's way through the kernel (`enum nf_inet_hooks`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// The hook.
    pub hook: Hook,
    /// Chains of a hook run by rising priority; IPVS sits at 99 in local input and -98 in local output.
    pub priority: i32,
    /// What happens to a packet that no rule decided.
    pub policy: Policy,
}

/// Hooks that Halcyon uses, all in the family `inet`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hook {
    /// Before the routing decision.
    Prerouting,
    /// On the way to a local socket, or to IPVS.
    Input,
    /// What leaves from this box, including what IPVS forwards by direct routing (`ip_vs_dr_xmit`).
    Output,
}

/// A base chain's last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// On it goes.
    Accept,
    /// It ends here.
    Drop,
}

/// One rule: when every condition holds, it counts, marks, and gives its verdict, if it has one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All must hold; none: always.
    pub conditions: Vec<Condition>,
    /// The named counter that it raises.
    pub counter: Option<CounterName>,
    /// The firewall mark that it sets.
    pub mark: Option<u32>,
    /// `None`: on with the next rule.
    pub verdict: Option<Verdict>,
}

/// The table's named counters; they outlive a change of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CounterName {
    /// Frames that fellow directors forwarded and that are served here.
    Delivered,
    /// Frames that the last word kept from looping.
    Dropped,
}

/// What a rule asks of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It came in on this link. There is no such link any more on output.
    In(LinkName),
    /// It came in on the loopback.
    InLoopback,
    /// The frame that brought it here has one of these source MACs; this holds on output, too, where IPVS passes a frame
    /// on with the header that it came with.
    SourceMac(BTreeSet<Mac>),
    /// The frame that brought it here has none of these source MACs.
    SourceMacNot(BTreeSet<Mac>),
    /// Its source address is in one of these networks, all of one family.
    Source(BTreeSet<Cidr>),
    /// Its source address is none of these, all of one family.
    SourceNot(BTreeSet<IpAddr>),
    /// Its destination address is in one of these networks, all of one family.
    Destination(BTreeSet<Cidr>),
    /// Its transport and destination port.
    Port(Protocol, BTreeSet<u16>),
    /// Another protocol by number (`/etc/protocols`).
    Protocol(u8),
    /// TCP, and its flags among `among` are `are`; with `not`, are not. Bits as on the wire: FIN 1, SYN 2, RST 4, ACK 16.
    TcpFlags {
        /// Which flags are looked at.
        among: u8,
        /// What they are compared with.
        are: u8,
        /// The comparison must fail.
        not: bool,
    },
    /// ICMP of these types.
    Icmp(BTreeSet<u8>),
    /// ICMPv6 of these types.
    Icmp6(BTreeSet<u8>),
    /// A local socket that has a mark expects it (`nft`: `socket mark != 0`): connections accepted from a marked
    /// segment, with `tcp_fwmark_accept`.
    SocketMarked,
    /// A local UDP socket that is bound to an address expects it.
    UdpSocketBound,
}

/// What becomes of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This hook's further rules of this chain are spared.
    Accept,
    /// It ends here.
    Drop,
    /// It ends here, and the sender gets a TCP reset.
    Reset,
    /// Back to where the jump came from.
    Return,
    /// On in another chain.
    Jump(&'static str),
}
