//! What a test learns of a pair: waiting until it is so, and when it was so, by what the switch and the report tty saw.
//!
//! Nothing here does anything to a box, and no wait ends by time alone: each gives up with a sentence.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use halcyon_core::moment::Moment;

use super::{BOOTS_WITHIN, Pair};
use crate::client::load::{Load, Pace, Tally};
use crate::client::talk::{Ask, Outcome, Request};
use crate::switch::PortId;
use crate::vm::report::Reported;

impl Pair {
    /// Waits until the box says that its first plan as this member is applied. It may say before that it is unconfigured:
    /// a USB stick takes its time.
    pub fn wait_ready(&mut self, which: usize) -> Result<()> {
        let name = self.cluster.members[which].name.clone();
        let ready = |event: &Reported| event.kind() == "ready" && event.text("member") == name;
        self.boxes[which].machine()?.report.expect("ready", BOOTS_WITHIN, ready).map(drop)
    }

    /// Waits until the box says that its virtual router is in `state`, from the `mark`-th event on.
    pub fn wait_vrrp(&mut self, which: usize, mark: usize, state: &str, within: Duration) -> Result<Moment> {
        let id = self.cluster.vrid;
        let machine = self.boxes[which].machine()?;
        let event = machine.report.expect_after(mark, state, within, |event| event.is_vrrp(id, state))?;
        Ok(event.at)
    }

    /// Waits until the box, and nobody else, advertises; for boxes that report nothing.
    pub fn wait_master(&self, which: usize) -> Result<()> {
        self.wait_masters(&[which])
    }

    /// Waits until exactly these boxes advertise.
    pub fn wait_masters(&self, which: &[usize]) -> Result<()> {
        let deadline = Instant::now() + BOOTS_WITHIN;
        let wanted: BTreeSet<Option<usize>> = which.iter().copied().map(Some).collect();
        let span = 3 * self.wording.interval;
        while Instant::now() < deadline {
            let since = self.lab.now() - span;
            let ports: BTreeSet<PortId> = self
                .lab
                .with(move |network| network.switch.adverts.since(since).map(|seen| seen.port).collect());
            let boxes = ports.into_iter().map(|port| self.boxes.iter().position(|station| station.has(port)));
            if since > Moment::ZERO && boxes.collect::<BTreeSet<_>>() == wanted {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let names: Vec<_> = which.iter().map(|which| self.cluster.members[*which].name.as_str()).collect();
        bail!("waiting for {} to be master, and nobody else", names.join(" and "))
    }

    /// Waits until both boxes answer at the virtual address.
    pub fn wait_balanced(&self) -> Result<()> {
        let names: Vec<&str> = self.cluster.members.iter().map(|member| member.name.as_str()).collect();
        self.wait_served_by(&names)
    }

    /// Waits until the first box is the only master, every client knows it, and both boxes answer.
    pub fn wait_serving(&mut self) -> Result<()> {
        self.wait_vrrp(0, 0, "master", BOOTS_WITHIN)?;
        self.wait_master(0)?;
        self.wait_settled()?;
        self.wait_balanced()
    }

    /// Waits until exactly these boxes answer at the virtual address.
    pub fn wait_served_by(&self, names: &[&str]) -> Result<()> {
        let deadline = Instant::now() + BOOTS_WITHIN;
        loop {
            let patience = Duration::from_secs(2);
            let request = Request { patience, ..Request::new(Ask::Name, self.service_address()) };
            let pace = Pace::Count { total: 8, parallel: 2 };
            let tally =
                Tally::of(&self.lab.run(Load { request, first_host: 0, sources: 8, first_port: None, pace }));
            let only_these = tally.served.keys().all(|name| names.contains(&name.as_str()));
            if tally.lost() == 0 && only_these && tally.served.len() == names.len() {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("waiting for answers of {}: {tally}", names.join(" and "));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until nobody has announced the virtual address for two seconds: clients have the director they keep.
    pub fn wait_settled(&self) -> Result<()> {
        const QUIET: Duration = Duration::from_secs(2);
        let deadline = Instant::now() + BOOTS_WITHIN;
        let (vip, began) = (self.vip(), self.lab.now());
        while Instant::now() < deadline {
            let now = self.lab.now();
            let since = now - QUIET;
            let quiet = self.lab.with(move |network| network.switch.claims.announced(vip, since).is_none());
            if quiet && now.since(began) >= QUIET {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("{vip} is announced again and again")
    }

    /// Waits for the next advertisement of the box. From then on whoever listens has been told that it is alive.
    pub fn wait_advertised(&self, which: usize) -> Result<()> {
        let deadline = Instant::now() + BOOTS_WITHIN;
        let asked = self.lab.now();
        while Instant::now() < deadline {
            if self.last_advert(which).is_some_and(|at| at > asked) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("waiting for an advertisement of {}", self.cluster.members[which].name)
    }

    /// When the last advertisement of a master came in from the box: one of another priority than 0.
    pub fn last_advert(&self, which: usize) -> Option<Moment> {
        let port = self.boxes[which].port;
        self.lab.with(move |network| network.switch.adverts.last_from(port).map(|seen| seen.at))
    }

    /// When the box announced the virtual address for the first time from `since` on; waits for it a little, because a
    /// new master reports and advertises first.
    pub fn announced(&self, which: usize, since: Moment) -> Result<Moment> {
        let (vip, member) = (self.vip(), &self.cluster.members[which]);
        let mac = member.mac;
        let deadline = Instant::now() + Duration::from_secs(2);
        while Instant::now() < deadline {
            let announced = self.lab.with(move |network| {
                let mut claims = network.switch.claims.of(vip, since);
                claims.find(|claim| claim.announcement && claim.mac == mac).map(|claim| claim.at)
            });
            if let Some(at) = announced {
                return Ok(at);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("{} did not announce {vip}", member.name)
    }

    /// The moments from `since` on at which the virtual address moved: announced by another box than before.
    pub fn moves(&self, since: Moment) -> Vec<Moment> {
        let vip = self.vip();
        let claims: Vec<_> = self.lab.with(move |network| {
            let announced = network.switch.claims.of(vip, Moment::ZERO).filter(|claim| claim.announcement);
            announced.map(|claim| (claim.at, claim.mac)).collect()
        });
        let changes = claims.windows(2).filter(|pair| pair[0].1 != pair[1].1).map(|pair| pair[1].0);
        changes.filter(|at| *at >= since).collect()
    }

    /// The requests that failed, but for those under way while the virtual address moved: their first half was another
    /// director's.
    pub fn lost(&self, outcomes: &[Outcome]) -> Vec<Outcome> {
        let moves = self.moves(Moment::ZERO);
        let under_way = |one: &Outcome| moves.iter().any(|at| (one.began..=one.ended()).contains(at));
        outcomes.iter().filter(|one| one.result.is_err() && !under_way(one)).cloned().collect()
    }

    /// The longest that something may take which takes `interval` by the standard: a tenth and 50 ms more for the emulated
    /// machine, and the time that the test host kept it waiting.
    pub fn allowed(&self, interval: Duration, from: Moment, to: Moment) -> Duration {
        interval + interval / 10 + Duration::from_millis(50) + self.lab.stalled(from, to)
    }
}
