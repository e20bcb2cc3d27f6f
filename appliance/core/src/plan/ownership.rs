//! Whose connection is it? A director that lost its table, or never had it, gets segments in mid-stream of connections
//! that it knows nothing of. Decides which of them are this box's and which the other's, by asking the sockets; never
//! touches a packet that begins a connection, and never one that an entry knows: IPVS looks at its entries first.
//!
//! A connection of this box is one that a local socket expects. Sockets are told by their mark: a connection's first
//! segment carries a mark ([`BEGINS`] from a client, one of the guard's from a fellow director), and with
//! `tcp_fwmark_accept` the accepted socket keeps it. So a socket that merely listens does not count, be it bound to the virtual address or to
//! any. Sockets of half-open and of waiting-out connections cannot be asked for a mark, but there is no other kind that
//! expects a segment and can neither be said to have a mark nor to have none, so what is left over by both questions is
//! this box's too. Without that, the last segment of a handshake that a takeover cuts in two would be reset.
//!
//! This box's get [`HERE`]: served here. The others' can be told only where a service has exactly two servers; with
//! more, scheduling decides (`mh`, or the entries that fellows replay). They get a mark of the service and its other
//! server, so that health counts service by service although the rules change with the document only:
//!
//! - the other server is in while it is not known to be dead. In doubt, before its first check or while its box is silent,
//!   a segment that waits is better than a live connection that is reset;
//! - once it is dead, this box takes its place and answers with a reset, because nothing here expects the segment. A
//!   service without destinations would answer with an ICMP error, on which a client goes on waiting (`ip_vs_leave`;
//!   RFC 1122 §4.2.3.9).
//!
//! The scheduler is `fo`, which takes the highest weight there is: one deletion moves the mark, one addition moves it
//! back, with no moment between. Numbers come from the document, so every box has the same, but a box has only the ones
//! for others' servers: what it is told of by connection synchronisation under a number that it does not have is bound to
//! the service by address (`ip_vs_service_find`), and expires with the server there.
//!
//! Persistence is not touched: these services have none, so a segment in mid-stream neither reads nor makes a template.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::config::{Protocol, Server, Service};

use super::detour::{ports, to};
use super::rules::{Chain, Condition, CounterName, Mark, Rule, Verdict, flags};
use super::state::{Destination, Virtual, VirtualService};
use super::{HERE, Health, Perspective, Plan};

/// The mark of a client's first segment, for its socket to keep. No service is bound to it.
pub(super) const BEGINS: u32 = 0x100;

/// The first mark that names a service and a server of it.
const FIRST: u32 = 0x1000;

/// Weight of the server that a mark names, and of this box in its place.
const OTHER: u16 = 2;
const INSTEAD: u16 = 1;

/// This box tells its connections from the others' for `service`.
fn asks(box_: &Perspective<'_>, service: &Service) -> bool {
    service.protocol == Protocol::Tcp && box_.co_located(service) && box_.fellow_directors().next().is_some()
}

/// Services of this box with exactly one other server, that server, and the mark that names it.
fn others<'a>(box_: &Perspective<'a>) -> impl Iterator<Item = (u32, &'a Service, &'a Server, &'a Server)> {
    let pairs = box_.config.services.values().filter_map(|service| {
        let mut servers = service.servers.values();
        match (servers.next(), servers.next(), servers.next()) {
            (Some(one), Some(two), None) if service.protocol == Protocol::Tcp => Some((service, one, two)),
            _ => None,
        }
    });
    (FIRST..).step_by(2).zip(pairs).filter_map(|(number, (service, one, two))| {
        let mine = |server: &Server| server.member.as_ref() == Some(&box_.me.name);
        let (mark, me, other) = match (mine(one), mine(two)) {
            (true, false) => (number + 1, one, two),
            (false, true) => (number, two, one),
            _ => return None,
        };
        asks(box_, service).then_some((mark, service, me, other))
    })
}

/// The services that the marks lead to, of what this box directs.
pub(super) fn services(box_: &Perspective<'_>, plan: &mut Plan) {
    for (mark, service, me, other) in others(box_) {
        if !box_.directs(service) {
            continue;
        }
        let destination = |weight| Destination { weight, forwarding: service.forwarding };
        let here = box_.reaches(me).unwrap_or(me.address);
        let mut destinations = BTreeMap::from([((here, 0), destination(INSTEAD))]);
        let why = match box_.reaches(other) {
            _ if box_.health(service, &other.name) == Health::Down => {
                format!("{} is dead: what it held is reset", other.name)
            }
            None => format!("{} cannot be reached: what it holds is reset", other.name),
            Some(there) => {
                destinations.insert((there, 0), destination(OTHER));
                format!("what no socket here expects is {}'s", other.name)
            }
        };
        plan.because(format!("mark {mark}: open connections of {} at {}", service.name, other.name), why);
        plan.state.services.insert(
            Virtual::Mark { mark, ipv6: service.address.is_ipv6() },
            VirtualService { scheduler: "fo".into(), scheduler_flags: 0, persistence: 0, destinations },
        );
    }
}

