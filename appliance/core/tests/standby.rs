//! Two boxes of which one stands by, on a wire that can lose VRRP, pings, or both, in either direction: a second master
//! appears only when both are silent, and then in time.

#![expect(clippy::unwrap_used, reason = "helpers of tests; a test that cannot go on fails")]

use std::net::IpAddr;
use std::time::Duration;

use halcyon_core::config::Probing;
use halcyon_core::config::types::{InstanceId, Priority, Vrid};
use halcyon_core::moment::Moment;
use halcyon_core::plan::VrrpState;
use halcyon_core::standby::Prober;
use halcyon_core::vrrp::machine::{Action, Event, Instance, Link, Start};
use halcyon_core::vrrp::settings::Settings;
use halcyon_core::vrrp::wire::{Addresses, Coverage, Form};
use proptest::prelude::*;

/// A packet's way.
const WIRE: Duration = Duration::from_millis(1);

struct Member {
    instance: Instance,
    prober: Prober,
    address: IpAddr,
    alive: bool,
    /// When it last became master.
    master_since: Option<Moment>,
    withheld: u32,
}

/// Something that arrives.
enum Arrival {
    Advert { to: usize, event: Event },
    Outcome { to: usize, number: u64, answered: bool },
}

struct Pair {
    now: Moment,
    members: [Member; 2],
    arrivals: Vec<(Moment, Arrival)>,
    /// What `from` sends in VRRP does not arrive.
    deaf: [bool; 2],
    /// Pings are lost, either way.
    no_pings: bool,
}

impl Pair {
    fn new(interval: Duration, probing: Probing) -> Self {
        let now = Moment::ZERO + Duration::from_secs(100);
        let address = |number: u8| IpAddr::from([10, 1, 0, number]);
        let member = |number: u8| {
            let settings = Settings {
                id: InstanceId { interface: "lan".parse().unwrap(), vrid: Vrid::new(3).unwrap() },
                priority: Priority::new(201 - number).unwrap(),
                interval,
                addresses: Addresses::new(vec![address(100)]).unwrap(),
                preempt: true,
                preempt_delay: Duration::ZERO,
                form: Form::V3 { checksum: Coverage::Message },
            };
            Member {
                instance: Instance::new(settings, Start::Fresh, now),
                prober: Prober::new(probing, [address(3 - number)], now),
                address: address(number),
                alive: false,
                master_since: None,
                withheld: 0,
            }
        };
        let mut pair = Self {
            now,
            members: [member(1), member(2)],
            arrivals: Vec::new(),
            deaf: [false; 2],
            no_pings: false,
        };
        pair.boot(0);
        pair.boot(1);
        pair.run(interval * 10);
        assert_eq!(pair.masters(), [true, false]);
        pair
    }

    fn boot(&mut self, who: usize) {
        let member = &mut self.members[who];
        member.alive = true;
        let answering = member.prober.answering();
        member.instance.handle(Event::Answering(answering), self.now);
        let up = Link::Up { primary: member.address };
        member.instance.handle(Event::Link(up), self.now);
        self.act(who);
    }

    fn kill(&mut self, who: usize) {
        let member = &mut self.members[who];
        let settings = member.instance.settings().clone();
        member.alive = false;
        member.instance = Instance::new(settings, Start::Fresh, self.now);
    }

    fn masters(&self) -> [bool; 2] {
        [0, 1].map(|who: usize| {
            self.members[who].alive && self.members[who].instance.state() == VrrpState::Master
        })
    }

    /// Lets time pass; the most masters that there were at any moment.
    fn run(&mut self, time: Duration) -> usize {
        let end = self.now + time;
        let masters = |pair: &Self| pair.masters().iter().filter(|master| **master).count();
        let mut most = masters(self);
        while self.step(end) {
            most = most.max(masters(self));
        }
        self.now = end;
        most
    }

    fn step(&mut self, end: Moment) -> bool {
        let timers = |member: &Member| {
            let timer = member.instance.poll_timeout().map(|(at, _)| at);
            [timer, member.prober.poll_timeout()].into_iter().flatten().min().filter(|_| member.alive)
        };
        let timer = (0..2).filter_map(|who| Some((timers(&self.members[who])?, who))).min();
        let arrival = (0..self.arrivals.len()).min_by_key(|index| self.arrivals[*index].0);
        let arrives = arrival.map(|index| self.arrivals[index].0);
        match (timer, arrival) {
            (Some((at, who)), _) if at <= end && arrives.is_none_or(|arrives| at < arrives) => {
                self.now = self.now.max(at);
                self.members[who].instance.handle(Event::Timeout, self.now);
                self.act(who);
            }
            (_, Some(index)) if arrives.is_some_and(|arrives| arrives <= end) => {
                let (at, arrival) = self.arrivals.remove(index);
                self.now = self.now.max(at);
                self.deliver(arrival);
            }
            _ => return false,
        }
        true
    }

