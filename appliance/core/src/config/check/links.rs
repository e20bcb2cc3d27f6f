//! What VLANs and bonds may be made of: interfaces and ports of the same member, each used once, frames no longer than
//! what carries them takes.

use super::{Lookup, Once};
use crate::config::draft::{Draft, InterfaceDraft, MemberDraft, VlanDraft};
use crate::config::problem::Problems;

/// Ethernet's payload (IEEE 802.3 §3.2.7), which drivers take unless they are told otherwise.
const ETHERNET: u32 = 1_500;

pub(super) fn check(draft: &Draft, problems: &mut Problems) {
    for member in &draft.members {
        let mut tags = Once::new();
        for interface in &member.interfaces {
            let Some(vlan) = &interface.vlan else { continue };
            if let (Some(parent), Some(id)) = (&vlan.parent, &vlan.id) {
                let tag = format!("VLAN {} on \"{}\"", id.value, parent.value);
                tags.take(tag, &vlan.at, "write each VLAN once, with all its addresses", problems);
            }
            carried(member, interface, vlan, problems);
        }
    }
}

/// A VLAN stands on a port or a bond, and its frames fit in there.
fn carried(member: &MemberDraft, interface: &InterfaceDraft, vlan: &VlanDraft, problems: &mut Problems) {
    let Some(name) = &vlan.parent else { return };
    let parent = match member.interface(&name.value) {
        Lookup::Found(parent) => parent,
        Lookup::Missing => {
            problems.add(
                &name.at,
                format!("{} has no interface \"{}\"", member.shown(), name.value),
                "write the name of the port or bond that carries the tagged frames",
            );
            return;
        }
        Lookup::Unclear => return,
    };
    if parent.vlan.is_some() {
        let itself = interface.name.as_ref().is_some_and(|own| own.value == name.value);
        let what = if itself { "is the VLAN itself" } else { "is a VLAN, too" };
        problems.add(
            &name.at,
            format!("\"{}\" {what}", name.value),
            "write the name of the port or bond that carries the tagged frames",
        );
        return;
    }
    let Some(mtu) = &interface.mtu else { return };
    let most = match &parent.mtu {
        Some(most) => most.value,
        None => ETHERNET,
    };
    if mtu.value > most {
        let (own, parents) = (mtu.value, &name.value);
        let what = match &parent.mtu {
            Some(_) => format!("{own} is more than the {most} of \"{parents}\""),
            None => format!("{own} is more than the {most} that \"{parents}\" is taken to have"),
        };
        problems.add(&mtu.at, what, format!("write {most} at most, or a larger mtu in {}", parent.at.path));
    }
}
