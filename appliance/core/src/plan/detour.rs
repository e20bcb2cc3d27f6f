//! The way around IPVS for what a fellow director forwarded: it is readdressed to this box's own address before IPVS
//! looks at it, and back to the virtual one behind. Decides under which address and by which mark; who is a fellow director is
//! [`guard`](super::guard)'s.
//!
//! Under that address IPVS has neither an entry nor a service. It costs two rules without state, and an application that
//! is bound to the virtual address alone never learns of it. What else leads past IPVS does not do: destination NAT needs
//! connection tracking, and of packets that `meta pkttype set other` has marked as somebody else's, TCP takes none; they
//! cannot be marked as this box's again behind IPVS (`nft_meta_set_validate`).
//!
//! An ICMP error about a connection, "fragmentation needed" say, is forwarded to whom the entry of that connection names,
//! and IPVS finds the entry by the datagram that the error quotes (`ip_vs_in_icmp`), not by the error's own destination.
//! So of an error it is the quoted datagram that gets another source on the way past, and its own again behind. Nobody
//! reads the error's checksum in between, which covers the quoted bytes.
//!
//! Both happen on the way to local input: routing has found the socket by then (`tcp_v4_early_demux`), and fragments have
//! been put together.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::config::Protocol;
use crate::config::types::Cidr;

use super::Perspective;
use super::rules::{Base, Chain, Condition, CounterName, Mark, Policy, Rule, Verdict};

/// The ICMP errors that IPVS forwards: destination unreachable and time exceeded (RFC 792; source quench is obsolete,
/// RFC 6633), of ICMPv6 all that routers send (RFC 4443 §2.1).
const ERRORS: [u8; 2] = [3, 11];
const ERRORS6: [u8; 4] = [1, 2, 3, 4];

/// Virtual services by address, protocol and port.
pub(super) type Services = BTreeSet<(IpAddr, Protocol, u16)>;

/// IPVS is at 99 in local input (`NF_IP_PRI_NAT_SRC - 1`).
const AFTER_IPVS: i32 = 100;

/// The first mark that tells a virtual address while another stands in its place. No service is bound to any of them.
const FIRST: u32 = 0x200;

/// The detour of one virtual address.
struct Detour {
    vip: IpAddr,
    own: IpAddr,
    mark: u32,
}

/// Those of every virtual address that this box serves and other boxes direct to it. Every box numbers all virtual
/// addresses of services in the same way.
fn detours(box_: &Perspective<'_>) -> impl Iterator<Item = Detour> {
    let all: BTreeSet<IpAddr> = box_.config.services.values().map(|s| s.address).collect();
    (FIRST..).zip(all).filter_map(|(mark, vip)| {
        let mut services = box_.config.services.values().filter(|s| s.address == vip && box_.co_located(s));
        let mut servers = services.next()?.servers.values();
        let own = servers.find(|s| s.member.as_ref() == Some(&box_.me.name))?.address;
        Some(Detour { vip, own, mark })
    })
}

/// The rules before IPVS.
pub(super) fn out(box_: &Perspective<'_>, services: &Services) -> Vec<Rule> {
    let of = |Detour { vip, own, mark }: Detour| {
        let here = services.iter().filter(|(address, ..)| *address == vip).copied().collect();
        let rules: Vec<Rule> = ports(&here)
            .map(|conditions| Rule::when(conditions).counted(CounterName::Delivered))
            .map(|rule| rule.marked(Mark::Is(mark)).readdressed(own).then(Verdict::Accept))
            .chain([Rule::when([to(vip), errors(vip.is_ipv6()), Condition::Quotes(vip)])
                .counted(CounterName::Delivered)
                .marked(Mark::Is(mark))
                .requoted(own)
                .then(Verdict::Accept)])
            .collect();
        rules
    };
    detours(box_).flat_map(of).collect()
}

/// The chain behind it.
pub(super) fn back(box_: &Perspective<'_>) -> Chain {
    let rules = detours(box_).flat_map(|Detour { vip, own, mark }| {
        let marked = Condition::Marked([mark].into());
        let error = [marked.clone(), errors(vip.is_ipv6()), Condition::Quotes(own)];
        [Rule::when([marked, to(own)]).readdressed(vip), Rule::when(error).requoted(vip)]
    });
    let base = Base { priority: AFTER_IPVS, policy: Policy::Accept };
    Chain { name: "delivered", base: Some(base), rules: rules.collect() }
}

/// Conditions for all ports of each virtual address and protocol.
pub(super) fn ports(services: &Services) -> impl Iterator<Item = [Condition; 2]> + use<> {
    let mut ports: BTreeMap<(IpAddr, Protocol), BTreeSet<u16>> = BTreeMap::new();
    for &(address, protocol, port) in services {
        ports.entry((address, protocol)).or_default().insert(port);
    }
    ports.into_iter().map(|((address, protocol), ports)| [to(address), Condition::Port(protocol, ports)])
}

/// ICMP errors that IPVS forwards.
pub(super) fn errors(ipv6: bool) -> Condition {
    if ipv6 { Condition::Icmp6(ERRORS6.into()) } else { Condition::Icmp(ERRORS.into()) }
}

/// What is sent to `address`.
pub(super) fn to(address: IpAddr) -> Condition {
    Condition::Destination([Cidr::host(address)].into())
}
