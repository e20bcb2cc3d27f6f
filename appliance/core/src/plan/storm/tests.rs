//! Each protection in turn: with all of them nothing is found, without one of them something is, and the table says
//! what. Every state of a pair counts: who is master, who is in whose table, every entry of every age.

mod fixture;

use std::collections::BTreeSet;

use super::*;
use crate::config::Protocol;
use crate::plan::rules::Rules;
use crate::plan::state::Virtual;
use fixture::{Member, PORT, address, cluster, lan, mac, mark, packet, service};

const ALL: [Promise; 3] = [Promise::Once, Promise::Served, Promise::Owner];
const SEGMENTS: [Segment; 6] = [
    Segment::Syn,
    Segment::Middle,
    Segment::Reset,
    Segment::Datagram,
    Segment::Error(Protocol::Tcp),
    Segment::Error(Protocol::Udp),
];

/// Every entry that a member of `count` may hold for the conversation, from whatever past.
fn entries(count: usize, protocol: Protocol) -> Vec<Option<Entry>> {
    let mut all = vec![None];
    for server in 0..count {
        for bound in [Some(service(protocol)), Some(mark(8)), None] {
            for phase in [Phase::Open, Phase::Closed] {
                let server = (address(server), PORT);
                all.push(Some(Entry { server, bound, phase, controlled: false }));
            }
        }
    }
    all
}

/// Every pair of sets of members.
fn subsets(count: usize) -> Vec<BTreeSet<usize>> {
    (0..1_usize << count).map(|bits| (0..count).filter(|n| bits >> n & 1 == 1).collect()).collect()
}

/// The finding with the shortest way among all states of a pair to which `change` was done.
fn explore(change: &dyn Fn(&mut Cluster)) -> Option<Box<Finding>> {
    let mut worst: Option<Box<Finding>> = None;
    let mut try_ = |cluster: &Cluster, segment| {
        if let Err(found) = check(cluster, packet(segment), &ALL)
            && worst
                .as_ref()
                .is_none_or(|w| (found.promise, found.walk.steps.len()) < (w.promise, w.walk.steps.len()))
        {
            worst = Some(found);
        }
    };
    for masters in subsets(2) {
        for first in subsets(2) {
            for second in subsets(2) {
                let sees = [first.clone(), second];
                let members: Vec<Member> = sees
                    .into_iter()
                    .enumerate()
                    .map(|(n, sees)| Member { master: masters.contains(&n), sees })
                    .collect();
                let mut base = fixture::of(&members);
                change(&mut base);
                for segment in SEGMENTS {
                    let talk = ipvs::conversation(&packet(segment));
                    for here in entries(2, talk.0) {
                        for there in entries(2, talk.0) {
                            let mut cluster = base.clone();
                            for (station, entry) in cluster.stations.iter_mut().zip([here, there]) {
                                station.entries.extend(entry.map(|entry| (talk, entry)));
                            }
                            try_(&cluster, segment);
                        }
                    }
                    for holder in 0..2 {
                        let mut cluster = base.clone();
                        cluster.stations[holder].sockets.insert(talk, 0x100);
                        try_(&cluster, segment);
                    }
                }
            }
        }
    }
    worst
}

fn without_chain(name: &'static str) -> impl Fn(&mut Cluster) {
    move |cluster| {
        for station in &mut cluster.stations {
            station.kernel.rules.chains.retain(|chain| chain.name != name);
        }
    }
}

fn sysctl(name: &'static str, value: &'static str) -> impl Fn(&mut Cluster) {
    move |cluster| {
        for station in &mut cluster.stations {
            station.kernel.sysctls.insert(format!("net/ipv4/vs/{name}"), value.into());
        }
    }
}

fn without_service(service: Virtual) -> impl Fn(&mut Cluster) {
    move |cluster| {
        for station in &mut cluster.stations {
            station.kernel.services.remove(&service);
        }
    }
}

