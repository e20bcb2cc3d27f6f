//! What a test asks of many clients: a number of requests from a number of sources, or a steady rate until stopped.
//!
//! Pure: it says which host begins which request when; the lab starts them and hands the outcomes back.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use halcyon_core::moment::Moment;

use super::talk::{Failure, Outcome, Request};

/// How the requests of a load follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pace {
    /// `total` requests, at most `parallel` at a time.
    Count {
        /// In all.
        total: usize,
        /// At a time.
        parallel: usize,
    },
    /// One each `every`, until stopped.
    Steady {
        /// Time between two starts.
        every: Duration,
    },
}

/// A load.
#[derive(Clone, Debug)]
pub struct Load {
    /// Each request.
    pub request: Request,
    /// The first of the hosts that take turns.
    pub first_host: usize,
    /// How many of them.
    pub sources: usize,
    /// The source port of each host's first request; its next ones count on from there. The hosts' own when `None`.
    pub first_port: Option<u16>,
    /// How they follow each other.
    pub pace: Pace,
}

/// A load under way.
#[derive(Debug)]
pub(crate) struct Running {
    load: Load,
    begun: usize,
    next_at: Moment,
    open: BTreeSet<u64>,
    stopped: bool,
}

impl Running {
    pub(crate) fn new(load: Load, now: Moment) -> Self {
        Self { load, begun: 0, next_at: now, open: BTreeSet::new(), stopped: false }
    }

    /// The request to begin now, and the host for it. Ask again until `None`.
    pub(crate) fn next(&mut self, ticket: u64, now: Moment) -> Option<(usize, Request)> {
        let go = match self.load.pace {
            Pace::Count { total, parallel } => self.begun < total && self.open.len() < parallel,
            Pace::Steady { every } => {
                let go = now >= self.next_at;
                if go {
                    // A late start is not made up for: a rate after a stall would be a burst.
                    self.next_at =
                        if now.since(self.next_at) > every { now + every } else { self.next_at + every };
                }
                go
            }
        };
        if self.stopped || !go {
            return None;
        }
        let (round, turn) = (self.begun / self.load.sources.max(1), self.begun % self.load.sources.max(1));
        let host = self.load.first_host + turn;
        self.begun += 1;
        self.open.insert(ticket);
        let mut request = self.load.request.clone();
        if let Some(first) = self.load.first_port {
            request.source_port = Some(first.wrapping_add(round as u16).max(1));
        }
        Some((host, request))
    }

    /// When [`Running::next`] has something to begin again, unless an outcome comes first.
    pub(crate) fn due(&self) -> Option<Moment> {
        (matches!(self.load.pace, Pace::Steady { .. }) && !self.stopped).then_some(self.next_at)
    }

    /// Takes an outcome; false when the conversation is not of this load.
    pub(crate) fn ended(&mut self, ticket: u64) -> bool {
        self.open.remove(&ticket)
    }

    /// Begins no more.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Nothing is open and nothing will begin.
    pub(crate) fn is_over(&self) -> bool {
        let done = match self.load.pace {
            Pace::Count { total, .. } => self.begun >= total,
            Pace::Steady { .. } => false,
        };
        self.open.is_empty() && (self.stopped || done)
    }
}

/// Outcomes taken together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All.
    pub requests: usize,
    /// Answers by the answering box's name.
    pub served: BTreeMap<String, usize>,
    /// Failures by kind.
    pub failed: BTreeMap<Failure, usize>,
    /// The longest time an answer took.
    pub slowest: Duration,
}

impl Tally {
    /// Counts `outcomes`.
    pub fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut tally = Self::default();
        for outcome in outcomes {
            tally.requests += 1;
            match &outcome.result {
                Ok(name) => {
                    *tally.served.entry(name.clone()).or_default() += 1;
                    tally.slowest = tally.slowest.max(outcome.took);
                }
                Err(failure) => *tally.failed.entry(failure.clone()).or_default() += 1,
            }
        }
        tally
    }

    /// Requests without an answer.
    pub fn lost(&self) -> usize {
        self.failed.values().sum()
    }

    /// The share of all requests that the box called `name` served, 0.0..=1.0.
    pub fn share(&self, name: &str) -> f64 {
        self.served.get(name).copied().unwrap_or_default() as f64 / self.requests.max(1) as f64
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} requests", self.requests)?;
        for (name, count) in &self.served {
            write!(f, ", {count} by {name}")?;
        }
        for (failure, count) in &self.failed {
            write!(f, ", {count} {failure}")?;
        }
        write!(f, ", slowest answer {} ms", self.slowest.as_millis())
    }
}

