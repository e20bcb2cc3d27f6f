//! The document of a cluster that a box joins: which member the box is in it, and what has to be written so that it is one.
//! Decides the words; whether the result is right is `check`'s to say, whether it may be changed at all the engine's.
//!
//! What people wrote stays as it is, comments and order included: only what is new is added, and the revision raised.

use std::collections::BTreeSet;

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::wire::Offer;
use crate::config::bind::{Identity, Unbound};
use crate::config::check::check;
use crate::config::types::{Cidr, DeviceKey, MemberName};
use crate::config::{Config, Device, Interface, Member, Port};
use crate::plan::storm::document::judge;

/// What a box that joins gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Amended {
    /// The member that it is.
    pub member: MemberName,
    /// The document with it; `None`: it is in the document in force already.
    pub document: Option<String>,
}

/// The box that has the document.
#[derive(Clone, Copy, Debug)]
pub struct Host<'a> {
    /// Its member's name.
    pub name: &'a MemberName,
    /// Its device key, if it has one.
    pub key: Option<DeviceKey>,
}

/// Why a box cannot join.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It was given another name than the document gives it.
    #[error("this box is {0} in the document; join without a name, or with that one")]
    Named(MemberName),
    /// It is taken for the box that has the document.
    #[error(
        "the document takes this box for {0}, which has it already; correct the serial numbers and MACs there"
    )]
    Myself(MemberName),
    /// Several members could be it.
    #[error("{0}")]
    Ambiguous(String),
    /// It is in no member, and nobody said what it is to be.
    #[error(
        "this box is not in the document; join with a name and an address of its own, as in join CODE --name pollux \
         --address 192.168.0.238/24"
    )]
    Unnamed,
    /// None of the first box's interfaces is in the subnet of the given address.
    #[error("{0} shares no subnet with {1}; give this box an address next to that one's")]
    Elsewhere(Cidr, MemberName),
    /// A signed document would have to be changed.
    #[error(
        "the document is signed, and this box is no member of it: add it there with its MAC {0}, sign it, and apply it \
         at the other box first"
    )]
    Signed(String),
    /// The document cannot be changed here.
    #[error("the document cannot be changed here: {0}")]
    Form(&'static str),
    /// The document would not be right.
    #[error("with this box in it the document would not be right: {0}")]
    Wrong(String),
}

/// Finds the box that makes `offer` in the document, or writes it into it.
///
/// # Errors
/// Why it cannot join.
pub fn amend(
    document: &str,
    signed: bool,
    config: &Config,
    host: Host<'_>,
    offer: &Offer,
) -> Result<Amended, Unfit> {
    let macs = offer.ports.iter().map(|(_, mac)| *mac).collect();
    let identity = Identity { serial: offer.serial.clone(), macs };
    let known = match config.member_by(&identity) {
        Ok(member) if member == host.name => return Err(Unfit::Myself(member.clone())),
        Ok(member) => match &offer.name {
            Some(name) if name != member => return Err(Unfit::Named(member.clone())),
            _ => Some(member.clone()),
        },
        Err(ambiguous @ Unbound::Ambiguous { .. }) => return Err(Unfit::Ambiguous(ambiguous.to_string())),
        Err(Unbound::Nobody { .. }) if signed => {
            let mac = offer.ports.first().map(|(_, mac)| mac.to_string());
            return Err(Unfit::Signed(mac.unwrap_or_default()));
        }
        Err(Unbound::Nobody { .. }) => None,
    };
    let key = offer.key.map(DeviceKey);
    if let Some(member) = known {
        let there = |name: &MemberName| config.members.get(name).and_then(|member| member.key);
        let as_is =
            (key.is_none() || there(&member) == key) && (host.key.is_none() || there(host.name) == host.key);
        if signed || as_is {
            return Ok(Amended { member, document: None });
        }
        let mut draft = Draft::of(document, config)?;
        draft.keys(&member, key, host)?;
        return draft.judged(member);
    }
    let name = offer.name.clone().ok_or(Unfit::Unnamed)?;
    let mut draft = Draft::of(document, config)?;
    if config.members.contains_key(&name) && name != *host.name {
        draft.bind(&name, offer)?;
    } else {
        let address = offer.address.ok_or(Unfit::Unnamed)?;
        draft.add(config, host, &name, address, offer)?;
    }
    draft.keys(&name, key, host)?;
    draft.judged(name)
}

/// A document that is being changed.
struct Draft(DocumentMut);

impl Draft {
    /// With the next revision.
    fn of(document: &str, config: &Config) -> Result<Self, Unfit> {
        let mut draft: DocumentMut = document.parse().map_err(|_| Unfit::Form("it is not read as TOML"))?;
        let revision = draft.get_mut("cluster").and_then(|cluster| cluster.get_mut("revision"));
        let revision = revision.and_then(Item::as_value_mut).ok_or(Unfit::Form("it has no revision"))?;
        let next = i64::try_from(config.cluster.revision).ok().and_then(|now| now.checked_add(1));
        let mut raised = Value::from(next.ok_or(Unfit::Form("its revision cannot be raised"))?);
        // Its comment stays with it.
        *raised.decor_mut() = revision.decor().clone();
        *revision = raised;
        Ok(Self(draft))
    }

    fn members(&mut self) -> Result<&mut ArrayOfTables, Unfit> {
        let members = self.0.get_mut("member").and_then(Item::as_array_of_tables_mut);
        members.ok_or(Unfit::Form("write each member as a [[member]] section"))
    }