/// The rules that ask: those for the chain that clients' frames pass, and the chains that they lead to.
pub(super) fn rules(box_: &Perspective<'_>) -> (Vec<Rule>, Vec<Chain>) {
    let asked = box_.config.services.values().filter(|service| asks(box_, service));
    let asked: BTreeSet<_> = asked.map(|s| (s.address, s.protocol, s.port)).collect();
    if asked.is_empty() {
        return (Vec::new(), Vec::new());
    }
    let tcp = |among, are| Condition::TcpFlags { among, are, not: false };
    let mut entrance = Vec::new();
    for conditions in ports(&asked) {
        let [address, port] = conditions;
        let middle = [address.clone(), port.clone(), tcp(flags::SYN | flags::RST, 0)];
        entrance.push(Rule::when(middle).then(Verdict::Jump("whose")));
        let first = [address, port, tcp(flags::SYN | flags::ACK | flags::RST, flags::SYN)];
        entrance.push(Rule::when(first).marked(Mark::Is(BEGINS)));
    }
    let mine = |condition| {
        Rule::when([condition]).counted(CounterName::Mine).marked(Mark::Is(HERE)).then(Verdict::Accept)
    };
    // What is not this box's makes the kernel search for a socket at each question, so that one comes first; the socket of
    // what is this box's routing has found already (`tcp_v4_early_demux`).
    let whose = vec![
        Rule::when([Condition::SocketMarked(false)]).then(Verdict::Jump("theirs")),
        mine(Condition::SocketMarked(true)),
        mine(Condition::SocketExpects),
        Rule::when([]).then(Verdict::Jump("theirs")),
    ];
    let mut marks: BTreeMap<IpAddr, BTreeMap<u16, u32>> = BTreeMap::new();
    for (mark, service, _, _) in others(box_) {
        marks.entry(service.address).or_default().insert(service.port, mark);
    }
    let mut theirs: Vec<Rule> = marks
        .into_iter()
        .map(|(address, marks)| {
            let ports = Condition::Port(Protocol::Tcp, marks.keys().copied().collect());
            // A single service is known here: only its segments come this way.
            let conditions = if asked.len() == 1 { vec![] } else { vec![to(address), ports] };
            let mark = match marks.values().next() {
                Some(&only) if marks.len() == 1 => Mark::Is(only),
                _ => Mark::ByPort(Protocol::Tcp, marks),
            };
            Rule::when(conditions).counted(CounterName::Theirs).marked(mark).then(Verdict::Accept)
        })
        .collect();
    // Never back to the question whether any socket expects it: the one that listens does.
    theirs.push(Rule::when([]).then(Verdict::Accept));
    let chain = |name, rules| Chain { name, base: None, rules };
    (entrance, vec![chain("whose", whose), chain("theirs", theirs)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::check::check;
    use crate::config::types::ServerName;
    use crate::plan::state::KernelState;
    use crate::plan::{View, plan};

    const PAIR: &str = include_str!("../../../../examples/pair.toml");

    /// The pair with another service behind its virtual address.
    fn two_services() -> Config {
        let (head, service) = PAIR.split_at(PAIR.find("[[service]]").expect("the example has a service"));
        let (service, tail) = service.split_at(service.find("[observe]").expect("and an observer"));
        let another = service.replace("\"pos\"", "\"web\"").replace("8898", "443");
        check(&format!("{head}{service}{another}{tail}")).expect("right")
    }

    fn planned(config: &Config, me: &str, health: &[(&str, &str, Health)]) -> KernelState {
        let mut view = View::default();
        for service in config.services.values() {
            for server in service.servers.keys() {
                view.health.insert((service.name.clone(), server.clone()), Health::Up);
            }
        }
        for (service, server, health) in health {
            let key = (service.parse().expect("a name"), ServerName((*server).to_owned()));
            view.health.insert(key, *health);
        }
        plan(config, &me.parse().expect("a name"), &view).state
    }

    /// The marks other than [`HERE`], each with its servers' last octets by falling weight.
    fn marks(state: &KernelState) -> Vec<(u32, Vec<u8>)> {
        let of = |(which, service): (&Virtual, &VirtualService)| match *which {
            Virtual::Mark { mark, .. } if mark != HERE => {
                let mut servers: Vec<_> = service.destinations.iter().collect();
                servers.sort_by_key(|(_, destination)| std::cmp::Reverse(destination.weight));
                let last =
                    |address: IpAddr| address.to_string().rsplit('.').next().and_then(|n| n.parse().ok());
                Some((mark, servers.into_iter().filter_map(|((address, _), _)| last(*address)).collect()))
            }
            _ => None,
        };
        state.services.iter().filter_map(of).collect()
    }

    fn rules_of<'s>(state: &'s KernelState, chain: &str) -> &'s [Rule] {
        state.rules.chains.iter().find(|c| c.name == chain).map_or(&[], |c| &c.rules)
    }

    #[test]
    fn every_service_has_a_mark_of_its_own_for_the_other_server_and_no_box_one_for_itself() {
        let config = two_services();
        assert_eq!(marks(&planned(&config, "castor", &[])), [(4097, vec![238, 236]), (4099, vec![238, 236])]);
        assert_eq!(marks(&planned(&config, "pollux", &[])), [(4096, vec![236, 238]), (4098, vec![236, 238])]);
    }

    #[test]
    fn only_a_dead_server_loses_its_connections_and_only_those_of_that_service() {
        let config = two_services();
        for (health, servers) in
            [(Health::Unknown, vec![238, 236]), (Health::Suspect, vec![238, 236]), (Health::Down, vec![236])]
        {
            let state = planned(&config, "castor", &[("pos", "pollux", health)]);
            assert_eq!(marks(&state), [(4097, servers), (4099, vec![238, 236])], "{health:?}");
        }
        let own = planned(&config, "castor", &[("pos", "castor", Health::Down)]);
        assert_eq!(marks(&own), [(4097, vec![238, 236]), (4099, vec![238, 236])]);
    }

    #[test]
    fn health_never_changes_a_rule() {
        let config = two_services();
        let well = planned(&config, "castor", &[]).rules;
        for health in [Health::Unknown, Health::Suspect, Health::Down] {
            assert_eq!(planned(&config, "castor", &[("web", "pollux", health)]).rules, well);
        }
    }

    #[test]
    fn sockets_are_asked_in_an_order_in_which_one_that_listens_never_counts() {
        let state = planned(&two_services(), "castor", &[]);
        let steps: Vec<_> =
            rules_of(&state, "whose").iter().map(|r| (&r.conditions[..], r.verdict)).collect();
        let theirs = Some(Verdict::Jump("theirs"));
        assert_eq!(
            steps,
            [
                (&[Condition::SocketMarked(false)][..], theirs),
                (&[Condition::SocketMarked(true)], Some(Verdict::Accept)),
                (&[Condition::SocketExpects], Some(Verdict::Accept)),
                (&[], theirs),
            ]
        );
        let [named, rest] = rules_of(&state, "theirs") else { panic!("one address, and the rest") };
        assert_eq!(named.mark, Some(Mark::ByPort(Protocol::Tcp, [(8898, 4097), (443, 4099)].into())));
        assert_eq!((&rest.conditions[..], rest.verdict), (&[][..], Some(Verdict::Accept)));
    }

    #[test]
    fn with_three_members_only_what_is_here_can_be_told() {
        let third = "[[member]]\nname = \"helen\"\nroles = [\"director\", \"real-server\"]\npriority = 98\n\
            [[member.interface]]\nname = \"lan\"\nmac = \"52:54:00:00:00:0c\"\naddresses = [\"192.168.0.240/24\"]\n\n[[vrrp]]";
        let three = PAIR
            .replace("[[vrrp]]", third)
            .replace("[observe]", "[[service.server]]\nmember = \"helen\"\nweight = 1\n\n[observe]");
        let state = planned(&check(&three).expect("right"), "castor", &[]);
        assert_eq!(marks(&state), []);
        assert_eq!(rules_of(&state, "theirs").len(), 1);
        assert_eq!(rules_of(&state, "whose")[1].mark, Some(Mark::Is(HERE)));
    }

    #[test]
    fn datagrams_and_a_single_director_ask_nobody() {
        let udp = PAIR
            .replace("protocol = \"tcp\"", "protocol = \"udp\"")
            .replace("kind = \"tcp\"", "kind = \"tcp\"\nport = 8898");
        let (castor, pollux) = PAIR.split_at(PAIR.find("name = \"pollux\"").expect("the example names it"));
        let single =
            format!("{castor}{}", pollux.replacen("[\"director\", \"real-server\"]", "[\"real-server\"]", 1));
        for document in [udp, single] {
            let state = planned(&check(&document).expect("right"), "castor", &[]);
            assert!(rules_of(&state, "whose").is_empty() && marks(&state).is_empty());
        }
    }
}
