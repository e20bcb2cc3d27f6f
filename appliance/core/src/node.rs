//! The engine's mind on one box: what it knows, put together, and what follows from it.
//!
//! A [`Node`] is told what happened ([`Event`]), says what to do ([`Action`]) and when it wants to be asked again, and
//! gives the complete kernel state for what it knows ([`Node::plan`]). It shares knowledge between the parts that
//! elsewhere do not talk: a member whose advertisements stop is a suspect server before any check of it fails.
//!
//! It never runs VRRP itself: that has a thread of its own, whose state changes arrive here as events.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::config::types::{InstanceId, LinkName, Mac, MemberName, ServerName, ServiceName};
use crate::config::{Config, Member, Port, Server, Service, Storm};
use crate::health::checker::Checker;
use crate::moment::Moment;
use crate::plan::state::Virtual;
use crate::plan::{self, Health, Plan, View, VrrpState};
use crate::reconcile::Observed;
use crate::standby::{Echo, Prober};

/// A real server of a service.
pub type ServerKey = (ServiceName, ServerName);

/// What can happen to a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A virtual router of this box changed its state.
    Vrrp {
        /// Which.
        id: InstanceId,
        /// Its new state.
        state: VrrpState,
        /// The master whose silence made this box master; `None` when it left in order, or when none was ever heard.
        silent: Option<IpAddr>,
    },
    /// A health check came to an end.
    Checked {
        /// Of which server.
        server: ServerKey,
        /// The number that [`Action::Check`] gave it.
        number: u64,
        /// How it went; the error is a sentence for people.
        outcome: Result<(), String>,
    },
    /// The neighbour table, as far as it knows addresses: link, address, MAC.
    Neighbours(BTreeSet<(LinkName, IpAddr, Mac)>),
    /// An echo request came to an end.
    Echoed {
        /// Who was asked.
        target: IpAddr,
        /// The number that [`Action::Echo`] gave it.
        number: u64,
        /// An answer came in time.
        answered: bool,
    },
    /// A link of this box became usable: what failed for want of it is tried again at once.
    Connected,
    /// Whether this box's port on the segment for forwarding has a carrier.
    Forwarding(Carrier),
    /// This box waits for nothing but its first healthy servers: those that were checked in vain are checked again.
    Awaited,
    /// This box is about to stop.
    Leaving,
    /// Time passed.
    Timeout,
}

/// Whether a port has a carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// It has.
    Up,
    /// It has not, or there is no such port.
    Down,
}

/// What a node wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Carry a health check out and answer with [`Event::Checked`].
    Check {
        /// Of which server.
        server: ServerKey,
        /// To be repeated in the answer.
        number: u64,
        /// Where to.
        target: SocketAddr,
        /// Total deadline.
        limit: Duration,
    },
    /// Send an ICMP echo request and answer with [`Event::Echoed`].
    Echo(Echo),
    /// Tell the virtual routers which fellow directors answer pings
    /// ([`machine::Event::Answering`](crate::vrrp::machine::Event::Answering)).
    Answering(BTreeSet<IpAddr>),
    /// A server's health changed: for the log.
    HealthChanged {
        /// Which server.
        server: ServerKey,
        /// What it was.
        from: Health,
        /// What it is.
        to: Health,
        /// Why, for people.
        why: String,
    },
}

/// The engine's mind on one box.
#[derive(Debug)]
pub struct Node {
    config: Config,
    me: Option<MemberName>,
    view: View,
    checkers: BTreeMap<ServerKey, Checker>,
    known_macs: BTreeMap<(LinkName, IpAddr), Mac>,
    /// A standby's pings.
    prober: Option<Prober>,
    /// Who was last said to answer them.
    answering: BTreeSet<IpAddr>,
    actions: Vec<Action>,
    seed: u64,
}

impl Node {
    /// A node without a configuration. `seed` spreads the health checks of several boxes in time.
    pub fn new(seed: u64) -> Self {
        Self {
            config: Config::empty(),
            me: None,
            view: View::default(),
            checkers: BTreeMap::new(),
            known_macs: BTreeMap::new(),
            prober: None,
            answering: BTreeSet::new(),
            actions: Vec::new(),
            seed,
        }
    }

