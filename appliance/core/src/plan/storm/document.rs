//! Whether a document can be made safe: plans every member of it and judges what comes out, healthy and whole, with the
//! fellows' MACs as the document tells them and with those that only the neighbour table would. Decides by walking
//! packets, like every use of the checker; knows only afterwards what to advise.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::config::problem::Problem;
use crate::config::types::{LinkName, Mac, MemberName};
use crate::config::{Config, Device, Member, Port};
use crate::plan::{Health, Plan, View, VrrpState};

use super::alone::{Depth, Fellow, alone, stranger};
use super::finding::{Finding, Promise, check};
use super::packet::{Packet, Segment};
use super::station::{Cluster, Station, Wire};
use super::walk::Step;

/// Services whose plans are judged in a debug build: many more differ in nothing but numbers.
const SAMPLE: usize = 8;

/// What makes a document unsafe: nothing, or one problem for each member that breaks a promise, and one for the cluster.
pub fn judge(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let ways = [true, false].into_iter().flat_map(|learned| faces(config).map(move |face| (learned, face)));
    for (learned, face) in ways {
        let stations: Vec<Station> =
            config.members.values().map(|member| healthy(config, member, learned, face)).collect();
        for (member, station) in config.members.values().zip(&stations) {
            let services = station.kernel.services.keys();
            let fellows = fellows(config, &member.name, face);
            if let Err(finding) = alone(station, &fellows, services, Depth::Worst) {
                problems.push(problem(config, &finding, learned));
            }
        }
        // What is learned late is late for once: that all is served is judged with everything known.
        let promises: &[Promise] = if learned { &[Promise::Once, Promise::Served] } else { &[Promise::Once] };
        let others = config.services.values().flat_map(|s| s.servers.values());
        let others = others.filter(|s| s.member.is_none()).map(|s| s.address).collect();
        let cluster = Cluster { stations, others };
        let found = firsts(config).find_map(|packet| check(&cluster, packet, promises).err());
        problems.extend(found.map(|finding| problem(config, &finding, learned)));
        if !problems.is_empty() {
            problems.truncate(1);
            break;
        }
    }
    problems
}

/// Judges one member's plan alone, as cheaply as a debug build can stand.
///
/// # Errors
/// The first finding.
pub(in crate::plan) fn judge_plan(
    config: &Config,
    me: &MemberName,
    view: &View,
    plan: &Plan,
) -> Result<(), Box<Finding>> {
    let Some(member) = config.members.get(me) else { return Ok(()) };
    let station = Station::new(me.to_string(), plan.state.clone(), wires(member, 0));
    let known = |f: &MemberName, link: &LinkName| {
        let learned = view.neighbours.get(f).into_iter().flatten().find(|(l, _)| l == link);
        learned.map(|(_, mac)| *mac)
    };
    faces(config).try_for_each(|face| {
        let fellows: Vec<Fellow> = config
            .members
            .values()
            .filter(|m| m.name != *me)
            .map(|m| fellow(m, |link| written(m, link, face).or_else(|| known(&m.name, link))))
            .collect();
        alone(&station, &fellows, plan.state.services.keys().take(SAMPLE), Depth::Worst)
    })
}

/// A bond can show any of its ports' MACs. Each is tried, in all members at once: the first of each, the second, and
/// so on.
fn faces(config: &Config) -> std::ops::Range<usize> {
    let links = config.members.values().flat_map(|m| m.interfaces.keys().map(move |link| m.macs(link).len()));
    0..links.max().unwrap_or(0).max(1)
}

/// The first packet of a conversation with each service.
fn firsts(config: &Config) -> impl Iterator<Item = Packet> {
    config.services.values().filter_map(|service| {
        let segment = *Segment::of(service.protocol).first()?;
        let client = stranger(service.address.is_ipv6());
        Some(Packet { client, service: SocketAddr::new(service.address, service.port), segment, ttl: 64 })
    })
}

