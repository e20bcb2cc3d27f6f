//! Where an address may come from a DHCP server: on ports that nobody has to find by an address that stays, which leaves
//! out the segments of virtual routers with their real servers, of connection synchronisation and of forwarding.

use crate::config::draft::{Draft, InterfaceDraft};
use crate::config::problem::Problems;
use crate::config::types::LinkName;

pub(super) fn check(draft: &Draft, problems: &mut Problems) {
    for interface in draft.members.iter().flat_map(|member| &member.interfaces) {
        let Some(dhcp) = interface.dhcp.as_ref().filter(|_| interface.by_dhcp()) else { continue };
        if let Some(written) = interface.addresses.items.iter().find(|own| own.value.address().is_ipv4()) {
            let what = format!("{} stands beside dhcp = true, which gives the IPv4 address", written.value);
            problems.add(&written.at, what, "write one of the two");
        }
        if let Some(use_) = interface.name.as_ref().and_then(|name| used_for(draft, &name.value)) {
            let what = format!("{} need addresses that stay on {}", use_, shown(interface));
            problems.add(&dhcp.at, what, "write addresses = […] there, and dhcp = true at another port");
        }
    }
}

/// What needs addresses of the document on the segment `name`.
fn used_for(draft: &Draft, name: &LinkName) -> Option<&'static str> {
    let is = |written: &Option<crate::config::problem::Written<LinkName>>| {
        written.as_ref().is_some_and(|written| written.value == *name)
    };
    let cluster = draft.cluster.as_ref();
    if draft.vrrp.iter().any(|router| is(&router.interface)) {
        Some("virtual routers and real servers")
    } else if cluster.is_some_and(|cluster| is(&cluster.forward_interface)) {
        Some("members that forward to each other")
    } else if cluster.is_some_and(|cluster| is(&cluster.sync_interface)) {
        Some("directors that synchronise connections")
    } else {
        None
    }
}

fn shown(interface: &InterfaceDraft) -> String {
    interface.name.as_ref().map_or_else(|| interface.at.path.clone(), |name| format!("\"{}\"", name.value))
}