    /// Takes a configuration in which this box is `me`. Servers that both configurations check in the same way keep
    /// what is known of them.
    pub fn configure(&mut self, config: Config, me: MemberName, now: Moment) {
        let director = config.members.get(&me).is_some_and(|m| m.director);
        let mut checkers = BTreeMap::new();
        for (key, service, server) in servers(&config) {
            let Some(check) = service.check.as_ref().filter(|_| director) else { continue };
            let kept = self.checkers.remove(&key).filter(|_| {
                self.server(&key).is_some_and(|(old_service, old)| {
                    old_service.check == service.check
                        && (old.address, old.forward) == (server.address, server.forward)
                        && old.port == server.port
                })
            });
            let seed = self.seed.wrapping_add(checkers.len() as u64);
            checkers.insert(key, kept.unwrap_or_else(|| Checker::new(check, seed, now)));
        }
        self.checkers = checkers;
        self.view.vrrp.retain(|id, _| config.vrrp.contains_key(id));
        self.config = config;
        self.me = Some(me);
        self.ping(now);
        self.learn();
        self.settle(now);
    }

    /// Believes what the kernel held before this engine started: a server that is in the table is healthy until a
    /// check says otherwise.
    pub fn adopt(&mut self, observed: &Observed, now: Moment) {
        for (key, service, server) in servers(&self.config) {
            let service =
                Virtual::Address { protocol: service.protocol, address: service.address, port: service.port };
            let in_table = observed.services.get(&service).is_some_and(|s| {
                let way = self
                    .me
                    .as_ref()
                    .and_then(|me| plan::reached_at(&self.config, me, server, self.view.forward_down));
                way.is_some_and(|address| s.destinations.contains_key(&(address, server.port)))
            });
            if in_table && let Some(checker) = self.checkers.get_mut(&key) {
                checker.adopt(now);
            }
        }
        self.settle(now);
    }

    /// Takes an event in. Total: whatever arrives in whatever state has a meaning, even if it is none.
    pub fn handle(&mut self, event: Event, now: Moment) {
        match event {
            Event::Vrrp { id, state, silent } => {
                let before = self.view.vrrp.insert(id, state);
                if state == VrrpState::Master && before != Some(VrrpState::Master) {
                    self.doubt_others(silent, now);
                }
            }
            Event::Checked { server, number, outcome } => {
                if let Some(checker) = self.checkers.get_mut(&server) {
                    checker.handle_outcome(number, outcome, now);
                }
            }
            Event::Neighbours(neighbours) => {
                for (link, address, mac) in neighbours {
                    self.known_macs.insert((link, address), mac);
                }
                self.learn();
            }
            Event::Connected => {
                for checker in self.checkers.values_mut().filter(|c| c.health() != Health::Up) {
                    checker.recheck(now);
                }
            }
            Event::Echoed { target, number, answered } => {
                if let Some(prober) = &mut self.prober {
                    prober.handle_outcome(target, number, answered);
                }
            }
            Event::Forwarding(carrier) => self.take_other_way(carrier, now),
            Event::Awaited => self.checkers.values_mut().for_each(Checker::hurry),
            Event::Leaving => self.view.leaving = true,
            Event::Timeout => {}
        }
        for checker in self.checkers.values_mut() {
            checker.handle_timeout(now);
        }
        if let Some(prober) = &mut self.prober {
            prober.handle_timeout(now);
        }
        self.settle(now);
    }

    /// What to do next; `None`: nothing until the next event or [`Node::poll_timeout`].
    pub fn poll_action(&mut self) -> Option<Action> {
        (!self.actions.is_empty()).then(|| self.actions.remove(0))
    }

    /// When the node wants an [`Event::Timeout`].
    pub fn poll_timeout(&self) -> Option<Moment> {
        let pings = self.prober.as_ref().and_then(Prober::poll_timeout);
        self.checkers.values().filter_map(Checker::poll_timeout).chain(pings).min()
    }

    /// The complete kernel state for what is known now.
    pub fn plan(&self) -> Plan {
        let nobody: MemberName = "unconfigured".parse().expect("lower-case letters make a name");
        plan::plan(&self.config, self.me.as_ref().unwrap_or(&nobody), &self.view)
    }

    /// Whether this box has somewhere to send what it would be asked for: a healthy server for every service. A director
    /// that preempts before that refuses what its fellow would have served.
    pub fn can_direct(&self) -> bool {
        self.config.services.values().all(|service| {
            let healthy = |server: &ServerName| {
                self.view.health.get(&(service.name.clone(), server.clone())) == Some(&Health::Up)
            };
            service.check.is_none() || service.servers.keys().any(healthy)
        })
    }

