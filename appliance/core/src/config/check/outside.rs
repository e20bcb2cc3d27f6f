//! Whom the box may ask beyond the cluster: name servers and time servers, by address.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::Once;
use crate::config::draft::Draft;
use crate::config::problem::Problems;
use crate::resolver;

/// Enough to outvote three that are wrong; every one of them is asked about once a minute.
const MOST_NTP: usize = 8;

pub(super) fn check(draft: &Draft, problems: &mut Problems) {
    for (servers, most) in [(&draft.dns, resolver::MOST), (&draft.ntp, MOST_NTP)] {
        let mut once = Once::new();
        for server in &servers.items {
            once.take(server.value, &server.at, "write each server once", problems);
        }
        if let Some(extra) = servers.items.get(most) {
            problems.add(&extra.at, format!("is one more than {most}"), format!("keep the best {most}"));
        }
    }
    // Boxes that take the time from each other agree on one that nobody else has.
    let members = clusters_own(draft);
    for server in draft.ntp.items.iter().filter(|server| members.contains(&server.value)) {
        let what = format!("{} is an address of this cluster, which keeps no time of its own", server.value);
        problems.add(&server.at, what, "write a time server outside of it");
    }
}

/// Members' addresses and virtual ones.
fn clusters_own(draft: &Draft) -> BTreeSet<IpAddr> {
    let own = draft.members.iter().flat_map(|member| &member.interfaces).map(|port| &port.addresses);
    let virtuals = draft.vrrp.iter().map(|router| &router.addresses);
    own.chain(virtuals).flat_map(|list| &list.items).map(|address| address.value.address()).collect()
}
