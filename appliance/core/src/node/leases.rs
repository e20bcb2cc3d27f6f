//! Which of the leases that this box was given fit into its cluster. A DHCP server's word is nobody's signature: it may not
//! take an address of the cluster, nor lead a subnet of the document to another port.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::Node;
use crate::config::types::{Cidr, LinkName};
use crate::config::{Config, Member};
use crate::dhcp::Lease;

impl Node {
    /// Takes the leases that fit into the view.
    pub(super) fn sort_leases(&mut self) {
        let fit = self.leases.iter().filter(|(link, lease)| self.misfit(link, lease).is_none());
        let fit = fit.map(|(link, lease)| (link.clone(), lease.clone())).collect();
        self.view.leases = fit;
    }

    /// The links of this box that a DHCP server is to give an address.
    pub fn lessees(&self) -> impl Iterator<Item = &LinkName> {
        let member = self.me.as_ref().and_then(|me| self.config.members.get(me));
        member.into_iter().flat_map(|m| &m.interfaces).filter(|(_, port)| port.dhcp).map(|(link, _)| link)
    }

    /// The leases that were given and are not used, each with its reason.
    pub fn refused_leases(&self) -> BTreeMap<&LinkName, String> {
        let lessees: Vec<&LinkName> = self.lessees().collect();
        let given = self.leases.iter().filter(|(link, _)| lessees.contains(link));
        given.filter_map(|(link, lease)| Some((link, self.misfit(link, lease)?))).collect()
    }

    /// Name servers: the document's, or those of the leases in the order of links.
    pub fn name_servers(&self) -> Vec<IpAddr> {
        if !self.config.dns.is_empty() {
            return self.config.dns.clone();
        }
        let mut servers = Vec::new();
        for server in self.view.leases.values().flat_map(|lease| &lease.dns) {
            if !servers.contains(server) {
                servers.push(*server);
            }
        }
        servers
    }

    /// Why a lease cannot be used.
    fn misfit(&self, link: &LinkName, lease: &Lease) -> Option<String> {
        let me = self.me.as_ref().and_then(|me| self.config.members.get(me));
        let Some(me) = me.filter(|me| me.interfaces.get(link).is_some_and(|port| port.dhcp)) else {
            return Some("nobody asked for it".to_owned());
        };
        let taken = addresses_of(&self.config).find(|own| overlap(*own, lease.address));
        if let Some(taken) = taken {
            return Some(format!("{lease}, lies in the cluster's {}; it is not used", taken.network()));
        }
        // Of two leases in one subnet the first link's counts.
        let before = self.leases.range(..link.clone()).filter(|(other, _)| asks(me, other));
        let mut before = before.map(|(other, theirs)| (other, theirs.address));
        let (other, theirs) = before.find(|(_, theirs)| overlap(*theirs, lease.address))?;
        Some(format!("{lease}, lies in {}, which {other} has; it is not used", theirs.network()))
    }
}

fn asks(member: &Member, link: &LinkName) -> bool {
    member.interfaces.get(link).is_some_and(|port| port.dhcp)
}

/// Every address that the document gives out, with its subnet; those of services lie in a virtual router's.
fn addresses_of(config: &Config) -> impl Iterator<Item = Cidr> {
    let own = config.members.values().flat_map(|m| m.interfaces.values()).flat_map(|port| &port.addresses);
    let virtuals = config.vrrp.values().flat_map(|router| &router.addresses);
    own.chain(virtuals).copied()
}