    /// The configuration in force; empty before the first.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Which member this box is.
    pub fn me(&self) -> Option<&MemberName> {
        self.me.as_ref()
    }

    /// What is known.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// Why a server is in the health that it is in, for people.
    pub fn why(&self, server: &ServerKey) -> Option<&str> {
        self.checkers.get(server).map(Checker::why)
    }

    /// The fellow directors that this box pings, with the number of requests in a row that had no answer; empty where no
    /// standby is asked for.
    pub fn pings(&self) -> BTreeMap<IpAddr, u8> {
        self.prober.iter().flat_map(Prober::missed).collect()
    }

    /// As a standby, pings every fellow director where it speaks VRRP. A backup checks servers as a master does: its first
    /// table must hold nobody who is not known to be healthy.
    fn ping(&mut self, now: Moment) {
        let me = self.me.as_ref().and_then(|me| self.config.members.get(me)).filter(|me| me.director);
        let (Storm::Standby(probing), Some(me)) = (&self.config.cluster.storm, me) else {
            self.prober = None;
            return;
        };
        let fellows = self.config.members.values().filter(|member| member.director && member.name != me.name);
        let links: BTreeSet<&LinkName> = self.config.vrrp.keys().map(|id| &id.interface).collect();
        let ports = fellows.flat_map(|fellow| links.iter().filter_map(|link| fellow.interfaces.get(*link)));
        let addresses = ports.flat_map(|port| port.addresses.iter().map(|own| own.address())).collect();
        if !self.prober.as_ref().is_some_and(|prober| prober.is(*probing, &addresses)) {
            self.prober = Some(Prober::new(*probing, addresses, now));
        }
    }

    /// Whether fellows are forwarded to over the segment for that, or over another while it is down: on the other way they
    /// are healthy when a check by that way passed.
    fn take_other_way(&mut self, carrier: Carrier, now: Moment) {
        let down = carrier == Carrier::Down;
        if std::mem::replace(&mut self.view.forward_down, down) == down {
            return;
        }
        let me = self.me.as_ref();
        for (key, _, server) in servers(&self.config) {
            if server.forward.is_some()
                && server.member.as_ref() != me
                && let Some(checker) = self.checkers.get_mut(&key)
            {
                checker.suspect(now);
            }
        }
    }

    /// This box took an address over. The servers of a member that fell silent are suspects; those of every other
    /// fellow are checked at once, since a master that left in order may take its applications along.
    fn doubt_others(&mut self, silent: Option<IpAddr>, now: Moment) {
        let silent = silent.and_then(|address| self.speaker(address));
        for (key, _, server) in servers(&self.config) {
            let (Some(member), Some(checker)) = (&server.member, self.checkers.get_mut(&key)) else {
                continue;
            };
            if Some(member) == silent.as_ref() {
                checker.suspect(now);
            } else if Some(member) != self.me.as_ref() {
                checker.recheck(now);
            }
        }
    }

    /// The member that advertises from `source`: its own address or, over IPv6, the link-local one that the kernel makes
    /// of a port's MAC.
    fn speaker(&self, source: IpAddr) -> Option<MemberName> {
        if source.is_ipv4() {
            return member_at(&self.config, source);
        }
        let speaks = |member: &&Member| self.link_locals(member).any(|own| own == source);
        self.config.members.values().find(speaks).map(|member| member.name.clone())
    }

    /// The link-local addresses that a member's kernel makes of its ports' MACs.
    fn link_locals<'a>(&'a self, member: &'a Member) -> impl Iterator<Item = IpAddr> + 'a {
        let written = member.interfaces.values().filter_map(|interface| match interface.port {
            Port::Mac(mac) => Some(mac),
            Port::Path(_) => None,
        });
        let learnt = self.view.neighbours.get(&member.name).into_iter().flatten().map(|(_, mac)| *mac);
        written.chain(learnt).map(|mac| mac.link_local().into())
    }