/// A fellow is weighted like the box itself for what the box's own sockets expect.
fn equal_weights(cluster: &mut Cluster) {
    for station in &mut cluster.stations {
        let service = station.kernel.services.get_mut(&mark(8)).unwrap();
        service.destinations.values_mut().for_each(|d| d.weight = 100);
    }
}

/// The second box swapped its port, and the first was not told.
fn foreign_mac(cluster: &mut Cluster) {
    cluster.stations[1].links.get_mut(&lan()).unwrap().mac = mac(9);
}

#[test]
fn with_every_protection_nothing_is_found() {
    if let Some(finding) = explore(&|_| {}) {
        panic!("{finding}");
    }
}

#[test]
fn each_protection_that_is_taken_out_is_found_where_it_saves() {
    use Promise::{Once, Owner, Served};
    type Change = Box<dyn Fn(&mut Cluster)>;
    let table: Vec<(&str, Change, Promise)> = vec![
        ("way past IPVS", Box::new(without_chain("origin")), Served),
        ("way back behind it", Box::new(without_chain("delivered")), Served),
        ("weight 0 of the others", Box::new(equal_weights), Owner),
        (
            "last word and way past IPVS, of errors",
            Box::new(|c: &mut Cluster| {
                without_chain("errors")(c);
                without_chain("last_word")(c);
            }),
            Once,
        ),
        (
            "last word, of a service that the others serve no more",
            Box::new(|c: &mut Cluster| {
                without_chain("origin")(c);
                without_chain("last_word")(c);
            }),
            Once,
        ),
        ("a fellow's MAC", Box::new(foreign_mac), Once),
        ("expire_nodest_conn", Box::new(sysctl("expire_nodest_conn", "0")), Served),
        ("backup_only", Box::new(sysctl("backup_only", "1")), Owner),
        ("sloppy_tcp", Box::new(sysctl("sloppy_tcp", "0")), Owner),
        ("owner rule", Box::new(without_chain("owner")), Owner),
        ("service of the owner's fellow", Box::new(without_service(mark(9))), Owner),
        ("service of the owner", Box::new(without_service(mark(8))), Owner),
        (
            "all rules",
            Box::new(|c: &mut Cluster| c.stations.iter_mut().for_each(|s| s.kernel.rules = Rules::default())),
            Once,
        ),
    ];
    for (protection, change, promise) in table {
        let finding = explore(&change).unwrap_or_else(|| panic!("{protection}: nothing found"));
        println!("without {protection}: {finding}\n");
        assert_eq!(finding.promise, promise, "{protection}: {finding}");
    }
}

/// Where the way past IPVS stands, nothing comes to the last word; where it does not, that alone ends what would cross
/// again.
#[test]
fn each_of_two_layers_alone_keeps_a_packet_from_crossing_twice() {
    if let Some(finding) = explore(&without_chain("last_word")) {
        panic!("{finding}");
    }
    let finding = explore(&without_chain("origin")).expect("something is dropped");
    assert_ne!(finding.promise, Promise::Once, "{finding}");
}

#[test]
fn a_naive_pair_loops_until_the_packet_dies() {
    let mut naive = cluster(2);
    for station in &mut naive.stations {
        station.kernel.rules = Rules::default();
        station.kernel.services.retain(|service, _| matches!(service, Virtual::Address { .. }));
        let mine = station.kernel.addresses.iter().find(|a| a.cidr.prefix() == 24).unwrap().cidr.address();
        for service in station.kernel.services.values_mut() {
            service.destinations.retain(|(server, _), _| *server != mine);
        }
    }
    for (ttl, crossings) in [(64, 63), (255, 254), (2, 1)] {
        let packet = Packet { ttl, ..packet(Segment::Datagram) };
        let walks = walk(&naive, packet, Sender::Client, 0, &lan());
        assert_eq!(walks.len(), 1);
        assert_eq!(walks[0].crossings, crossings);
        assert!(matches!(walks[0].end, End::Expired { .. }));
    }
    let finding = check(&naive, packet(Segment::Syn), &ALL).unwrap_err();
    assert_eq!(
        finding.to_string(),
        "a packet crosses between members more than once: SYN 192.0.2.200:40000 > 192.0.2.100:80\n  \
         box0 gets it on lan, TTL 64\n  \
         box0 schedules it by tcp 192.0.2.100:80 to 192.0.2.2\n  \
         box0 sends it to box1\n  \
         box1 gets it on lan, TTL 63\n  \
         box1 schedules it by tcp 192.0.2.100:80 to 192.0.2.1\n  \
         box1 sends it to box0\n  and so on"
    );
}