fn overlap(one: Cidr, other: Cidr) -> bool {
    one.contains(other.address()) || other.contains(one.address())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::check;
    use crate::moment::Moment;
    use crate::node::Event;
    use crate::plan::state::{Address, AddressRole, Route};

    const PAIR: &str = include_str!("../../../../examples/pair.toml");

    fn node(more: &str) -> Node {
        let port = |member: char, name: &str| {
            format!(
                "\n[[member.interface]]\nname = \"{name}\"\nmac = \"52:54:00:00:01:0{member}\"\ndhcp = true\n"
            )
        };
        let ports = port('a', "mgmt") + &port('b', "spare");
        let document = PAIR.replacen(
            "\n[[member]]\nname = \"pollux\"",
            &format!("{ports}\n[[member]]\nname = \"pollux\""),
            1,
        );
        let mut node = Node::new(1);
        let config = check(&(document + more)).expect("a sound document");
        node.configure(config, "castor".parse().unwrap(), Moment::ZERO);
        node
    }

    fn lent(address: &str, gateway: Option<&str>) -> Option<Lease> {
        Some(Lease {
            address: address.parse().unwrap(),
            gateway: gateway.map(|gateway| gateway.parse().unwrap()),
            dns: vec![[198, 51, 100, 53].into()],
            server: [198, 51, 100, 1].into(),
        })
    }

    fn tell(node: &mut Node, link: &str, lease: Option<Lease>) {
        node.handle(Event::Leased(link.parse().unwrap(), lease), Moment::ZERO);
    }

    fn mgmt() -> Address {
        let cidr = "198.51.100.7/24".parse().unwrap();
        Address { link: Some("mgmt".parse().unwrap()), cidr, role: AddressRole::Own }
    }

    #[test]
    fn a_lease_is_planned_while_it_lasts() {
        let mut node = node("");
        assert_eq!(node.lessees().map(LinkName::as_str).collect::<Vec<_>>(), ["mgmt", "spare"]);
        assert!(!node.plan().state.addresses.contains(&mgmt()));
        tell(&mut node, "mgmt", lent("198.51.100.7/24", Some("198.51.100.254")));
        let plan = node.plan();
        assert!(plan.state.addresses.contains(&mgmt()));
        // The document names a gateway, and that one counts.
        let default = |route: &&Route| route.to.prefix() == 0;
        assert_eq!(plan.state.routes.iter().filter(default).count(), 1);
        assert_eq!(node.name_servers(), [IpAddr::from([198, 51, 100, 53])]);
        tell(&mut node, "mgmt", None);
        assert!(!node.plan().state.addresses.contains(&mgmt()));
        assert!(node.name_servers().is_empty());
    }

    #[test]
    fn without_a_gateway_of_the_document_the_lease_has_one() {
        let mut node = node("");
        let mut config = node.config().clone();
        for port in config.members.values_mut().flat_map(|m| m.interfaces.values_mut()) {
            port.gateways.clear();
        }
        node.configure(config, "castor".parse().unwrap(), Moment::ZERO);
        tell(&mut node, "mgmt", lent("198.51.100.7/24", Some("198.51.100.254")));
        tell(&mut node, "spare", lent("203.0.113.7/24", Some("203.0.113.254")));
        let routes: Vec<(String, IpAddr)> =
            node.plan().state.routes.iter().map(|r| (r.to.to_string(), r.via)).collect();
        assert_eq!(routes, [("0.0.0.0/0".to_owned(), [198, 51, 100, 254].into())]);
    }

    #[test]
    fn no_lease_takes_what_is_the_clusters() {
        for stolen in ["192.168.0.239/32", "192.168.0.236/24", "192.168.0.7/30", "192.0.0.1/8"] {
            let mut node = node("");
            let before = node.plan().state;
            tell(&mut node, "mgmt", lent(stolen, None));
            assert_eq!(node.plan().state, before, "{stolen}");
            assert_eq!(node.refused_leases().len(), 1, "{stolen}");
        }
    }

    #[test]
    fn two_ports_in_one_subnet_have_one_lease() {
        let mut node = node("");
        tell(&mut node, "spare", lent("198.51.100.8/24", None));
        assert!(node.refused_leases().is_empty());
        tell(&mut node, "mgmt", lent("198.51.100.7/24", None));
        assert!(node.plan().state.addresses.contains(&mgmt()));
        assert_eq!(node.view().leases.len(), 1);
    }

    #[test]
    fn a_link_that_asks_for_none_gets_none_and_the_documents_name_servers_count() {
        let mut node = node("\n[dns]\nservers = [\"203.0.113.1\"]\n");
        tell(&mut node, "lan", lent("198.51.100.7/24", None));
        assert!(node.view().leases.is_empty() && node.refused_leases().is_empty());
        tell(&mut node, "mgmt", lent("198.51.100.7/24", None));
        assert_eq!(node.name_servers(), [IpAddr::from([203, 0, 113, 1])]);
    }
}
