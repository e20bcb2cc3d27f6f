//! What the document's links lack: which port each is, which VLANs and bonds have to be made, their names and state.
//! VLANs and bonds that the document does not name go, and one that differs is made anew; it never touches a link that
//! is neither the document's nor one of these.
//!
//! A new link gets its index here, so that what belongs on it can be told in the same list of operations. The kernel
//! takes an index that it is asked for (`rtnl_newlink_create`, net/core/rtnetlink.c); it counts its own from 1, which
//! stay far below.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::types::LinkName;
use crate::config::{Bond, Device, Port, Vlan};

use super::observed::ETHERNET;
use super::{LinkFacts, Made, Op, Work};

/// Below the index of every link that is made here.
const FLOOR: u32 = 999;

impl<'a> Work<'a> {
    /// Which of this box's links is which link of the document, and which ones have to be made or to go.
    pub(super) fn find_links(&mut self) {
        for (name, device) in self.carriers_first() {
            match device {
                Device::Port(port) => self.find_port(name, port),
                Device::Bond(bond) => {
                    let made = Made::Bond { mode: Some(bond.mode) };
                    let mac = bond.ports.first().copied();
                    self.find_made(name, |l| l.made == Some(made) && l.mac == mac);
                }
                Device::Vlan(Vlan { parent, id }) => match self.index(parent) {
                    Ok(parent) => {
                        let made = Made::Vlan { parent, id: id.get() };
                        self.find_made(name, |l| l.made == Some(made));
                    }
                    Err(why) => self.unmet(format!("link {name}"), why),
                },
            }
        }
        if !self.desired.links.is_empty() {
            let made = self.observed.links.iter().filter(|(_, l)| l.made.is_some()).map(|(&index, _)| index);
            self.doomed = made.filter(|index| !self.links.values().any(|i| i == index)).collect();
        }
    }

    /// The document's links, what carries others before what it carries.
    fn carriers_first(&self) -> Vec<(&'a LinkName, &'a Device)> {
        let mut all: Vec<_> = self.desired.links.iter().map(|(name, link)| (name, &link.device)).collect();
        all.sort_by_key(|(_, device)| match device {
            Device::Port(_) => 0,
            Device::Bond(_) => 1,
            Device::Vlan(_) => 2,
        });
        all
    }

    fn find_port(&mut self, name: &'a LinkName, port: &Port) {
        match self.observed.find(port) {
            Ok(index) => match self.links.iter().find(|(_, i)| **i == index) {
                None => {
                    self.links.insert(name, index);
                }
                Some((other, _)) => {
                    let why = format!("its port is the one of {other}");
                    self.unmet(format!("link {name}"), why);
                }
            },
            Err(why) => self.unmet(format!("link {name}"), why),
        }
    }

    /// The VLAN or bond that is there already, or an index for one.
    fn find_made(&mut self, name: &'a LinkName, test: impl Fn(&LinkFacts) -> bool) {
        let there = self.observed.links.iter().find(|(_, facts)| test(facts)).map(|(&index, _)| index);
        let index = there.unwrap_or_else(|| {
            let highest = self.observed.links.keys().chain(self.links.values()).copied().max();
            highest.unwrap_or(0).max(self.observed.newest).max(FLOOR) + 1
        });
        self.links.insert(name, index);
    }

    /// The link does not exist yet.
    pub(super) fn is_new(&self, index: u32) -> bool {
        !self.observed.links.contains_key(&index)
    }

    /// What has to go goes; then names, MTUs, up. A name that another link carries is freed first; that link gets its own
    /// in its turn.
    pub(super) fn links(&mut self) {
        self.delete();
        let members = self.members_of_bonds();
        let released = self.release(&members);
        let mut carried: BTreeMap<u32, String> =
            self.observed.links.iter().map(|(&index, l)| (index, l.name.clone())).collect();
        carried.retain(|index, _| !self.doomed.contains(index));
        for (name, device) in self.carriers_first() {
            let Some(&index) = self.links.get(name) else { continue };
            if !self.name(name, index, &mut carried) {
                self.links.remove(name);
                continue;
            }
            self.make(name, index, device);
            for port in members.iter().filter(|(_, bond)| **bond == index).map(|(&port, _)| port) {
                self.join(port, index, name);
            }
            let facts = self.observed.links.get(&index);
            let mtu = facts.map_or_else(|| self.mtu_when_made(device), |facts| facts.mtu);
            if let Some(wanted) = self.desired.links[name].mtu.filter(|wanted| *wanted != mtu) {
                self.op(Op::SetMtu { index, link: name.clone(), mtu: wanted });
            }
            if !facts.is_some_and(|facts| facts.up) || released.contains(&index) {
                self.op(Op::LinkUp { index, link: name.to_string() });
            }
        }
        if let Some(index) = self.observed.loopback()
            && !self.observed.links[&index].up
        {
            self.op(Op::LinkUp { index, link: self.name_of(index) });
        }
    }