/// The member as master of everything, with every server in its table. With `learned`, its neighbour table has the
/// MACs that the document does not tell.
fn healthy(config: &Config, member: &Member, learned: bool, face: usize) -> Station {
    let mut view = View::default();
    view.vrrp.extend(config.vrrp.keys().map(|id| (id.clone(), VrrpState::Master)));
    for service in config.services.values() {
        let up = service.servers.keys().map(|server| ((service.name.clone(), server.clone()), Health::Up));
        view.health.extend(up);
    }
    if learned {
        for fellow in config.members.values().filter(|m| m.name != member.name) {
            let macs = wires(fellow, face).into_iter().map(|(link, wire)| (link, wire.mac));
            view.neighbours.insert(fellow.name.clone(), macs.collect());
        }
    }
    Station::new(
        member.name.to_string(),
        crate::plan::put_together(config, &member.name, &view).state,
        wires(member, face),
    )
}

fn fellows(config: &Config, me: &MemberName, face: usize) -> Vec<Fellow> {
    let others = config.members.values().filter(|m| m.name != *me);
    others.map(|m| fellow(m, |link| Some(mac(m, link, face)))).collect()
}

fn fellow(member: &Member, mac: impl Fn(&LinkName) -> Option<Mac>) -> Fellow {
    let links = member.interfaces.iter().filter_map(|(link, interface)| {
        let wire = Wire { mac: mac(link)?, segment: link.clone() };
        Some((link.clone(), (wire, interface.addresses.clone())))
    });
    Fellow::new(member.name.to_string(), member.director, links.collect())
}

/// One name is one segment.
fn wires(member: &Member, face: usize) -> BTreeMap<LinkName, Wire> {
    let wire = |link: &LinkName| Wire { mac: mac(member, link, face), segment: link.clone() };
    member.interfaces.keys().map(|link| (link.clone(), wire(link))).collect()
}

/// The MAC that the document tells; of a bond's the one of this number, counted round.
fn written(member: &Member, link: &LinkName, face: usize) -> Option<Mac> {
    member.macs(link).iter().cycle().nth(face).copied()
}

fn by_path<'a>(member: &'a Member, link: &LinkName) -> Option<&'a str> {
    match &member.carrier(link)?.device {
        Device::Port(Port::Path(path)) => Some(path),
        Device::Port(Port::Mac(_)) | Device::Vlan(_) | Device::Bond(_) => None,
    }
}

