//! One packet's way through the members, hook by hook. Where the kernel may go several ways, each is a [`Walk`].

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::config::types::{LinkName, Mac};
use crate::plan::state::Virtual;

use super::filter::{self, Seen};
use super::ipvs::{Choice, Ruling, conversation, ruling};
use super::packet::{Frame, Packet, Segment, Sender};
use super::station::{Cluster, Entry, TemplateKey};

/// Source MAC of what comes from no member: locally administered, so nobody's (IEEE 802, clause 8.4).
const STRANGER: Mac = Mac([0x02, 0xff, 0xff, 0xff, 0xff, 0xfe]);
/// Priority of IPVS in local input (`ip_vs_in`, `NF_IP_PRI_NAT_SRC - 1`).
const IPVS: i32 = 99;

/// One way that a packet can go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walk {
    /// What happened on the way.
    pub steps: Vec<Step>,
    /// How often it went from one member to another, not counting the way from a member that is itself the client.
    pub crossings: u32,
    /// How it ended.
    pub end: End,
    /// Connection entries that it made or followed, by member.
    pub entries: BTreeMap<usize, Entry>,
    /// Persistence templates that it made or followed.
    pub templates: Vec<(usize, TemplateKey, Entry)>,
    /// The server that the first member wanted it to go to.
    pub wanted: Option<IpAddr>,
}

/// Something that happened to a packet at a member, by the member's number.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants say it")]
pub enum Step {
    /// It arrived on a link.
    Arrives { at: usize, link: LinkName, ttl: u8 },
    /// The rules gave it a firewall mark.
    Marked { at: usize, mark: u32 },
    /// A service chose a server.
    Scheduled { at: usize, service: Virtual, server: IpAddr },
    /// A connection entry named a server.
    Follows { at: usize, server: IpAddr },
    /// It left for another member.
    Crosses { from: usize, to: usize },
}

/// How a packet's way ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// An application took it.
    Served {
        /// Where.
        at: usize,
        /// Its firewall mark, which the socket of a new connection inherits with `tcp_fwmark_accept`.
        mark: u32,
    },
    /// It was delivered where nothing expects it: TCP reset, or ICMP port unreachable.
    Refused {
        /// Where.
        at: usize,
    },
    /// It went to a real server that is no member.
    Left {
        /// Which.
        server: IpAddr,
    },
    /// It went to an address that nobody has.
    Lost {
        /// Which.
        server: IpAddr,
    },
    /// A chain dropped it.
    Filtered {
        /// Where.
        at: usize,
        /// The chain's name.
        chain: &'static str,
    },
    /// The destination was not the box's own.
    NotMine {
        /// Where.
        at: usize,
    },
    /// Its source address was the box's own (`fib_validate_source`).
    Martian {
        /// Where.
        at: usize,
    },
    /// Its entry names a destination that was deleted, and the kernel drops it.
    Stuck {
        /// Where.
        at: usize,
    },
    /// A service had no server for it.
    NoServer {
        /// Where.
        at: usize,
    },
    /// Its time to live ran out.
    Expired {
        /// Where.
        at: usize,
    },
    /// It crossed more often than was asked to look.
    Loops,
}

/// Every way that a packet from `sender` can go that enters at member `at` on `link`, until its time to live ends.
pub fn walk(cluster: &Cluster, packet: Packet, sender: Sender, at: usize, link: &LinkName) -> Vec<Walk> {
    walk_until(cluster, packet, sender, (at, link), u32::MAX)
}

/// Like [`walk`], but ends with [`End::Loops`] where a packet crosses more than `most` times.
pub(super) fn walk_until(
    cluster: &Cluster,
    packet: Packet,
    sender: Sender,
    (at, link): (usize, &LinkName),
    most: u32,
) -> Vec<Walk> {
    let source = match sender {
        Sender::Client => STRANGER,
        Sender::Member(number) => {
            let segment = cluster.stations[at].links.get(link).map(|wire| &wire.segment);
            let mut wires = cluster.stations[number].links.values();
            wires.find(|w| Some(&w.segment) == segment).map_or(STRANGER, |w| w.mac)
        }
    };
    let mut search = Search { cluster, most, found: Vec::new() };
    let start = Walk {
        steps: Vec::new(),
        crossings: 0,
        end: End::Loops,
        entries: BTreeMap::new(),
        templates: Vec::new(),
        wanted: None,
    };
    search.arrive(start, Frame { packet, link: link.clone(), source, ttl: packet.ttl }, at);
    search.found
}