    /// VLANs before what carries them, which would take them along.
    fn delete(&mut self) {
        let is_vlan = |index: &u32| matches!(self.observed.links[index].made, Some(Made::Vlan { .. }));
        let (vlans, bonds): (Vec<u32>, Vec<u32>) = self.doomed.iter().copied().partition(is_vlan);
        for index in vlans.into_iter().chain(bonds) {
            self.op(Op::DelLink { index, link: self.name_of(index) });
        }
    }

    /// Which port belongs in which bond.
    fn members_of_bonds(&mut self) -> BTreeMap<u32, u32> {
        let mut members = BTreeMap::new();
        for (name, device) in self.carriers_first() {
            let (Device::Bond(Bond { ports, .. }), Some(&bond)) = (device, self.links.get(name)) else {
                continue;
            };
            for mac in ports {
                match self.observed.find(&Port::Mac(*mac)) {
                    Ok(port) => match self.links.iter().find(|(_, i)| **i == port) {
                        None => drop(members.insert(port, bond)),
                        Some((other, _)) => {
                            let why = format!("it is the one of {other}");
                            self.unmet(format!("port {mac} of {name}"), why);
                        }
                    },
                    Err(why) => self.unmet(format!("port {mac} of {name}"), why),
                }
            }
        }
        members
    }

    /// Ports leave bonds that they do not belong in. Returns those that are down by that: the bonding driver leaves them so.
    fn release(&mut self, members: &BTreeMap<u32, u32>) -> BTreeSet<u32> {
        let mut released = BTreeSet::new();
        for (&port, facts) in &self.observed.links {
            let Some(controller) = facts.controller else { continue };
            let named = |index| self.links.values().any(|&i| i == index);
            if members.contains_key(&port) || !(named(port) || named(controller)) {
                continue;
            }
            released.insert(port);
            // One whose bond goes leaves with it.
            if !self.doomed.contains(&controller) {
                self.op(Op::LeaveBond { index: port, port: facts.name.clone() });
            }
        }
        released
    }

    /// Gives the link its name. `false`: it cannot have it.
    fn name(&mut self, name: &LinkName, index: u32, carried: &mut BTreeMap<u32, String>) -> bool {
        let now = carried.get(&index).cloned();
        if now.as_deref() == Some(name.as_str()) {
            return true;
        }
        let holder = carried.iter().find(|(_, n)| *n == name.as_str()).map(|(&i, n)| (i, n.clone()));
        if let Some((other, from)) = holder {
            if self.observed.links[&other].loopback {
                self.unmet(format!("link {name}"), "this is the loopback's name; choose another");
                return now.is_some();
            }
            let to = free_name(other, carried);
            carried.insert(other, to.clone());
            self.op(Op::NameLink { index: other, from, to });
        }
        carried.insert(index, name.to_string());
        // What is made anew is made with its name.
        if let Some(from) = now {
            self.op(Op::NameLink { index, from, to: name.to_string() });
        }
        true
    }

    fn make(&mut self, name: &LinkName, index: u32, device: &Device) {
        if !self.is_new(index) {
            return;
        }
        match device {
            Device::Port(_) => {}
            Device::Bond(Bond { ports, mode }) => {
                if let Some(&mac) = ports.first() {
                    self.op(Op::MakeBond { index, link: name.clone(), mode: *mode, mac });
                }
            }
            Device::Vlan(Vlan { parent, id }) => {
                if let Ok(carrier) = self.index(parent) {
                    let (link, on) = (name.clone(), parent.clone());
                    self.op(Op::MakeVlan { index, link, parent: carrier, on, id: *id });
                }
            }
        }
    }

    fn join(&mut self, port: u32, bond: u32, link: &LinkName) {
        let facts = &self.observed.links[&port];
        if facts.controller != Some(bond) {
            self.op(Op::JoinBond { index: port, port: facts.name.clone(), bond, link: link.clone() });
        } else if !facts.up {
            self.op(Op::LinkUp { index: port, link: facts.name.clone() });
        }
    }

    /// A bond is made with Ethernet's MTU, a VLAN with that of what carries it, which has been set by then.
    fn mtu_when_made(&self, device: &Device) -> u32 {
        let Device::Vlan(Vlan { parent, .. }) = device else { return ETHERNET };
        let set = self.desired.links.get(parent).and_then(|carrier| carrier.mtu);
        let found = || self.observed.links.get(self.links.get(parent)?).map(|facts| facts.mtu);
        set.or_else(found).unwrap_or(ETHERNET)
    }
}

/// A name that no link carries, for one that has to make room.
fn free_name(index: u32, carried: &BTreeMap<u32, String>) -> String {
    let taken: BTreeSet<&str> = carried.values().map(String::as_str).collect();
    (0_u32..)
        .map(|n| if n == 0 { format!("port{index}") } else { format!("p{n}-{index}") })
        .find(|name| !taken.contains(name.as_str()))
        .expect("there are more numbers than links")
}
