//! Clusters written down by hand, as the guard is meant to be: what the planner yields is judged elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use crate::config::types::{Cidr, LinkName, Mac};
use crate::config::{Forwarding, Protocol};
use crate::plan::rules::{Base, Chain, Condition, CounterName, Mark, Policy, Rule, Rules, Verdict};
use crate::plan::state::{
    Address, AddressRole, Destination, KernelState, SyncDaemon, SyncRole, Virtual, VirtualService,
};
use crate::plan::storm::{Cluster, Packet, Segment, Station, Wire};

pub(super) const VIP: [u8; 4] = [192, 0, 2, 100];
pub(super) const PORT: u16 = 80;
const CLIENT: [u8; 4] = [192, 0, 2, 200];

/// What decides a member's kernel state here.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// It holds the VIP on its link.
    pub master: bool,
    /// The members, by number, that it has in its table.
    pub sees: BTreeSet<usize>,
}

pub(super) fn address(member: usize) -> IpAddr {
    [192, 0, 2, 1 + u8::try_from(member).unwrap()].into()
}

pub(super) fn mac(member: usize) -> Mac {
    Mac([0x52, 0x54, 0, 0, 0, 1 + u8::try_from(member).unwrap()])
}

pub(super) fn lan() -> LinkName {
    "lan".parse().unwrap()
}

pub(super) fn service(protocol: Protocol) -> Virtual {
    Virtual::Address { protocol, address: VIP.into(), port: PORT }
}

pub(super) fn mark(mark: u32) -> Virtual {
    Virtual::Mark { mark, ipv6: false }
}

pub(super) fn packet(segment: Segment) -> Packet {
    Packet {
        client: SocketAddr::new(CLIENT.into(), 40_000),
        service: SocketAddr::new(VIP.into(), PORT),
        segment,
        ttl: 64,
    }
}

/// A healthy cluster of `count` members, of which the first is master.
pub(super) fn cluster(count: usize) -> Cluster {
    let members: Vec<Member> =
        (0..count).map(|n| Member { master: n == 0, sees: (0..count).collect() }).collect();
    of(&members)
}

/// Co-located members, each with the complete guard.
pub(super) fn of(members: &[Member]) -> Cluster {
    let station = |me: usize| {
        let kernel = kernel(me, members);
        let wire = Wire { mac: mac(me), segment: lan() };
        let mut station = Station::new(format!("box{me}"), kernel, BTreeMap::from([(lan(), wire)]));
        station.kernel.rules = rules(me, members.len());
        station
    };
    Cluster { stations: (0..members.len()).map(station).collect(), others: BTreeSet::new() }
}

fn kernel(me: usize, members: &[Member]) -> KernelState {
    let mut state = KernelState::default();
    let vip = Cidr::host(VIP.into());
    let mut held = vec![
        (Some(lan()), Cidr::new(address(me), 24).unwrap(), AddressRole::Own),
        (None, vip, AddressRole::Served),
    ];
    if members[me].master {
        held.push((Some(lan()), vip, AddressRole::Virtual));
    }
    state.addresses = held.into_iter().map(|(link, cidr, role)| Address { link, cidr, role }).collect();
    for (name, value) in
        [("sloppy_tcp", "1"), ("expire_nodest_conn", "1"), ("backup_only", "0"), ("conn_reuse_mode", "1")]
    {
        state.sysctls.insert(format!("net/ipv4/vs/{name}"), value.into());
    }
    let others = |weight: u16, port: u16| {
        let seen = members[me].sees.iter().filter(move |n| **n != me);
        seen.map(move |&n| ((address(n), port), weight)).collect::<Vec<_>>()
    };
    let mine = |weight, port| vec![((address(me), port), weight)];
    for protocol in [Protocol::Tcp, Protocol::Udp] {
        let all = members[me].sees.iter().map(|&n| ((address(n), PORT), 1)).collect();
        state.services.insert(service(protocol), scheduled(all));
    }
    if members.len() == 2 {
        state.services.insert(mark(8), scheduled([mine(100, 0), others(0, 0)].concat()));
        if !others(1, 0).is_empty() {
            state.services.insert(mark(9), scheduled(others(1, 0)));
        }
    }
    for role in [SyncRole::Master, SyncRole::Backup] {
        state.sync.insert(role, SyncDaemon { link: lan(), id: 1 });
    }
    state
}

