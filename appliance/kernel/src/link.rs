//! Links over rtnetlink: what the kernel says of them, and the messages that make and stack them. Translates, and
//! decides nothing; [`route`](crate::route) sends.

use std::path::Path;

use halcyon_core::config::BondMode;
use halcyon_core::config::types::{LinkName, Mac, VlanId};
use halcyon_core::reconcile::{LinkFacts, Made};
use netlink_packet_route::link::{
    BondMode as KernelsMode, BondXmitHashPolicy, InfoBond, InfoData, InfoKind, InfoVlan, LinkAttribute,
    LinkFlags, LinkInfo, LinkMessage, VlanProtocol,
};
use rtnetlink::{LinkBond, LinkVlan};

use crate::inventory;

/// How often a bond looks at its ports, in milliseconds. Without it, it never notices that one has lost its carrier.
const LOOK: u32 = 100;

/// What a link is, with its bus address from `sys`.
pub(crate) fn facts(message: &LinkMessage, sys: &Path) -> LinkFacts {
    let flags = message.header.flags;
    let up = flags.contains(LinkFlags::Up);
    let mut facts = LinkFacts {
        loopback: flags.contains(LinkFlags::Loopback),
        up,
        carrier: up && flags.contains(LinkFlags::LowerUp),
        ..LinkFacts::default()
    };
    let (mut below, mut infos) = (None, [].as_slice());
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => facts.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => facts.mtu = *mtu,
            LinkAttribute::Address(bytes) => facts.mac = mac(bytes),
            LinkAttribute::PermAddress(bytes) => facts.permanent = mac(bytes),
            LinkAttribute::Controller(index) => facts.controller = (*index != 0).then_some(*index),
            LinkAttribute::Link(index) => below = Some(*index),
            LinkAttribute::LinkInfo(found) => infos = found,
            _ => {}
        }
    }
    facts.made = made(infos, below);
    facts.path = inventory::bus_path(sys, &facts.name);
    facts
}

/// Of which kind the link is, if of one that a document knows; `below`: the link that it stands on.
fn made(infos: &[LinkInfo], below: Option<u32>) -> Option<Made> {
    let kind = infos.iter().find_map(|info| match info {
        LinkInfo::Kind(kind) => Some(kind),
        _ => None,
    })?;
    let data = infos.iter().find_map(|info| match info {
        LinkInfo::Data(data) => Some(data),
        _ => None,
    });
    match (kind, data) {
        (InfoKind::Vlan, Some(InfoData::Vlan(data))) => {
            let tagged =
                |one: &InfoVlan| matches!(one, InfoVlan::Protocol(p) if *p != VlanProtocol::Ieee8021Q);
            let id = data.iter().find_map(|one| match one {
                InfoVlan::Id(id) => Some(*id),
                _ => None,
            });
            // A provider's tag (802.1ad) is another thing.
            if data.iter().any(tagged) { None } else { Some(Made::Vlan { parent: below?, id: id? }) }
        }
        (InfoKind::Bond, Some(InfoData::Bond(data))) => {
            let mode = data.iter().find_map(|one| match one {
                InfoBond::Mode(mode) => Some(*mode),
                _ => None,
            });
            let ours = |mode| BondMode::ALL.into_iter().find(|ours| kernels(*ours) == mode);
            Some(Made::Bond { mode: mode.and_then(ours) })
        }
        _ => None,
    }
}

/// A VLAN above the link with index `parent`.
pub(crate) fn vlan(index: u32, name: &LinkName, parent: u32, id: VlanId) -> LinkMessage {
    LinkVlan::new(name.as_str(), parent, id.get()).index(index).build()
}

/// A bond without ports. The kernel leaves a MAC that it was given, whatever ports come and go.
pub(crate) fn bond(index: u32, name: &LinkName, mode: BondMode, mac: Mac) -> LinkMessage {
    let bond =
        LinkBond::new(name.as_str()).index(index).address(mac.0.to_vec()).mode(kernels(mode)).miimon(LOOK);
    match mode {
        // By MACs alone, all that goes through one router would take one port.
        BondMode::Xor | BondMode::Lacp => bond.xmit_hash_policy(BondXmitHashPolicy::Layer23).build(),
        BondMode::RoundRobin | BondMode::ActiveBackup | BondMode::Tlb => bond.build(),
    }
}

fn kernels(mode: BondMode) -> KernelsMode {
    match mode {
        BondMode::RoundRobin => KernelsMode::BalanceRr,
        BondMode::ActiveBackup => KernelsMode::ActiveBackup,
        BondMode::Xor => KernelsMode::BalanceXor,
        BondMode::Lacp => KernelsMode::Ieee8023Ad,
        BondMode::Tlb => KernelsMode::BalanceTlb,
    }
}

/// `None` for what is no Ethernet address, or no address at all.
pub(crate) fn mac(bytes: &[u8]) -> Option<Mac> {
    let bytes: [u8; 6] = bytes.try_into().ok()?;
    (bytes != [0; 6]).then_some(Mac(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: Mac = Mac([0x52, 0x54, 0, 0, 0, 0x0a]);

    fn name(text: &str) -> LinkName {
        text.parse().unwrap()
    }

    /// What is asked for is recognised when the kernel shows it.
    #[test]
    fn what_is_made_is_found_again() {
        let sys = Path::new("/nonexistent");
        for mode in BondMode::ALL {
            let found = facts(&bond(1000, &name("trunk"), mode, MAC), sys);
            assert_eq!(found.made, Some(Made::Bond { mode: Some(mode) }));
            assert_eq!((found.name.as_str(), found.mac, found.permanent), ("trunk", Some(MAC), None));
        }
        let tag = vlan(1001, &name("lan"), 1000, VlanId::new(20).unwrap());
        assert_eq!(tag.header.index, 1001);
        assert_eq!(facts(&tag, sys).made, Some(Made::Vlan { parent: 1000, id: 20 }));
    }

    #[test]
    fn a_kind_that_no_document_knows_is_a_link_like_others() {
        let kind = |infos: Vec<LinkInfo>| made(&infos, Some(2));
        assert_eq!(kind(vec![LinkInfo::Kind(InfoKind::Dummy)]), None);
        assert_eq!(kind(vec![]), None);
        let provider = vec![InfoVlan::Id(20), InfoVlan::Protocol(VlanProtocol::Ieee8021Ad)];
        assert_eq!(
            kind(vec![LinkInfo::Kind(InfoKind::Vlan), LinkInfo::Data(InfoData::Vlan(provider))]),
            None
        );
        let mode = vec![InfoBond::Mode(KernelsMode::BalanceAlb)];
        let alb = kind(vec![LinkInfo::Kind(InfoKind::Bond), LinkInfo::Data(InfoData::Bond(mode))]);
        assert_eq!(alb, Some(Made::Bond { mode: None }));
    }
}
