//! Packet rules as data, at the height of the kernel's own: chains on hooks, rules tried in order, each a list of
//! conditions, what it does to the packet, and a verdict. The kernel edge writes them down in `nft`'s language, word by
//! word; the storm checker walks them packet by packet. Nothing is computed here, and no rule is hidden in a renderer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
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

/// Where a chain hangs in a packet's way to a local socket or to IPVS: in local input (`NF_INET_LOCAL_IN`), the one hook
/// that Halcyon uses, of the family `inet`. No rule sees a fragment there: packets are put together on the way to local
/// input (`ip_local_deliver`; for IPv6 `nf_defrag_ipv6_enable` in `ip_vs_add_service`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    /// Chains of a hook run by rising priority; IPVS sits at 99.
    pub priority: i32,
    /// What happens to a packet that no rule decided.
    pub policy: Policy,
}

/// A base chain's last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// On it goes.
    Accept,
    /// It ends here.
    Drop,
}

/// One rule: when every condition holds, it counts, marks, writes, and gives its verdict, if it has one. A map of marks
/// without an entry for the packet ends the rule before its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All must hold; none: always.
    pub conditions: Vec<Condition>,
    /// The named counter that it raises.
    pub counter: Option<CounterName>,
    /// The firewall mark that it sets.
    pub mark: Option<Mark>,
    /// The address that it writes into the packet.
    pub readdress: Option<Readdress>,
    /// `None`: on with the next rule.
    pub verdict: Option<Verdict>,
}

/// An address that a rule writes into a packet, without remembering anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readdress {
    /// Its destination, checksums included.
    Destination(IpAddr),
    /// The source of the datagram that an ICMP error quotes, checksums left alone: somebody else has to write it back.
    QuotedSource(IpAddr),
}

/// A firewall mark that a rule sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// This one.
    Is(u32),
    /// By transport and destination port: one lookup for all services of an address.
    ByPort(Protocol, BTreeMap<u16, u32>),
}

/// The table's named counters; they outlive a change of the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CounterName {
    /// Frames that fellow directors forwarded and that are served here.
    Delivered,
    /// Frames of fellow directors that the last word kept from looping.
    Dropped,
    /// Segments of established connections whose socket is on this box.
    Mine,
    /// Segments of established connections whose socket is on the other box.
    Theirs,
}

/// What a rule asks of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It came in on this link.
    In(LinkName),
    /// It came in on the loopback.
    InLoopback,
    /// The frame that brought it here has one of these source MACs.
    SourceMac(BTreeSet<Mac>),
    /// Its source address is in one of these networks, all of one family, none of which lies in another.
    Source(BTreeSet<Cidr>),
    /// Its destination address is in one of these networks, all of one family, none of which lies in another.
    Destination(BTreeSet<Cidr>),
    /// Its transport and destination port.
    Port(Protocol, BTreeSet<u16>),
    /// Its protocol by number (`/etc/protocols`).
    Protocol(BTreeSet<u8>),
    /// It has one of these firewall marks.
    Marked(BTreeSet<u32>),
    /// TCP, and its flags among `among` are `are`; with `not`, are not. Bits as in [`flags`].
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
    /// The datagram that it quotes has this source. Asked of ICMP errors only: of any other packet it would compare what
    /// happens to stand there.
    Quotes(IpAddr),
    /// The local socket that its addresses and ports lead to, be it the one that listens, is a full one and has a mark,
    /// or (`false`) has none. It does not hold of the sockets of half-open and of waiting-out connections, whichever way
    /// it is asked (`nft_socket_eval`, net/netfilter/nft_socket.c: `sk_fullsock`).
    SocketMarked(bool),
    /// Some local socket expects it, half-open and waiting-out ones included; one that may use foreign addresses
    /// (`IP_TRANSPARENT`) does not count.
    SocketExpects,
    /// A local UDP socket that is bound to an address expects it.
    UdpSocketBound,
}

/// TCP's flags as on the wire (RFC 9293 §3.1).
pub mod flags {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgement field counts.
    pub const ACK: u8 = 0x10;
}

/// What becomes of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No further rule of this base chain is tried, nor of what led here from it.
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

impl Rule {
    /// A rule that does nothing yet.
    pub fn when(conditions: impl IntoIterator<Item = Condition>) -> Self {
        Self {
            conditions: conditions.into_iter().collect(),
            counter: None,
            mark: None,
            readdress: None,
            verdict: None,
        }
    }

    /// The same, with a verdict.
    #[must_use]
    pub fn then(self, verdict: Verdict) -> Self {
        Self { verdict: Some(verdict), ..self }
    }

    /// The same, counting.
    #[must_use]
    pub fn counted(self, counter: CounterName) -> Self {
        Self { counter: Some(counter), ..self }
    }

    /// The same, setting a mark.
    #[must_use]
    pub fn marked(self, mark: Mark) -> Self {
        Self { mark: Some(mark), ..self }
    }

    /// The same, writing a destination address.
    #[must_use]
    pub fn readdressed(self, to: IpAddr) -> Self {
        Self { readdress: Some(Readdress::Destination(to)), ..self }
    }

    /// The same, writing the source of the datagram that an ICMP error quotes.
    #[must_use]
    pub fn requoted(self, to: IpAddr) -> Self {
        Self { readdress: Some(Readdress::QuotedSource(to)), ..self }
    }
}

impl CounterName {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Delivered, Self::Dropped, Self::Mine, Self::Theirs];

    /// What the table calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Dropped => "dropped",
            Self::Mine => "mine",
            Self::Theirs => "theirs",
        }
    }
}

/// How many there are: as an operator reads it in the log.
impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rules: usize = self.chains.iter().map(|chain| chain.rules.len()).sum();
        write!(f, "{rules} in {} chains", self.chains.len())
    }
}