fn scheduled(destinations: Vec<((IpAddr, u16), u16)>) -> VirtualService {
    VirtualService {
        scheduler: "rr".into(),
        scheduler_flags: 0,
        persistence: 0,
        destinations: destinations
            .into_iter()
            .map(|(server, weight)| (server, Destination { weight, forwarding: Forwarding::Direct }))
            .collect(),
    }
}

fn rules(me: usize, count: usize) -> Rules {
    let peers: BTreeSet<Mac> = (0..count).filter(|n| *n != me).map(mac).collect();
    let vip = || Condition::Destination(BTreeSet::from([Cidr::host(VIP.into())]));
    let port = |protocol| Condition::Port(protocol, BTreeSet::from([PORT]));
    let tcp = |among, are| vec![vip(), port(Protocol::Tcp), Condition::TcpFlags { among, are, not: false }];
    let error = || Condition::Icmp([3].into());
    let from_peers = |more: [Condition; 1]| {
        Rule::when([Condition::SourceMac(peers.clone()), vip()].into_iter().chain(more))
    };
    let base = |priority, policy| Some(Base { priority, policy });

    let origin = Chain {
        name: "origin",
        base: base(-150, Policy::Accept),
        rules: vec![
            from_peers([port(Protocol::Tcp)]).marked(Mark::Is(0x200)).readdressed(address(me)),
            from_peers([port(Protocol::Udp)]).marked(Mark::Is(0x200)).readdressed(address(me)),
        ],
    };
    let errors = Chain {
        name: "errors",
        base: base(-140, Policy::Accept),
        rules: vec![from_peers([error()]).marked(Mark::Is(0x201)).requoted(address(me))],
    };
    let delivered = Chain {
        name: "delivered",
        base: base(100, Policy::Accept),
        rules: vec![
            Rule::when([Condition::Marked([0x200].into())]).readdressed(VIP.into()),
            Rule::when([Condition::Marked([0x201].into())]).requoted(VIP.into()),
        ],
    };
    let owner = Chain {
        name: "owner",
        base: base(-90, Policy::Accept),
        rules: vec![
            Rule::when([Condition::SourceMac(peers.clone())]).then(Verdict::Accept),
            Rule::when(tcp(6, 0)).then(Verdict::Jump("whose")),
            Rule::when(tcp(22, 2)).marked(Mark::Is(0x100)),
        ],
    };
    let whose = Chain {
        name: "whose",
        base: None,
        rules: vec![
            Rule::when([Condition::SocketMarked(true)]).marked(Mark::Is(8)).then(Verdict::Return),
            Rule::when([]).marked(Mark::Is(9)),
        ],
    };
    let input = Chain {
        name: "input",
        base: base(0, Policy::Drop),
        rules: [
            Rule::when([vip(), port(Protocol::Tcp)]),
            Rule::when([vip(), port(Protocol::Udp)]),
            Rule::when([Condition::Marked([0x200].into())]),
            Rule::when([error()]),
        ]
        .map(|rule| rule.then(Verdict::Accept))
        .into(),
    };
    let last_word = Chain {
        name: "last_word",
        base: base(-50, Policy::Accept),
        rules: vec![
            from_peers([Condition::Protocol([6, 17].into())])
                .counted(CounterName::Dropped)
                .then(Verdict::Drop),
            from_peers([Condition::Quotes(VIP.into())]).counted(CounterName::Dropped).then(Verdict::Drop),
        ],
    };
    let ownership = if count == 2 { vec![owner, whose] } else { vec![] };
    Rules { chains: [vec![origin], ownership, vec![errors, last_word, input, delivered]].concat() }
}
