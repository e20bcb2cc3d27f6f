//! The VRRP advertisements that were on the wire, decoded and judged by our own decoder (`crate::wire`).

use std::time::Duration;

use halcyon_core::moment::Moment;

use super::PortId;
use super::frame::{Mac, Packet, Summary};
use crate::wire::{self, Advert};

/// An advertisement on the wire.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When it came in.
    pub at: Moment,
    /// Where.
    pub port: PortId,
    /// The frame's source address.
    pub mac: Mac,
    /// What it says, or every complaint about it.
    pub advert: Result<Advert, Vec<String>>,
}

/// All advertisements seen, oldest first.
#[derive(Debug, Default)]
pub struct Adverts {
    list: Vec<Seen>,
}

impl Adverts {
    /// Decodes and keeps an advertisement.
    pub fn saw(&mut self, summary: &Summary, packet: &Packet, frame: &[u8], port: PortId, at: Moment) {
        // The IPv4 header of a decoded frame lies behind the Ethernet header and says its own length.
        let advert = frame.get(14..).map_or_else(
            || Err(vec!["no IPv4 packet in the frame".into()]),
            |ip| wire::decode(ip, packet.ttl, summary.to),
        );
        self.list.push(Seen { at, port, mac: summary.from, advert });
    }

    /// From `since` on, oldest first.
    pub fn since(&self, since: Moment) -> impl DoubleEndedIterator<Item = &Seen> {
        self.list.iter().filter(move |seen| seen.at >= since)
    }

    /// The last one that came in on `port`, whatever its priority.
    pub fn last_from(&self, port: PortId) -> Option<&Seen> {
        self.list.iter().rev().find(|seen| seen.port == port)
    }

    /// The first from `port` at or after `since`.
    pub fn first_from(&self, port: PortId, since: Moment) -> Option<&Seen> {
        self.since(since).find(|seen| seen.port == port)
    }

    /// Every complaint of the decoder, with the time.
    pub fn complaints(&self) -> Vec<String> {
        let told = |seen: &Seen| {
            let complaints = seen.advert.as_ref().err()?;
            Some(format!("{} from {}: {}", seen.at, seen.mac, complaints.join("; ")))
        };
        self.list.iter().filter_map(told).collect()
    }

    /// The longest stretch from `since` on in which two ports advertised alternately, each within `interval` of the other.
    pub fn both_masters(&self, since: Moment, interval: Duration) -> Duration {
        let mut longest = Duration::ZERO;
        let mut began = None;
        let mut previous: Option<&Seen> = None;
        for seen in self.since(since) {
            if let Some(before) = previous
                && before.port != seen.port
                && seen.at.since(before.at) <= interval
            {
                let began = *began.get_or_insert(before.at);
                longest = longest.max(seen.at.since(began));
            } else if previous.is_some_and(|before| before.port == seen.port) {
                began = None;
            }
            previous = Some(seen);
        }
        longest
    }
}