/// The kernel's own order, each line one fact of it, on a healthy pair whose first box is master.
#[test]
fn the_walk_follows_the_kernel() {
    let ends = |cluster: &Cluster, segment| -> BTreeSet<String> {
        walk(cluster, packet(segment), Sender::Client, 0, &lan())
            .iter()
            .map(|w| format!("{:?}", w.end))
            .collect()
    };
    let both = ["Served { at: 0, mark: 256 }", "Served { at: 1, mark: 512 }"].map(String::from);
    assert_eq!(ends(&cluster(2), Segment::Syn), BTreeSet::from(both), "every turn of the scheduler is a way");

    let mut pair = cluster(2);
    let talk = ipvs::conversation(&packet(Segment::Syn));
    let to_second = Entry {
        server: (address(1), PORT),
        bound: Some(service(Protocol::Tcp)),
        phase: Phase::Open,
        controlled: false,
    };
    pair.stations[0].entries.insert(talk, to_second);
    assert_eq!(ends(&pair, Segment::Syn).len(), 1, "an entry decides before the scheduler");
    pair.stations[0].entries.insert(talk, Entry { phase: Phase::Closed, ..to_second });
    assert_eq!(ends(&pair, Segment::Syn).len(), 2, "one that is closed gives way to a SYN");
    pair.stations[0].entries.insert(talk, Entry { phase: Phase::Closed, controlled: true, ..to_second });
    assert_eq!(ends(&pair, Segment::Syn).len(), 1, "unless a template controls it");

    let mut unbound = cluster(2);
    unbound.stations[0].entries.insert(talk, Entry { bound: None, ..to_second });
    unbound.stations[0].kernel.services.get_mut(&service(Protocol::Tcp)).unwrap().destinations.clear();
    assert_eq!(ends(&unbound, Segment::Syn).len(), 1, "an entry without a destination forwards all the same");
    unbound.stations[0].kernel.services.clear();
    let passed = ["Served { at: 0, mark: 256 }".to_owned()];
    assert_eq!(ends(&unbound, Segment::Syn), BTreeSet::from(passed), "without a service there is no hook");

    let mut rst = cluster(2);
    rst.stations[0].answers = Answers::Ports(BTreeSet::new());
    assert_eq!(ends(&rst, Segment::Reset).len(), 1, "a reset is never scheduled");
}

/// A frame that went out to a box without a guard and comes back: what is readdressed then is not the conversation of
/// which the box remembers the server.
#[test]
fn what_comes_back_readdressed_is_served() {
    let member = |master, sees: &[usize]| Member { master, sees: sees.iter().copied().collect() };
    let mut cluster = fixture::of(&[member(true, &[0, 1]), member(false, &[0])]);
    cluster.stations[1].kernel.rules = Rules::default();
    for segment in [Segment::Syn, Segment::Datagram] {
        let walks = walk(&cluster, packet(segment), Sender::Client, 0, &lan());
        let ends: BTreeSet<u32> = walks.iter().map(|walk| walk.crossings).collect();
        assert_eq!(ends, [0, 2].into(), "{segment:?}");
        assert!(walks.iter().all(|walk| matches!(walk.end, End::Served { at: 0, .. })), "{segment:?}");
    }
}