struct Search<'c> {
    cluster: &'c Cluster,
    most: u32,
    found: Vec<Walk>,
}

impl Search<'_> {
    fn end(&mut self, walk: Walk, end: End) {
        self.found.push(Walk { end, ..walk });
    }

    fn arrive(&mut self, mut walk: Walk, frame: Frame, at: usize) {
        let station = &self.cluster.stations[at];
        walk.steps.push(Step::Arrives { at, link: frame.link.clone(), ttl: frame.ttl });
        let mut seen = Seen::new(frame.packet, (&frame.link, frame.source), station.socket(&frame.packet));
        if station.holds(frame.packet.client.ip()) {
            return self.end(walk, End::Martian { at });
        }
        if !station.holds(frame.packet.service.ip()) {
            if station.routes() {
                return self.send(walk, &frame, at, frame.packet.service.ip());
            }
            return self.end(walk, End::NotMine { at });
        }
        let below = filter::input(&station.kernel.rules, i32::MIN..=IPVS - 1, &mut seen);
        if seen.mark != 0 {
            walk.steps.push(Step::Marked { at, mark: seen.mark });
        }
        if let Err(stopped) = below {
            return self.end(walk, End::Filtered { at, chain: stopped.chain });
        }
        let packet = seen.asks();
        // What was readdressed is not the conversation that left an entry here before.
        let entry = walk.entries.get(&at).filter(|_| packet.service == frame.packet.service);
        match ruling(station, &packet, seen.mark, entry) {
            Ruling::Pass => self.deliver(walk, &frame, at, seen),
            Ruling::Stuck(_) => self.end(walk, End::Stuck { at }),
            Ruling::NoServer(_) => self.end(walk, End::NoServer { at }),
            Ruling::Forward(choices) => {
                for choice in choices {
                    self.forward(walk.clone(), &frame, at, seen.clone(), choice);
                }
            }
        }
    }

    /// IPVS passes the packet on by direct routing, or lets it through to the socket when the server is this box.
    fn forward(&mut self, mut walk: Walk, frame: &Frame, at: usize, seen: Seen<'_>, choice: Choice) {
        let station = &self.cluster.stations[at];
        let server = choice.entry.server.0;
        walk.steps.push(match choice.scheduled_by {
            Some(service) => Step::Scheduled { at, service, server },
            None => Step::Follows { at, server },
        });
        walk.wanted.get_or_insert(server);
        walk.entries.insert(at, choice.entry);
        if let Some((key, entry)) = choice.template {
            walk.templates.push((at, key, entry));
        }
        if station.holds(server) {
            return self.deliver(walk, frame, at, seen);
        }
        if frame.ttl <= 1 {
            return self.end(walk, End::Expired { at });
        }
        self.send(walk, &Frame { packet: seen.packet, ..frame.clone() }, at, server);
    }

    fn deliver(&mut self, walk: Walk, frame: &Frame, at: usize, mut seen: Seen<'_>) {
        let station = &self.cluster.stations[at];
        let above = filter::input(&station.kernel.rules, IPVS + 1..=i32::MAX, &mut seen);
        if let Err(stopped) = above {
            return self.end(walk, End::Filtered { at, chain: stopped.chain });
        }
        // An answer from another address than the client has asked is none.
        let packet = seen.asks();
        let expected = packet.service == frame.packet.service
            && match packet.segment {
                Segment::Syn | Segment::Datagram => station.answers(&packet),
                Segment::Middle | Segment::Error(_) => station.sockets.contains_key(&conversation(&packet)),
                Segment::Reset => true,
            };
        let end = if expected { End::Served { at, mark: seen.mark } } else { End::Refused { at } };
        self.end(walk, end);
    }

    /// The packet leaves as a frame of this box for whoever has `next`.
    fn send(&mut self, mut walk: Walk, frame: &Frame, at: usize, next: IpAddr) {
        if frame.ttl <= 1 {
            return self.end(walk, End::Expired { at });
        }
        if self.cluster.others.contains(&next) {
            return self.end(walk, End::Left { server: next });
        }
        let Some(hop) = self.cluster.next_hop(at, next) else {
            return self.end(walk, End::Lost { server: next });
        };
        walk.crossings += 1;
        walk.steps.push(Step::Crosses { from: at, to: hop.to });
        if walk.crossings > self.most {
            return self.end(walk, End::Loops);
        }
        let source = hop.mac.unwrap_or(STRANGER);
        let on = Frame { packet: frame.packet, link: hop.link.clone(), source, ttl: frame.ttl - 1 };
        self.arrive(walk, on, hop.to);
    }
}