    fn deliver(&mut self, arrival: Arrival) {
        let now = self.now;
        match arrival {
            Arrival::Advert { to, event } if self.members[to].alive => {
                self.members[to].instance.handle(event, now);
                self.act(to);
            }
            Arrival::Outcome { to, number, answered } if self.members[to].alive => {
                let fellow = self.members[1 - to].address;
                let member = &mut self.members[to];
                member.prober.handle_outcome(fellow, number, answered);
                member.instance.handle(Event::Answering(member.prober.answering()), now);
                self.act(to);
            }
            _ => {}
        }
    }

    fn act(&mut self, who: usize) {
        let now = self.now;
        let other_answers = self.members[1 - who].alive && !self.no_pings;
        let member = &mut self.members[who];
        member.prober.handle_timeout(now);
        while let Some(echo) = member.prober.poll_action(now) {
            let after = if other_answers { WIRE * 2 } else { echo.limit };
            let outcome = Arrival::Outcome { to: who, number: echo.number, answered: other_answers };
            self.arrivals.push((now + after, outcome));
        }
        while let Some(action) = member.instance.poll_action() {
            match action {
                Action::Send(advert) if !self.deaf[who] => {
                    let event = Event::Advert { source: member.address, advert };
                    self.arrivals.push((now + WIRE, Arrival::Advert { to: 1 - who, event }));
                }
                Action::Changed { to: VrrpState::Master, .. } => member.master_since = Some(now),
                Action::Withheld { .. } => member.withheld += 1,
                _ => {}
            }
        }
    }

    /// What a takeover may take after a death, on top of the wire.
    fn bound(&self, probing: Probing) -> Duration {
        let settings = self.members[1].instance.settings();
        let silence = probing.interval * u32::from(probing.count) + probing.timeout;
        settings.master_down(settings.interval).max(silence) + WIRE * 4
    }
}

fn probing(interval: u64, share: u64, count: u8) -> Probing {
    let interval = Duration::from_millis(interval);
    Probing { interval, timeout: (interval * share as u32 / 100).max(Duration::from_millis(10)), count }
}

#[test]
fn a_cut_of_vrrp_alone_makes_no_second_master() {
    for deaf in [[true, true], [true, false], [false, true]] {
        let mut pair = Pair::new(Duration::from_millis(100), probing(1000, 50, 3));
        pair.deaf = deaf;
        assert_eq!(pair.run(Duration::from_secs(600)), 1, "{deaf:?}");
        assert_eq!(pair.members[1].withheld, u32::from(deaf[0]), "{deaf:?}");
        pair.deaf = [false; 2];
        assert_eq!(pair.run(Duration::from_secs(60)), 1);
        assert_eq!(pair.masters(), [true, false]);
    }
}

#[test]
fn a_loss_of_pings_alone_makes_no_second_master() {
    let mut pair = Pair::new(Duration::from_millis(100), probing(1000, 50, 3));
    pair.no_pings = true;
    assert_eq!(pair.run(Duration::from_secs(600)), 1);
    assert_eq!(pair.masters(), [true, false]);
}

#[test]
fn a_cut_of_both_is_a_split_brain_and_heals_to_one_master() {
    let mut pair = Pair::new(Duration::from_millis(100), probing(1000, 50, 3));
    (pair.deaf, pair.no_pings) = ([true; 2], true);
    assert_eq!(pair.run(Duration::from_secs(10)), 2);
    (pair.deaf, pair.no_pings) = ([false; 2], false);
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.masters(), [true, false]);
}

#[test]
fn priority_0_hands_over_at_once_and_the_first_takes_back() {
    let mut pair = Pair::new(Duration::from_millis(100), probing(1000, 50, 3));
    let now = pair.now;
    pair.members[0].instance.handle(Event::Stop, now);
    pair.act(0);
    pair.run(Duration::from_millis(100));
    assert_eq!(pair.masters(), [false, true], "in skew time, though it still answers pings");
    pair.kill(0);
    pair.run(Duration::from_secs(5));
    pair.boot(0);
    pair.run(Duration::from_secs(2));
    assert_eq!(pair.masters(), [true, false]);
}

proptest! {
    #[test]
    fn a_death_is_taken_over_in_time_and_the_return_hands_back(
        advert_cs in 1u64..300, interval in 100u64..3000, share in 10u64..=100, count in 1u8..6, offset in 0u64..5000,
    ) {
        let advert = Duration::from_millis(advert_cs * 10);
        let probing = probing(interval, share, count);
        let mut pair = Pair::new(advert, probing);
        prop_assert_eq!(pair.run(Duration::from_millis(offset)), 1);
        let died = pair.now;
        pair.kill(0);
        let bound = pair.bound(probing);
        pair.run(bound);
        prop_assert_eq!(pair.masters(), [false, true], "within {:?}", bound);
        prop_assert!(pair.members[1].master_since.unwrap() <= died + bound);
        pair.boot(0);
        pair.run(advert * 10);
        prop_assert_eq!(pair.masters(), [true, false]);
    }
}
