//! What a node knows of the fellow members besides their servers: whose MACs and addresses are whose, who fell silent, and
//! who answers a standby's pings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::{Action, Health, Node, servers};
use crate::config::types::{LinkName, Mac, MemberName};
use crate::config::{Config, Member, Storm};
use crate::moment::Moment;
use crate::standby::Prober;

impl Node {
    /// As a standby, pings every fellow director where it speaks VRRP. A backup checks servers as a master does: its first
    /// table must hold nobody who is not known to be healthy.
    pub(super) fn ping(&mut self, now: Moment) {
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

    /// This box took an address over. The servers of a member that fell silent are suspects; those of every other
    /// fellow are checked at once, since a master that left in order may take its applications along.
    pub(super) fn doubt_others(&mut self, silent: Option<IpAddr>, now: Moment) {
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

    /// The fellow at `from` says that it stops. Its servers are checked at once, and the first failure takes one out; but
    /// connections that live there live on as long as it answers, so a word that anybody can forge costs none.
    pub(super) fn doubt(&mut self, from: IpAddr, now: Moment) {
        let Some(fellow) = member_at(&self.config, from) else { return };
        for (key, _, server) in servers(&self.config) {
            if server.member.as_ref() == Some(&fellow)
                && let Some(checker) = self.checkers.get_mut(&key)
                && checker.health() == Health::Up
            {
                checker.recheck(now);
            }
        }
    }

    /// Sends the pings that are due, and tells who answers, if that has changed.
    pub(super) fn gather_pings(&mut self, now: Moment) {
        let mut answering = BTreeSet::new();
        if let Some(prober) = &mut self.prober {
            while let Some(echo) = prober.poll_action(now) {
                self.actions.push_back(Action::Echo(echo));
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
            self.actions.push_back(Action::Answering(answering));
        }
    }

    /// Which MACs the fellows have, as far as the neighbour table ever knew: an entry that the kernel forgets for lack of
    /// traffic is still right, until another MAC takes its place. An address counts only where the document has it: a
    /// stranger's entry, or a member's on another segment, says nothing.
    pub(super) fn learn(&mut self) {
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
        let written = member.interfaces.keys().flat_map(|link| member.macs(link)).copied();
        let learnt = self.view.neighbours.get(&member.name).into_iter().flatten().map(|(_, mac)| *mac);
        written.chain(learnt).map(|mac| mac.link_local().into())
    }
}

/// The member that has `address` as its own.
fn member_at(config: &Config, address: IpAddr) -> Option<MemberName> {
    config
        .members
        .values()
        .find(|m| m.interfaces.values().any(|i| i.addresses.iter().any(|a| a.address() == address)))
        .map(|m| m.name.clone())
}