/// The MAC of a link; one that the document does not tell gets one of its own, locally administered.
fn mac(member: &Member, link: &LinkName, face: usize) -> Mac {
    written(member, link, face).unwrap_or_else(|| {
        let Some(path) = by_path(member, link) else { return Mac([0; 6]) };
        let seed = member.name.as_str().bytes().chain(path.bytes());
        let hash = seed.fold(0xcbf2_9ce4_8422_2325_u64, |h, byte| {
            (h ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        let [a, b, c, d, e, ..] = hash.to_be_bytes();
        Mac([0x02, a, b, c, d, e])
    })
}

/// What to do about a finding.
fn problem(config: &Config, finding: &Finding, learned: bool) -> Problem {
    let senders: BTreeSet<usize> = finding
        .walk
        .steps
        .iter()
        .filter_map(|step| match step {
            Step::Crosses { from, to } => Some([*from, *to]),
            _ => None,
        })
        .flatten()
        .collect();
    let concerned = config.members.values().filter(|m| {
        senders.iter().any(|number| finding.names.get(*number).is_some_and(|name| name == m.name.as_str()))
    });
    let mut unnamed = concerned.flat_map(|m| m.interfaces.values().map(move |i| (m, i)));
    let unnamed = unnamed.find(|(_, i)| matches!(i.device, Device::Port(Port::Path(_))));
    match unnamed.filter(|_| !learned) {
        Some((member, interface)) => Problem {
            path: format!("member \"{}\", interface \"{}\"", member.name, interface.name),
            line: None,
            what: format!(
                "is told by its bus address alone, so its fellows take its frames for a client's until they have \
                 learned its MAC: {finding}"
            ),
            fix: "write mac = \"…\" in place of path, or storm = \"second-nic\"".to_owned(),
        },
        None => Problem {
            path: "document".to_owned(),
            line: None,
            what: finding.to_string(),
            fix: "give the members addresses in one subnet of the service's segment; if they have, report this \
                  document"
                .to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::check as checked;

    const PAIR: &str = include_str!("../../../../../examples/pair.toml");

    fn told(text: &str) -> Vec<String> {
        judge(&checked(text).unwrap()).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_example_can_be_made_safe() {
        for example in [
            PAIR,
            include_str!("../../../../../examples/standby.toml"),
            include_str!("../../../../../examples/second-nic.toml"),
            include_str!("../../../../../examples/vlan-on-bond.toml"),
        ] {
            assert_eq!(told(example), [""; 0]);
        }
    }

    #[test]
    fn a_co_located_member_without_a_mac_is_refused_with_the_packets_way() {
        let path = PAIR
            .replace("mac = \"52:54:00:00:00:0b\"", "path = \"0000:01:00.0\"")
            .replace("name = \"pollux\"", "name = \"pollux\"\nserial = \"4711\"");
        let told = told(&path);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("member \"pollux\", interface \"lan\": is told by its bus address alone"),
            "{told:?}"
        );
        assert!(told[0].contains("castor sends it to pollux"), "{told:?}");
        assert!(told[0].contains("write mac"), "{told:?}");
    }

    /// A fellow's bond may show any port's MAC, and a guard that knows only the first is missed.
    #[test]
    fn every_mac_of_a_bond_is_tried() {
        let config = checked(include_str!("../../../../../examples/vlan-on-bond.toml")).unwrap();
        let (castor, pollux) = ("castor".parse().unwrap(), "pollux".parse().unwrap());
        let plan = crate::plan::plan(&config, &castor, &View::default());
        let mut narrow = config.clone();
        let trunk = "trunk".parse().unwrap();
        let member: &mut Member = narrow.members.get_mut(&pollux).unwrap();
        let Device::Bond(bond) = &mut member.interfaces.get_mut(&trunk).unwrap().device else { panic!() };
        bond.ports.truncate(1);
        let unaware = crate::plan::plan(&narrow, &castor, &View::default());
        let judged =
            |plan| judge_plan(&config, &castor, &View::default(), plan).map_err(|found| found.to_string());
        assert_eq!(judged(&plan), Ok(()));
        assert!(judged(&unaware).is_err());
    }

    #[test]
    fn a_member_that_only_serves_needs_no_mac() {
        let path = PAIR
            .replace("mac = \"52:54:00:00:00:0b\"", "path = \"0000:01:00.0\"")
            .replace(
                "name = \"pollux\"\nroles = [\"director\", \"real-server\"]",
                "name = \"pollux\"\nserial = \"4711\"\nroles = [\"real-server\"]",
            )
            .replace("\npriority = 99", "");
        assert_eq!(told(&path), [""; 0]);
    }

    #[test]
    fn members_that_reach_each_other_through_a_router_are_refused() {
        let mut config = checked(PAIR).unwrap();
        // The second box is known by an address that the first has no link to.
        let far: crate::config::types::Cidr = "10.9.0.1/24".parse().unwrap();
        let lan: LinkName = "lan".parse().unwrap();
        let pollux: MemberName = "pollux".parse().unwrap();
        config.members.get_mut(&pollux).unwrap().interfaces.get_mut(&lan).unwrap().addresses.push(far);
        for service in config.services.values_mut() {
            for server in service.servers.values_mut().filter(|s| s.member.as_ref() == Some(&pollux)) {
                server.address = far.address();
            }
        }
        let told = judge(&config);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].fix.contains("one subnet"), "{told:?}");
    }
}