    /// Which MACs the fellows have, as far as the neighbour table ever knew: an entry that the kernel forgets for lack of
    /// traffic is still right, until another MAC takes its place. An address counts only where the document has it: a
    /// stranger's entry, or a member's on another segment, says nothing.
    fn learn(&mut self) {
        let mut macs: BTreeMap<MemberName, BTreeSet<(LinkName, Mac)>> = BTreeMap::new();
        for ((link, address), mac) in &self.known_macs {
            let there = |member: &&Member| {
                member
                    .interfaces
                    .get(link)
                    .is_some_and(|i| i.addresses.iter().any(|a| a.address() == *address))
            };
            if let Some(member) = self.config.members.values().find(there)
                && Some(&member.name) != self.me.as_ref()
            {
                macs.entry(member.name.clone()).or_default().insert((link.clone(), *mac));
            }
        }
        self.view.neighbours = macs;
    }

    /// Gathers what the checkers want and what they know.
    fn settle(&mut self, now: Moment) {
        let mut health = BTreeMap::new();
        for (key, checker) in &mut self.checkers {
            while let Some(probe) = checker.poll_action(now) {
                let found = self.config.services.get(&key.0).and_then(|s| Some((s, s.servers.get(&key.1)?)));
                let Some((service, server)) = found else { continue };
                // Refused for want of the segment: it is absent whatever this says.
                let way = self.me.as_ref().and_then(|me| {
                    plan::reached_at(&self.config, me, server, self.view.forward_down).or(server.forward)
                });
                let port = service.check.as_ref().and_then(|c| c.port).unwrap_or(server.port);
                self.actions.push(Action::Check {
                    server: key.clone(),
                    number: probe.number,
                    target: SocketAddr::new(way.unwrap_or(server.address), port),
                    limit: probe.limit,
                });
            }
            let from = *self.view.health.get(key).unwrap_or(&Health::Unknown);
            let to = checker.health();
            if from != to {
                let why = checker.why().to_owned();
                self.actions.push(Action::HealthChanged { server: key.clone(), from, to, why });
            }
            health.insert(key.clone(), to);
        }
        self.view.health = health;
        let mut answering = BTreeSet::new();
        if let Some(prober) = &mut self.prober {
            while let Some(echo) = prober.poll_action(now) {
                self.actions.push(Action::Echo(echo));
            }
            answering = prober.answering();
        }
        // Over IPv6 a master advertises from its link-local address.
        let speakers = self.config.members.values().filter(|member| {
            let mut own = member.interfaces.values().flat_map(|port| &port.addresses);
            own.any(|own| answering.contains(&own.address()))
        });
        let link_locals: Vec<IpAddr> = speakers.flat_map(|member| self.link_locals(member)).collect();
        answering.extend(link_locals);
        if answering != self.answering {
            self.answering.clone_from(&answering);
            self.actions.push(Action::Answering(answering));
        }
    }

    fn server(&self, (service, server): &ServerKey) -> Option<(&Service, &Server)> {
        let service = self.config.services.get(service)?;
        Some((service, service.servers.get(server)?))
    }
}

/// Every server of every service.
fn servers(config: &Config) -> impl Iterator<Item = (ServerKey, &Service, &Server)> {
    config.services.values().flat_map(|service| {
        service.servers.values().map(move |s| ((service.name.clone(), s.name.clone()), service, s))
    })
}

