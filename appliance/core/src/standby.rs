//! A standby's pings of its fellow directors: says when to ask, is told what came of it, and knows who answers.
//!
//! It decides nothing about who is master. The set of those who answer goes to the virtual routers: one whose master falls
//! silent waits while that master is in the set ([`machine`](crate::vrrp::machine)). Everybody counts as answering until
//! so many requests in a row had no answer; so a box that has just started takes nobody's silence for granted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::config::Probing;
use crate::moment::Moment;

/// What an echo request may take beyond its deadline before its outcome counts as lost.
const LATE: Duration = Duration::from_secs(1);

/// An echo request to be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Whom to ask.
    pub target: IpAddr,
    /// To be repeated with the outcome; an outcome with another number is late and means nothing.
    pub number: u64,
    /// An answer after this is none.
    pub limit: Duration,
}

/// The pings of one box.
#[derive(Clone, Debug)]
pub struct Prober {
    probing: Probing,
    fellows: BTreeMap<IpAddr, Fellow>,
}

/// One fellow director.
#[derive(Clone, Copy, Debug)]
struct Fellow {
    /// Requests without an answer since the last one that had one.
    missed: u8,
    number: u64,
    request: Request,
}

/// Where a fellow's pings are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    /// The next one is due then.
    Due(Moment),
    /// One is under way; without an outcome it counts as not answered then.
    Sent { at: Moment, lost: Moment },
}

impl Prober {
    /// Pings `fellows` from `now` on.
    pub fn new(probing: Probing, fellows: impl IntoIterator<Item = IpAddr>, now: Moment) -> Self {
        let fellow = Fellow { missed: 0, number: 0, request: Request::Due(now) };
        Self { probing, fellows: fellows.into_iter().map(|address| (address, fellow)).collect() }
    }

    /// Whether it pings these fellows in this way.
    pub fn is(&self, probing: Probing, fellows: &BTreeSet<IpAddr>) -> bool {
        self.probing == probing && self.fellows.keys().eq(fellows)
    }

    /// Those who count as answering.
    pub fn answering(&self) -> BTreeSet<IpAddr> {
        let answers = |fellow: &Fellow| fellow.missed < self.probing.count;
        self.fellows.iter().filter(|(_, fellow)| answers(fellow)).map(|(address, _)| *address).collect()
    }

    /// Everyone that is pinged, and how many requests in a row had no answer.
    pub fn missed(&self) -> impl Iterator<Item = (IpAddr, u8)> {
        self.fellows.iter().map(|(address, fellow)| (*address, fellow.missed))
    }

    /// The next request to send, if one is due.
    pub fn poll_action(&mut self, now: Moment) -> Option<Echo> {
        let limit = self.probing.timeout;
        let due = |fellow: &Fellow| matches!(fellow.request, Request::Due(at) if at <= now);
        let (&target, fellow) = self.fellows.iter_mut().find(|(_, fellow)| due(fellow))?;
        fellow.number += 1;
        fellow.request = Request::Sent { at: now, lost: now + limit + LATE };
        Some(Echo { target, number: fellow.number, limit })
    }

    /// When [`Prober::handle_timeout`] and then [`Prober::poll_action`] want to be called.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let wake = |fellow: &Fellow| match fellow.request {
            Request::Due(at) | Request::Sent { lost: at, .. } => at,
        };
        self.fellows.values().map(wake).min()
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Moment) {
        let interval = self.probing.interval;
        for fellow in self.fellows.values_mut() {
            if let Request::Sent { at, lost } = fellow.request
                && lost <= now
            {
                fellow.end(false, at + interval);
            }
        }
    }

    /// What came of a request.
    pub fn handle_outcome(&mut self, target: IpAddr, number: u64, answered: bool) {
        let interval = self.probing.interval;
        if let Some(fellow) = self.fellows.get_mut(&target)
            && let Request::Sent { at, .. } = fellow.request
            && fellow.number == number
        {
            fellow.end(answered, at + interval);
        }
    }
}

impl Fellow {
    fn end(&mut self, answered: bool, next: Moment) {
        self.missed = if answered { 0 } else { self.missed.saturating_add(1) };
        self.request = Request::Due(next);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROBING: Probing =
        Probing { interval: Duration::from_secs(1), timeout: Duration::from_millis(500), count: 3 };

    fn castor() -> IpAddr {
        [10, 0, 0, 1].into()
    }

    fn at(millis: u64) -> Moment {
        Moment::ZERO + Duration::from_millis(millis)
    }

    /// Runs until `end`; requests sent before `alive` are answered at once, later ones run into their deadline. When
    /// `castor` stopped to count as answering.
    fn silent_at(probing: Probing, alive: Moment, end: Moment) -> Option<Moment> {
        let mut prober = Prober::new(probing, [castor()], at(0));
        let mut now = at(0);
        while now <= end {
            prober.handle_timeout(now);
            if let Some(echo) = prober.poll_action(now) {
                let answered = now < alive;
                if !answered {
                    now = now + echo.limit;
                }
                prober.handle_outcome(echo.target, echo.number, answered);
            }
            if prober.answering().is_empty() {
                return Some(now);
            }
            now = prober.poll_timeout().expect("a fellow is always asked again");
        }
        None
    }

    #[test]
    fn silence_is_so_many_requests_in_a_row_and_ends_with_one_answer() {
        let mut prober = Prober::new(PROBING, [castor()], at(0));
        let pattern =
            [(false, 1), (false, 1), (true, 1), (false, 1), (false, 1), (false, 0), (false, 0), (true, 1)];
        for (second, (answered, answering)) in (0..).zip(pattern) {
            let now = at(second * 1000);
            let echo = prober.poll_action(now).expect("one a second");
            assert_eq!(prober.poll_action(now), None);
            prober.handle_outcome(echo.target, echo.number, answered);
            assert_eq!(prober.answering().len(), answering, "after second {second}");
        }
    }

    #[test]
    fn an_outcome_that_is_late_means_nothing_and_one_that_never_comes_is_none() {
        let mut prober = Prober::new(PROBING, [castor()], at(0));
        for request in 1..=3 {
            let now = prober.poll_timeout().expect("due");
            assert_eq!(prober.poll_action(now).map(|echo| echo.number), Some(request));
            prober.handle_outcome(castor(), request - 1, true);
            let lost = prober.poll_timeout().expect("under way");
            assert_eq!(lost, now + PROBING.timeout + LATE);
            prober.handle_timeout(lost);
        }
        assert!(prober.answering().is_empty());
        prober.handle_outcome(castor(), 3, true);
        assert!(prober.answering().is_empty(), "number 3 was given up");
    }

    proptest! {
        /// However the death falls between two requests.
        #[test]
        fn death_is_known_within_count_intervals_and_a_timeout(
            count in 1u8..6, interval in 100u64..3000, share in 1u64..=100, death in 1u64..20_000,
        ) {
            let timeout = (interval * share / 100).max(1);
            let probing = Probing {
                interval: Duration::from_millis(interval), timeout: Duration::from_millis(timeout), count,
            };
            let bound = probing.interval * u32::from(count) + probing.timeout;
            let silent = silent_at(probing, at(death), at(death) + bound).expect("silence is noticed");
            prop_assert!(silent <= at(death) + bound, "{silent} for {bound:?} after {death}");
        }
    }
}