/// The longest time without an answer: between which two answers.
///
/// With requests at a steady pace this is the outage a client sees, at most one pace too long. The time behind the last
/// request does not count: only stragglers are answered there.
pub fn outage(outcomes: &[Outcome]) -> (Moment, Moment) {
    let last = outcomes.iter().map(|outcome| outcome.began).max().unwrap_or_default();
    let answered = outcomes.iter().filter(|outcome| outcome.result.is_ok()).map(Outcome::ended);
    let mut answers: Vec<Moment> = answered.filter(|ended| *ended <= last).collect();
    answers.sort_unstable();
    let gaps = answers.windows(2).map(|pair| (pair[0], pair[1]));
    gaps.max_by_key(|(from, to)| to.since(*from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::talk::Ask;
    use std::net::{Ipv4Addr, SocketAddrV4};

    fn at(millis: u64) -> Moment {
        Moment::from_boot(Duration::from_millis(millis))
    }

    fn running(pace: Pace) -> Running {
        let to = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 9), 4000);
        Running::new(
            Load {
                request: Request::new(Ask::Name, to),
                first_host: 0,
                sources: 3,
                first_port: Some(700),
                pace,
            },
            at(0),
        )
    }

    #[test]
    fn a_count_keeps_its_window_and_ends() {
        let mut load = running(Pace::Count { total: 5, parallel: 2 });
        let hosts: Vec<_> =
            (0..4).filter_map(|ticket| load.next(ticket, at(0))).map(|(host, _)| host).collect();
        assert_eq!(hosts, [0, 1], "two at a time");
        for ticket in 0..5 {
            load.ended(ticket);
            load.next(ticket + 2, at(1));
        }
        assert!(load.is_over());
    }

    #[test]
    fn source_ports_are_counted_through_by_each_host() {
        let mut load = running(Pace::Count { total: 7, parallel: 9 });
        let begun = (0..7).filter_map(|ticket| load.next(ticket, at(0)));
        let ports: Vec<_> = begun.map(|(host, request)| (host, request.source_port)).collect();
        let port = |host, port| (host, Some(port));
        assert_eq!(ports[..4], [port(0, 700), port(1, 700), port(2, 700), port(0, 701)]);
        assert_eq!(ports[6], port(0, 702));
    }

    #[test]
    fn a_steady_load_does_not_make_up_for_a_stall() {
        let mut load = running(Pace::Steady { every: Duration::from_millis(10) });
        let begun =
            |load: &mut Running, now| (0..100).filter(|ticket| load.next(*ticket, at(now)).is_some()).count();
        assert_eq!(begun(&mut load, 0), 1);
        assert_eq!(begun(&mut load, 9), 0);
        assert_eq!(begun(&mut load, 10), 1);
        assert_eq!(begun(&mut load, 500), 1);
        load.stop();
        assert_eq!(begun(&mut load, 1000), 0);
    }

    #[test]
    fn the_outage_is_the_longest_gap_between_answers() {
        let outcome = |began, took, result| Outcome {
            ticket: 0,
            source: Ipv4Addr::UNSPECIFIED.into(),
            began: at(began),
            took: Duration::from_millis(took),
            result,
        };
        let answer = |began, took| outcome(began, took, Ok("a".into()));
        let outcomes = [
            answer(0, 5),
            outcome(10, 500, Err(Failure::NoConnection)),
            answer(20, 985),
            answer(1010, 9_000),
        ];
        assert_eq!(outage(&outcomes), (at(5), at(1005)));
        let tally = Tally::of(&outcomes);
        assert_eq!((tally.requests, tally.lost()), (4, 1));
    }
}