/// The member that has `address` as its own.
fn member_at(config: &Config, address: IpAddr) -> Option<MemberName> {
    config
        .members
        .values()
        .find(|m| m.interfaces.values().any(|i| i.addresses.iter().any(|a| a.address() == address)))
        .map(|m| m.name.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::check;

    const PAIR: &str = include_str!("../../../examples/pair.toml");
    const STANDBY: &str = include_str!("../../../examples/standby.toml");

    fn at(millis: u64) -> Moment {
        Moment::from_boot(Duration::from_millis(millis))
    }

    fn castor() -> Node {
        let mut node = Node::new(1);
        node.configure(check(PAIR).expect("the example is right"), "castor".parse().expect("a name"), at(0));
        node
    }

    /// Answers every check that is wanted now: only servers in `alive` pass. Returns who was asked.
    fn answer(node: &mut Node, alive: &[&str], now: Moment) -> Vec<String> {
        let mut asked = Vec::new();
        while let Some(action) = node.poll_action() {
            let Action::Check { server, number, .. } = action else { continue };
            let name = server.1.to_string();
            let outcome = if alive.contains(&name.as_str()) { Ok(()) } else { Err("no answer".to_owned()) };
            node.handle(Event::Checked { server, number, outcome }, now);
            asked.push(name);
        }
        asked
    }

    fn in_table(node: &Node) -> Vec<String> {
        let state = node.plan().state;
        let table = state.services.iter().find(|(service, _)| matches!(service, Virtual::Address { .. }));
        table.map(|(_, s)| s.destinations.keys().map(|(a, _)| a.to_string()).collect()).unwrap_or_default()
    }

    fn instance(node: &Node) -> InstanceId {
        node.config().vrrp.keys().next().expect("one instance").clone()
    }

    const BOTH: [&str; 2] = ["castor", "pollux"];

    #[test]
    fn a_box_that_boots_alone_sends_nobody_to_the_absent_one() {
        let mut node = castor();
        assert!(in_table(&node).is_empty(), "nothing is in before its first check");
        assert_eq!(answer(&mut node, &["castor"], at(1)), BOTH);
        assert_eq!(in_table(&node), ["192.168.0.236"]);
    }

    #[test]
    fn a_box_can_direct_once_a_server_of_every_service_is_healthy_and_a_usable_link_speeds_that_up() {
        let mut node = castor();
        assert!(!node.can_direct());
        assert_eq!(answer(&mut node, &[], at(1)), BOTH, "the network is not there yet");
        assert!(answer(&mut node, &BOTH, at(2)).is_empty(), "and the next check is an interval away");
        node.handle(Event::Connected, at(3));
        assert_eq!(answer(&mut node, &[], at(3)), BOTH, "nor do the applications run");
        node.handle(Event::Awaited, at(4));
        let slow: Vec<_> = std::iter::from_fn(|| node.poll_action()).collect();
        assert_eq!(slow.iter().filter(|action| matches!(action, Action::Check { .. })).count(), 2);
        node.handle(Event::Awaited, at(5));
        assert_eq!(node.poll_action(), None, "a check that runs goes on");
        for action in slow {
            if let Action::Check { server, number, .. } = action {
                let outcome =
                    if server.1.to_string() == "pollux" { Ok(()) } else { Err("no answer".to_owned()) };
                node.handle(Event::Checked { server, number, outcome }, at(6));
            }
        }
        assert!(node.can_direct());
        node.handle(Event::Connected, at(7));
        assert_eq!(answer(&mut node, &BOTH, at(7)), ["castor"], "a healthy server is left alone");
    }

    #[test]
    fn a_silent_master_leaves_the_table_in_the_plan_that_takes_its_address_over() {
        let mut node = castor();
        answer(&mut node, &BOTH, at(1));
        assert_eq!(in_table(&node).len(), 2);
        let id = instance(&node);
        let silent = Some([192, 168, 0, 238].into());
        node.handle(Event::Vrrp { id, state: VrrpState::Master, silent }, at(1000));
        assert_eq!(in_table(&node), ["192.168.0.236"]);
        assert_eq!(answer(&mut node, &["castor"], at(1001)), ["pollux"], "the suspect is checked at once");
        assert_eq!(in_table(&node), ["192.168.0.236"]);
        node.handle(Event::Timeout, at(2001));
        answer(&mut node, &BOTH, at(2001));
        assert_eq!(in_table(&node).len(), 2, "a passed check brings it back: only VRRP was cut");
    }

    #[test]
    fn over_ipv6_a_silent_master_is_known_by_its_link_local_address() {
        let mut node = castor();
        answer(&mut node, &BOTH, at(1));
        let id = instance(&node);
        let silent = "fe80::5054:ff:fe00:b".parse().ok();
        node.handle(Event::Vrrp { id, state: VrrpState::Master, silent }, at(1000));
        assert_eq!(in_table(&node), ["192.168.0.236"], "pollux has that MAC");
    }

    #[test]
    fn a_master_that_left_in_order_is_checked_at_once_and_stays_in_until_that_fails() {
        for (alive, expected) in [(&BOTH[..], 2), (&["castor"][..], 1)] {
            let mut node = castor();
            answer(&mut node, &BOTH, at(1));
            let id = instance(&node);
            node.handle(Event::Vrrp { id, state: VrrpState::Master, silent: None }, at(1000));
            assert_eq!(in_table(&node).len(), 2, "connections that live there live on");
            answer(&mut node, alive, at(1001));
            assert_eq!(in_table(&node).len(), expected);
        }
    }

    #[test]
    fn a_replaced_card_is_learnt_the_old_one_forgotten_and_a_stranger_ignored() {
        let mut node = castor();
        let (lan, back): (LinkName, LinkName) =
            ("lan".parse().expect("a name"), "back".parse().expect("a name"));
        let mac = |last| Mac([2, 0, 0, 0, 0, last]);
        let pollux = IpAddr::from([192, 168, 0, 238]);
        let mut peers = |link: &LinkName, address: IpAddr, last| -> Vec<Mac> {
            let entry = BTreeSet::from([(link.clone(), address, mac(last))]);
            node.handle(Event::Neighbours(entry), at(1));
            node.plan().guarded.peers.into_iter().map(|(_, mac)| mac).collect()
        };
        let written = Mac([0x52, 0x54, 0, 0, 0, 0x0b]);
        assert_eq!(peers(&lan, pollux, 1), [mac(1), written]);
        assert_eq!(peers(&lan, pollux, 2), [mac(2), written], "the document's stays, the learnt one goes");
        for (link, address) in [
            (&lan, [192, 168, 0, 77]),
            (&lan, [192, 168, 0, 239]),
            (&lan, [192, 168, 0, 236]),
            (&back, [192, 168, 0, 238]),
        ] {
            assert_eq!(peers(link, address.into(), 9), [mac(2), written], "{address:?} on {link}");
        }
        node.handle(Event::Neighbours(BTreeSet::new()), at(2));
        assert_eq!(node.plan().guarded.peers.len(), 2, "an entry that lapses is still right");
    }

    #[test]
    fn a_standby_pings_its_fellow_and_says_who_answers_when_that_changes() {
        let pollux: IpAddr = [192, 168, 0, 238].into();
        let mut node = Node::new(1);
        node.configure(check(STANDBY).expect("right"), "castor".parse().expect("a name"), at(0));
        let mut told = Vec::new();
        for second in 0..6 {
            node.handle(Event::Timeout, at(second * 1000));
            while let Some(action) = node.poll_action() {
                match action {
                    Action::Echo(Echo { target, number, .. }) => {
                        assert_eq!(target, pollux);
                        let answered = second == 0 || second == 5;
                        node.handle(Event::Echoed { target, number, answered }, at(second * 1000 + 1));
                    }
                    Action::Answering(who) => told.push((second, who.contains(&pollux))),
                    Action::Check { .. } | Action::HealthChanged { .. } => {}
                }
            }
        }
        assert_eq!(told, [(0, true), (3, false), (5, true)]);
        node.configure(check(PAIR).expect("right"), "castor".parse().expect("a name"), at(9000));
        let last =
            std::iter::from_fn(|| node.poll_action()).filter(|a| matches!(a, Action::Answering(_))).last();
        assert_eq!(
            last,
            Some(Action::Answering(BTreeSet::new())),
            "another strategy waits for nobody's silence"
        );
    }

    #[test]
    fn a_restarted_engine_keeps_what_is_in_the_table() {
        let mut observed = Observed::default();
        let mut before = castor();
        answer(&mut before, &BOTH, at(1));
        for (service, wanted) in before.plan().state.services {
            let facts = observed.services.entry(service).or_default();
            for key in wanted.destinations.keys() {
                let nothing = crate::reconcile::DestinationFacts { weight: 0, forwarding: None };
                facts.destinations.insert(*key, nothing);
            }
        }
        let mut after = castor();
        after.adopt(&observed, at(2));
        assert_eq!(in_table(&after).len(), 2);
        for second in [2, 3, 6, 9, 12] {
            node_time(&mut after, second);
            answer(&mut after, &["castor"], at(second * 1000));
        }
        assert_eq!(in_table(&after), ["192.168.0.236"], "but not against its checks");
    }

    fn node_time(node: &mut Node, second: u64) {
        node.handle(Event::Timeout, at(second * 1000));
    }

    #[test]
    fn a_document_that_leaves_a_server_as_it_was_keeps_what_is_known_of_it() {
        let mut node = castor();
        answer(&mut node, &BOTH, at(1));
        let changed = check(&PAIR.replace("revision = 1 ", "revision = 2 ").replace("\"rr\"", "\"wrr\""))
            .expect("right");
        node.configure(changed, "castor".parse().expect("a name"), at(2));
        assert_eq!(in_table(&node).len(), 2);
        let other = check(&PAIR.replace("timeout = \"10s\"", "timeout = \"9s\"")).expect("right");
        node.configure(other, "castor".parse().expect("a name"), at(3));
        assert!(in_table(&node).is_empty(), "another check knows nothing yet");
    }
}
