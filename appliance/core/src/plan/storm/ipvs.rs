//! What IPVS does with a packet in local input: the connection table first, then a service by mark, then one by address,
//! then a destination. Follows `ip_vs_in_hook` step by step.

use std::net::IpAddr;

use crate::plan::state::{Virtual, VirtualService};

use super::packet::{Packet, Segment};
use super::station::{Conversation, Entry, Phase, Station, TemplateKey};

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ruling {
    /// IPVS has nothing to do with it: on to the socket.
    Pass,
    /// An entry names a destination that was deleted, and the kernel was not told to expire such entries.
    Stuck(Entry),
    /// The service has nobody to send it to: ICMP unreachable (`ip_vs_leave`).
    NoServer(Virtual),
    /// To one of these, each a way that the kernel may take.
    Forward(Vec<Choice>),
}

/// One destination that the kernel may take, and what it remembers of that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// The entry that the packet follows, or that it makes.
    pub entry: Entry,
    /// The service that scheduled it; `None`: the packet follows an entry.
    pub scheduled_by: Option<Virtual>,
    /// The template that was made or followed.
    pub template: Option<(TemplateKey, Entry)>,
}

pub(super) fn conversation(packet: &Packet) -> Conversation {
    (packet.segment.protocol(), packet.client, packet.service)
}

/// Rules on a packet that reached IPVS with `mark`; `made` is the entry that an earlier visit of it has made.
pub(super) fn ruling(station: &Station, packet: &Packet, mark: u32, made: Option<&Entry>) -> Ruling {
    if !station.hooked(packet.service.is_ipv6()) || station.stands_back() {
        return Ruling::Pass;
    }
    if let Some(entry) = made.or_else(|| station.entries.get(&conversation(packet)))
        && !begins_anew(station, packet, entry)
    {
        let destination = entry.bound.map(|service| station.weight_of(service, entry.server));
        // An error goes where the entry says, whether that destination is there or not (`ip_vs_in_icmp`).
        match destination.filter(|_| packet.segment.transport().is_some()) {
            // Deleted: expired at once and scheduled anew, or dropped without a word.
            Some(None) if station.ipvs_sysctl("expire_nodest_conn") => {}
            Some(None) => return Ruling::Stuck(*entry),
            Some(Some(_)) | None => {
                let choice = Choice { entry: *entry, scheduled_by: None, template: None };
                return Ruling::Forward(vec![choice]);
            }
        }
    }
    schedule(station, packet, mark)
}

/// A SYN takes the place of the old entry: its destination has weight 0, or its connection is over.
fn begins_anew(station: &Station, packet: &Packet, entry: &Entry) -> bool {
    if packet.segment != Segment::Syn {
        return false;
    }
    let weight = entry.bound.and_then(|service| station.weight_of(service, entry.server));
    (station.ipvs_sysctl("expire_nodest_conn") && weight == Some(0))
        || (station.ipvs_sysctl("conn_reuse_mode") && entry.phase == Phase::Closed && !entry.controlled)
}

fn schedule(station: &Station, packet: &Packet, mark: u32) -> Ruling {
    let picked_up = match packet.segment {
        Segment::Syn | Segment::Datagram => true,
        Segment::Middle => station.ipvs_sysctl("sloppy_tcp"),
        Segment::Reset | Segment::Error(_) => false,
    };
    let found = service(station, packet, mark).filter(|_| picked_up);
    let Some((which, service)) = found else { return Ruling::Pass };
    let made = |server: (IpAddr, u16), controlled| Entry {
        server: (server.0, if server.1 == 0 { packet.service.port() } else { server.1 }),
        bound: Some(which),
        phase: Phase::Open,
        controlled,
    };
    let persistent = service.persistence > 0;
    let key = (which, packet.client.ip());
    if persistent
        && let Some(&template) = station.templates.get(&key)
        && valid(station, &template)
    {
        let choice = Choice {
            entry: made(template.server, true),
            scheduled_by: Some(which),
            template: Some((key, template)),
        };
        return Ruling::Forward(vec![choice]);
    }
    // `fo` takes the highest weight that there is (net/netfilter/ipvs/ip_vs_fo.c); of the others any turn may come.
    let highest = service.destinations.values().map(|d| d.weight).max().unwrap_or(0);
    let least = if service.scheduler == "fo" { highest.max(1) } else { 1 };
    let willing = service.destinations.iter().filter(|(_, d)| d.weight >= least);
    let choices: Vec<Choice> = willing
        .map(|(&server, _)| Choice {
            entry: made(server, persistent),
            scheduled_by: Some(which),
            template: persistent.then(|| (key, made(server, false))),
        })
        .collect();
    if choices.is_empty() { Ruling::NoServer(which) } else { Ruling::Forward(choices) }
}

/// The service of a packet: by mark first, then by address (`ip_vs_service_find`). A service for any port is none of ours.
fn service<'s>(station: &'s Station, packet: &Packet, mark: u32) -> Option<(Virtual, &'s VirtualService)> {
    let by_mark = Virtual::Mark { mark, ipv6: packet.service.is_ipv6() };
    let by_address = Virtual::Address {
        protocol: packet.segment.protocol(),
        address: packet.service.ip(),
        port: packet.service.port(),
    };
    let find =
        |service| station.kernel.services.get_key_value(&service).map(|(&which, found)| (which, found));
    find(by_mark).filter(|_| mark != 0).or_else(|| find(by_address))
}

/// A template counts while its destination is there, whatever its weight unless `expire_quiescent_template`; one that
/// was synchronised without a destination does not (`ip_vs_check_template`).
fn valid(station: &Station, template: &Entry) -> bool {
    match template.bound.and_then(|service| station.weight_of(service, template.server)) {
        None => false,
        Some(0) => !station.ipvs_sysctl("expire_quiescent_template"),
        Some(_) => true,
    }
}
