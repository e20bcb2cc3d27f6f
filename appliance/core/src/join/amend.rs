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
mod tests {
    use super::*;

    const PAIR: &str = include_str!("../../../../examples/pair.toml");

    /// The pair's document without its second box.
    fn alone() -> String {
        let member = PAIR.find("[[member]]\nname = \"pollux\"").unwrap();
        let router = PAIR.find("[[vrrp]]").unwrap();
        let server = "[[service.server]]\nmember = \"pollux\"\nweight = 1\n\n";
        format!("{}{}", &PAIR[..member], &PAIR[router..]).replace(server, "")
    }

    fn offer() -> Offer {
        Offer {
            name: Some("pollux".parse().unwrap()),
            address: Some("192.168.0.238/24".parse().unwrap()),
            key: Some([0xab; 32]),
            serial: None,
            ports: vec![("eth0".into(), "52:54:00:00:00:0b".parse().unwrap())],
        }
    }

    fn amended(document: &str, signed: bool, offer: &Offer) -> Result<Amended, Unfit> {
        let config = check(document).unwrap();
        let castor = "castor".parse().unwrap();
        amend(document, signed, &config, Host { name: &castor, key: Some(DeviceKey([0xcd; 32])) }, offer)
    }

    #[test]
    fn a_new_box_becomes_the_member_that_a_person_would_have_written() {
        let before = alone();
        let after = amended(&before, false, &offer()).unwrap();
        assert_eq!(after.member.as_str(), "pollux");
        let after = after.document.unwrap();
        let (mut config, mut by_hand) = (check(&after).unwrap(), check(PAIR).unwrap());
        let keys: Vec<_> = config.members.values_mut().map(|member| member.key.take().unwrap().0).collect();
        assert_eq!(keys, [[0xcd; 32], [0xab; 32]]);
        assert_eq!(config.cluster.revision, 2);
        by_hand.cluster.revision = 2;
        assert_eq!(config, by_hand);
        // What people wrote is there still, in its order.
        let mut rest = after.lines();
        for line in before.lines().filter(|line| !line.starts_with("revision")) {
            assert!(rest.any(|one| one == line), "{line:?} is gone from\n{after}");
        }
        assert!(after.contains("# raise it with every change"));
    }

    #[test]
    fn a_box_that_is_in_the_document_gets_it_and_a_signed_one_stays_as_it_is() {
        let pollux: MemberName = "pollux".parse().unwrap();
        for named in [offer(), Offer { name: None, address: None, ..offer() }] {
            let as_it_is = Amended { member: pollux.clone(), document: None };
            assert_eq!(amended(PAIR, true, &named), Ok(as_it_is));
            let with_keys = amended(PAIR, false, &named).unwrap().document.unwrap();
            assert_eq!(check(&with_keys).unwrap().cluster.revision, 2);
            assert_eq!(
                amended(&with_keys, false, &named).unwrap().document,
                None,
                "nothing is left to write"
            );
            let unkept = Offer { key: None, ..named };
            assert_eq!(amended(&with_keys, false, &unkept).unwrap().document, None);
        }
    }

    #[test]
    fn a_member_that_waits_for_its_box_is_bound_to_the_one_that_takes_its_name() {
        let waiting = PAIR.replace("52:54:00:00:00:0b", "02:00:00:00:00:01");
        let bound = amended(&waiting, false, &Offer { address: None, ..offer() }).unwrap().document.unwrap();
        let config = check(&bound).unwrap();
        let by_hand = check(PAIR).unwrap();
        let pollux = |config: &Config| config.members[&"pollux".parse().unwrap()].interfaces.clone();
        assert_eq!(pollux(&config), pollux(&by_hand));
        assert_eq!(config.services, by_hand.services);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_to_do() {
        let refused =
            |document: &str, signed, offer: &Offer| amended(document, signed, offer).unwrap_err().to_string();
        let nameless = Offer { name: None, ..offer() };
        assert!(refused(&alone(), false, &nameless).contains("--name pollux"));
        assert!(refused(&alone(), false, &Offer { address: None, ..offer() }).contains("--address"));
        assert!(
            refused(&alone(), true, &offer()).contains("sign it"),
            "a signed document is nobody's to change"
        );
        let castor = Offer { name: Some("castor".parse().unwrap()), ..offer() };
        assert!(refused(PAIR, true, &castor).contains("this box is pollux"));
        assert!(refused(&alone(), false, &castor).contains("already"));
        let far = Offer { address: Some("10.0.0.1/24".parse().unwrap()), ..offer() };
        assert!(refused(&alone(), false, &far).contains("shares no subnet with castor"));
        let taken = Offer { address: Some("192.168.0.236/24".parse().unwrap()), ..offer() };
        assert!(refused(&alone(), false, &taken).contains("192.168.0.236"));
        let twin = Offer { ports: vec![("eth0".into(), "52:54:00:00:00:0a".parse().unwrap())], ..offer() };
        assert!(refused(&alone(), false, &twin).contains("which has it already"));
    }
}