    fn member(&mut self, name: &MemberName) -> Result<&mut Table, Unfit> {
        let named = |table: &&mut Table| table.get("name").and_then(Item::as_str) == Some(name.as_str());
        self.members()?.iter_mut().find(named).ok_or(Unfit::Form("a member's section has no name"))
    }

    /// Writes both boxes' keys, as far as they have one.
    fn keys(&mut self, member: &MemberName, key: Option<DeviceKey>, host: Host<'_>) -> Result<(), Unfit> {
        for (name, key) in [(host.name, host.key), (member, key)] {
            if let Some(key) = key {
                self.member(name)?.insert("key", value(key.to_string()));
            }
        }
        Ok(())
    }

    /// Gives a member that is there, and is no box yet or another one, this box's port.
    fn bind(&mut self, name: &MemberName, offer: &Offer) -> Result<(), Unfit> {
        let (_, mac) = offer.ports.first().ok_or(Unfit::Form("the box has no port"))?;
        let member = self.member(name)?;
        if member.contains_key("serial") {
            member.remove("serial");
        }
        let interfaces = member.get_mut("interface").and_then(Item::as_array_of_tables_mut);
        let mut interfaces = interfaces.into_iter().flat_map(ArrayOfTables::iter_mut);
        let (Some(only), None) = (interfaces.next(), interfaces.next()) else {
            return Err(Unfit::Form("that member has several interfaces; write this box's MACs there"));
        };
        if !only.contains_key("mac") {
            return Err(Unfit::Form("that member's interface names no MAC; write this box's MACs there"));
        }
        only.insert("mac", value(mac.to_string()));
        if let Some(address) = offer.address {
            only.insert("addresses", value(Array::from_iter([address.to_string()])));
        }
        Ok(())
    }

    /// Writes a new member like the host: the same roles, the same gateway, below every other's priority, a server of
    /// whatever the host serves.
    fn add(
        &mut self,
        config: &Config,
        host: Host<'_>,
        name: &MemberName,
        address: Cidr,
        offer: &Offer,
    ) -> Result<(), Unfit> {
        let (_, mac) = offer.ports.first().ok_or(Unfit::Form("the box has no port"))?;
        let like = config.members.get(host.name).ok_or(Unfit::Form("this box is not in it"))?;
        let interface = beside(like, address).ok_or_else(|| Unfit::Elsewhere(address, host.name.clone()))?;
        let mut member = Table::new();
        member.insert("name", value(name.as_str()));
        let roles = [("director", like.director), ("real-server", like.real_server)];
        let roles = roles.into_iter().filter(|(_, has)| *has).map(|(role, _)| role);
        member.insert("roles", value(Array::from_iter(roles)));
        let lowest = config.members.values().map(|member| member.priority.get()).min().unwrap_or(100);
        member.insert("priority", value(i64::from(lowest.saturating_sub(1).max(1))));
        let mut port = Table::new();
        port.insert("name", value(interface.name.as_str()));
        port.insert("mac", value(mac.to_string()));
        port.insert("addresses", value(Array::from_iter([address.to_string()])));
        let gateways: BTreeSet<String> = interface.gateways.iter().map(ToString::to_string).collect();
        match gateways.len() {
            0 => {}
            1 => drop(port.insert("gateway", value(gateways.into_iter().collect::<String>()))),
            _ => drop(port.insert("gateway", value(Array::from_iter(gateways)))),
        }
        let mut ports = ArrayOfTables::new();
        ports.push(port);
        member.insert("interface", Item::ArrayOfTables(ports));
        self.members()?.push(member);
        self.serve(host, name)
    }

    /// A server beside each that is the host, with the same port and weight.
    fn serve(&mut self, host: Host<'_>, name: &MemberName) -> Result<(), Unfit> {
        let Some(services) = self.0.get_mut("service") else { return Ok(()) };
        let form = Unfit::Form("write each service as a [[service]] section");
        for service in services.as_array_of_tables_mut().ok_or(form)?.iter_mut() {
            let Some(servers) = service.get_mut("server") else { continue };
            let form = Unfit::Form("write each server as a [[service.server]] section");
            let servers = servers.as_array_of_tables_mut().ok_or(form)?;
            let is_host =
                |server: &&Table| server.get("member").and_then(Item::as_str) == Some(host.name.as_str());
            let Some(like) = servers.iter().find(is_host) else { continue };
            let mut server = Table::new();
            server.insert("member", value(name.as_str()));
            for key in ["port", "weight"] {
                if let Some(number) = like.get(key).and_then(Item::as_integer) {
                    server.insert(key, value(number));
                }
            }
            servers.push(server);
        }
        Ok(())
    }

    /// The document, if it is right.
    fn judged(self, member: MemberName) -> Result<Amended, Unfit> {
        let document = self.0.to_string();
        let told = |problems: Vec<_>| {
            let sentences: Vec<String> =
                problems.iter().map(crate::config::check::Problem::to_string).collect();
            Unfit::Wrong(sentences.join("; "))
        };
        let config = check(&document).map_err(told)?;
        match judge(&config) {
            problems if problems.is_empty() => Ok(Amended { member, document: Some(document) }),
            problems => Err(told(problems)),
        }
    }
}

/// The interface of `member` that has an address next to `address`, if a box with a plain port can have one like it.
fn beside(member: &Member, address: Cidr) -> Option<&Interface> {
    let next_to = |one: &&Interface| one.addresses.iter().any(|own| own.network() == address.network());
    let plain = |one: &&Interface| matches!(one.device, Device::Port(Port::Mac(_) | Port::Path(_)));
    member.interfaces.values().filter(plain).find(next_to)
}

#[cfg(test)]
mod tests;
