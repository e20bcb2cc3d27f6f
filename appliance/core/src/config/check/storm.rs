//! What `[cluster]` may say about the storm strategy: keys that belong to another one, the standby's pings, and a segment
//! for forwarding that every director reaches and no client uses.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use super::{Lookup, addressed};
use crate::config::draft::{ClusterDraft, Draft, MemberDraft, ProbeDraft, Role, Strategy};
use crate::config::duration::render;
use crate::config::problem::{Place, Problems, Written};
use crate::config::types::{Cidr, Family, LinkName, MemberName};
use crate::config::{Fallback, Forward, Probing, Storm};

/// More often would be load, not knowledge.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// A standby that learns of silence later than this is none.
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);
/// A busy neighbour takes some milliseconds.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(10);

pub(super) fn check(draft: &Draft, cluster: &ClusterDraft, problems: &mut Problems) {
    if let Some(storm) = &cluster.storm {
        foreign_keys(cluster, storm.value, problems);
    }
    if let Some(probe) = &cluster.probe {
        times(probe, problems);
    }
    if let Some(storm) = &cluster.storm
        && storm.value == Strategy::SecondNic
        && let Some(name) = &cluster.forward_interface
    {
        segment(draft, name, problems);
    }
}

/// The strategy with its settings; `None`: the draft has a gap.
pub(super) fn resolve(cluster: &ClusterDraft) -> Option<Storm> {
    Some(match cluster.storm.as_ref()?.value {
        Strategy::Weights => Storm::Weights,
        Strategy::Standby => Storm::Standby(match &cluster.probe {
            Some(probe) => Probing {
                interval: probe.interval.as_ref()?.value,
                timeout: probe.timeout.as_ref()?.value,
                count: probe.count.as_ref()?.value,
            },
            None => Probing::default(),
        }),
        Strategy::SecondNic => Storm::SecondNic(Forward {
            interface: cluster.forward_interface.as_ref()?.value.clone(),
            fallback: cluster.forward_fallback.as_ref().map_or(Fallback::Refuse, |word| word.value),
        }),
    })
}

/// Where directors reach a member on the segment for forwarding; `None` without that strategy, or when the member has
/// no address there.
pub(super) fn forward_address(draft: &Draft, name: &MemberName, family: Family) -> Option<IpAddr> {
    let cluster = draft.cluster.as_ref()?;
    if cluster.storm.as_ref()?.value != Strategy::SecondNic {
        return None;
    }
    let link = &cluster.forward_interface.as_ref()?.value;
    let Lookup::Found(member) = draft.member(name) else { return None };
    let subnet = common_subnet(draft, link, family)?;
    addresses(member, link).map(Cidr::address).find(|address| subnet.contains(*address))
}

/// A key of another strategy means that its writer expects what will not happen.
fn foreign_keys(cluster: &ClusterDraft, storm: Strategy, problems: &mut Problems) {
    let mut foreign = |at: &Place, key: &str, owner: &str| {
        problems.add(
            at,
            format!("{key} belongs to storm = \"{owner}\", and storm is \"{}\"", storm.word()),
            format!("remove it, or write storm = \"{owner}\""),
        );
    };
    if storm != Strategy::Standby
        && let Some(probe) = &cluster.probe
    {
        foreign(&probe.at, "probe", "standby");
    }
    if storm != Strategy::SecondNic {
        if let Some(at) = &cluster.forward_at {
            foreign(at, "forward-interface", "second-nic");
        }
        if let Some(fallback) = &cluster.forward_fallback {
            foreign(&fallback.at, "forward-fallback", "second-nic");
        }
    }
    if storm == Strategy::Standby
        && let Some(sync) = &cluster.sync_interface
    {
        let what = "a standby has no table of connections to be kept in step";
        problems.add(&sync.at, what, "remove it, or write another storm strategy");
    }
}

fn times(probe: &ProbeDraft, problems: &mut Problems) {
    let Some(interval) = &probe.interval else { return };
    let mut within = |time: &Written<Duration>, least: Duration, most: Duration| {
        if !(least..=most).contains(&time.value) {
            problems.add(
                &time.at,
                format!("{} is out of range", render(time.value)),
                format!("write {} to {}", render(least), render(most)),
            );
        }
    };
    within(interval, SHORTEST_INTERVAL, LONGEST_INTERVAL);
    // One request at a time: the next is sent when the last one's fate is known.
    if let Some(timeout) = &probe.timeout {
        within(timeout, SHORTEST_TIMEOUT, interval.value.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL));
    }
}

/// Every director forwards over the segment and is forwarded to; what arrives there counts as forwarded by a member.
fn segment(draft: &Draft, name: &Written<LinkName>, problems: &mut Problems) {
    let used = draft
        .vrrp
        .iter()
        .find(|router| router.interface.as_ref().is_some_and(|interface| interface.value == name.value));
    if let Some(router) = used {
        problems.add(
            &name.at,
            format!(
                "\"{}\" has the virtual router {}, so that clients' frames arrive there, too",
                name.value, router.at.path
            ),
            "write the interface of a segment that only members use",
        );
        return;
    }
    let directors = || draft.members.iter().filter(|member| member.is(Role::Director));
    for member in directors() {
        addressed(member, name, "a director", problems);
    }
    // Two directors that share nothing at all were told with their addresses.
    let Some(first) = directors().next() else { return };
    let shares = |member: &MemberDraft| {
        addresses(member, &name.value)
            .any(|own| addresses(first, &name.value).any(|other| other.network() == own.network()))
    };
    if !directors().all(shares) {
        return;
    }
    let addresses = draft.services.iter().filter_map(|service| service.address.as_ref());
    let families: BTreeSet<Family> = addresses.map(|at| Family::of(at.value)).collect();
    for family in families.into_iter().filter(|family| common_subnet(draft, &name.value, *family).is_none()) {
        problems.add(
            &name.at,
            format!("the directors share no {family} subnet on \"{}\"", name.value),
            "give every director an address of one subnet there",
        );
    }
}

/// The first subnet of `link` in which every director has an address of the family.
fn common_subnet(draft: &Draft, link: &LinkName, family: Family) -> Option<Cidr> {
    let mut directors = draft.members.iter().filter(|member| member.is(Role::Director));
    let first = directors.next()?;
    let others: Vec<_> = directors.collect();
    addresses(first, link)
        .filter(|own| Family::of(own.address()) == family)
        .map(Cidr::network)
        .find(|subnet| others.iter().all(|other| addresses(other, link).any(|own| own.network() == *subnet)))
}

fn addresses<'d>(member: &'d MemberDraft, link: &LinkName) -> impl Iterator<Item = Cidr> + use<'d> {
    let interface = match member.interface(link) {
        Lookup::Found(interface) => Some(interface),
        Lookup::Missing | Lookup::Unclear => None,
    };
    interface.into_iter().flat_map(|interface| interface.addresses.items.iter().map(|own| own.value))
}
