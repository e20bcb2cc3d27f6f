//! The engine's mind on one box: what it knows, put together, and what follows from it.
//!
//! A [`Node`] is told what happened ([`Event`]), says what to do ([`Action`]) and when it wants to be asked again, and
//! gives the complete kernel state for what it knows ([`Node::plan`]). It shares knowledge between the parts that
//! elsewhere do not talk: a member whose advertisements stop is a suspect server before any check of it fails.
//!
//! It never runs VRRP itself: that has a thread of its own, whose state changes arrive here as events.

mod event;
mod fellows;
mod leases;
#[cfg(test)]
mod tests;

pub use event::{Action, Carrier, Event};

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::config::types::{InstanceId, LinkName, Mac, MemberName, ServerName, ServiceName};
use crate::config::{Config, Server, Service};
use crate::dhcp::Lease;
use crate::health::checker::Checker;
use crate::moment::Moment;
use crate::plan::state::Virtual;
use crate::plan::{self, Health, Plan, View, VrrpState};
use crate::reconcile::Observed;
use crate::standby::Prober;

/// How long a client that has missed every announcement may go on sending to a box that yielded: until its neighbour entry
/// is asked about and not confirmed (RFC 4861 §6.3.2 and §10: reachable for up to 45 s, 5 s of delay, 3 probes of 1 s),
/// rounded up. Linux treats ARP in the same way.
const ATTACHED: Duration = Duration::from_secs(60);

/// A real server of a service.
pub type ServerKey = (ServiceName, ServerName);

/// The engine's mind on one box.
#[derive(Debug)]
pub struct Node {
    config: Config,
    me: Option<MemberName>,
    view: View,
    /// Until when this box hands on what clients go on sending after it was master.
    yielded: BTreeMap<InstanceId, Moment>,
    checkers: BTreeMap<ServerKey, Checker>,
    known_macs: BTreeMap<(LinkName, IpAddr), Mac>,
    /// What DHCP servers lent, fit to be used or not.
    leases: BTreeMap<LinkName, Lease>,
    /// A standby's pings.
    prober: Option<Prober>,
    /// Who was last said to answer them.
    answering: BTreeSet<IpAddr>,
    actions: VecDeque<Action>,
    seed: u64,
}

impl Node {
    /// A node without a configuration. `seed` spreads the health checks of several boxes in time.
    pub fn new(seed: u64) -> Self {
        Self {
            config: Config::empty(),
            me: None,
            view: View::default(),
            yielded: BTreeMap::new(),
            checkers: BTreeMap::new(),
            known_macs: BTreeMap::new(),
            leases: BTreeMap::new(),
            prober: None,
            answering: BTreeSet::new(),
            actions: VecDeque::new(),
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
        self.yielded.retain(|id, _| config.vrrp.contains_key(id));
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
                let before = self.view.vrrp.insert(id.clone(), state);
                match (before == Some(VrrpState::Master), state == VrrpState::Master) {
                    (false, true) => self.doubt_others(silent, now),
                    (true, false) => {
                        self.yielded.insert(id, now + ATTACHED);
                    }
                    _ => {}
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
            Event::Farewell(from) => self.doubt(from, now),
            Event::Leased(link, Some(lease)) => drop(self.leases.insert(link, lease)),
            Event::Leased(link, None) => drop(self.leases.remove(&link)),
            Event::Leaving => self.view.leaving = true,
            Event::JoinOpen(open) => self.view.join_open = open,
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
        self.actions.pop_front()
    }

    /// When the node wants an [`Event::Timeout`].
    pub fn poll_timeout(&self) -> Option<Moment> {
        let pings = self.prober.as_ref().and_then(Prober::poll_timeout);
        let yielded = self.yielded.values().copied();
        self.checkers.values().filter_map(Checker::poll_timeout).chain(pings).chain(yielded).min()
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
                self.actions.push_back(Action::Check {
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
                self.actions.push_back(Action::HealthChanged { server: key.clone(), from, to, why });
            }
            health.insert(key.clone(), to);
        }
        self.view.health = health;
        self.yielded.retain(|_, until| now < *until);
        self.view.yielded = self.yielded.keys().cloned().collect();
        self.sort_leases();
        self.gather_pings(now);
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
