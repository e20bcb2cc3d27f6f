//! What the guard's rules cost: the same requests through one director with its rules and without them, in turns.
//!
//! The director only forwards and its fellow only serves, so that nothing but forwarding is measured. Time is that of the
//! host's processors in the director's machine, emulation included, so it is a proportion that counts. The first round
//! warms up and is not counted.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{drawn, loading};
use crate::client::load::Tally;
use crate::draw::CLIENTS;
use crate::pair::Pair;

/// The chains that the guard begins with. What they lead to is of no effect without them.
const GUARD: [&str; 2] = ["origin", "delivered"];

/// The most that the guard may cost: 3 %.
const MOST: f64 = 0.03;

/// Requests through the director in one round.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Round {
    /// Processor time of the director's machine for each request, microseconds.
    pub micros: f64,
    /// Requests per second.
    pub rate: f64,
}

/// The rounds of both kinds, in turns.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Requests in each.
    pub requests: usize,
    /// With the guard's rules.
    pub with: Vec<Round>,
    /// Without them.
    pub without: Vec<Round>,
}

/// Measures on a pair that serves, `rounds` times each way. The pair's engines stand still afterwards.
pub fn measure(pair: &mut Pair, rounds: usize, requests: usize) -> Result<Cost> {
    let config = drawn::config(pair)?;
    let agents = [0, 1].map(|which| pair.agent(which));
    let mut states = Vec::new();
    for (which, agent) in agents.iter().enumerate() {
        loading::begin(pair, which, agent)?;
        let state = drawn::planned(pair, &config, which, which == 0, [false, true])?;
        loading::load(agent, &pair.cluster, &Default::default(), &state, &[])?;
        states.push(state);
    }
    // The other box may have announced itself while the first one's engine stood still already.
    let director = Some((pair.cluster.vip, pair.cluster.members[0].mac));
    pair.lab.pin(vec![director; CLIENTS]);
    let mut cost = Cost { requests, with: Vec::new(), without: Vec::new() };
    for round in 0..=rounds {
        // Whoever is first in a round is so in every other one only.
        let turns = if round % 2 == 0 { [true, false] } else { [false, true] };
        for guarded in turns {
            let gone: &[&str] = if guarded { &[] } else { &GUARD };
            loading::load(&agents[0], &pair.cluster, &states[0], &states[0], gone)?;
            let measured = one(pair, requests)?;
            let rounds = if guarded { &mut cost.with } else { &mut cost.without };
            rounds.extend((round > 0).then_some(measured));
        }
    }
    Ok(cost)
}

fn one(pair: &mut Pair, requests: usize) -> Result<Round> {
    let process = pair.boxes[0].machine()?.process();
    pair.lab.with(|network| network.switch.crossings.reset());
    let (before, began) = (processor_time(process)?, Instant::now());
    let tally = Tally::of(&pair.requests(requests));
    let took = began.elapsed().as_secs_f64();
    let used = processor_time(process)?.saturating_sub(before);
    let other = &pair.cluster.members[1].name;
    ensure!(tally.lost() == 0 && tally.served.keys().eq([other]), "{tally}");
    let seen = pair.lab.with(|network| network.switch.crossings.summary().clone());
    // The last ones are still on their way.
    ensure!(
        10 * seen.frames >= 9 * seen.packets,
        "only {} of {} frames went through the director",
        seen.frames,
        seen.packets
    );
    Ok(Round { micros: used.as_secs_f64() * 1e6 / requests as f64, rate: requests as f64 / took })
}

/// What the threads of a process have used so far: the first number of `/proc/PID/task/TID/schedstat`.
fn processor_time(process: u32) -> Result<Duration> {
    let mut nanos = 0;
    let tasks = format!("/proc/{process}/task");
    for task in std::fs::read_dir(&tasks).with_context(|| format!("reading {tasks}"))? {
        // A thread may end in between; QEMU's processor threads do not.
        let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanos += text.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or_default();
    }
    Ok(Duration::from_nanos(nanos))
}

/// What can be said of the promise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It costs no more than it may.
    Kept,
    /// It costs more.
    Broken,
    /// The noise is too high to tell.
    Open,
}

impl Cost {
    /// How much more processor time the guard takes, by the median over the rounds: 0.03 is 3 %. Each round is compared
    /// with the one beside it, since a busy host changes its pace.
    pub fn share(&self) -> f64 {
        median(self.shares())
    }

    /// By how much that median may be off, in either direction: the spread of the rounds from the first to the third
    /// quartile, over the square root of their number, which is 1.4 standard errors of a median where chance is normal.
    pub fn noise(&self) -> f64 {
        let shares = sorted(self.shares());
        let at = |quarter: usize| shares.get(shares.len() * quarter / 4).copied().unwrap_or_default();
        (at(3) - at(1)) / (shares.len().max(1) as f64).sqrt()
    }

    /// Judges, as far as the noise lets that be done.
    pub fn verdict(&self) -> Verdict {
        match (self.share(), self.noise()) {
            (share, noise) if share + noise <= MOST => Verdict::Kept,
            (share, noise) if share - noise > MOST => Verdict::Broken,
            _ => Verdict::Open,
        }
    }

    fn shares(&self) -> Vec<f64> {
        self.with
            .iter()
            .zip(&self.without)
            .map(|(with, without)| with.micros / without.micros - 1.0)
            .collect()
    }
}

fn micros(rounds: &[Round]) -> Vec<f64> {
    rounds.iter().map(|round| round.micros).collect()
}

fn sorted(mut numbers: Vec<f64>) -> Vec<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers
}

fn median(numbers: Vec<f64>) -> f64 {
    let sorted = sorted(numbers);
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "cost of the guard's rules, {} requests a round through a director that only forwards",
            self.requests
        )?;
        for (what, rounds) in [("with", &self.with), ("without", &self.without)] {
            let times = sorted(micros(rounds));
            let (least, most) =
                (times.first().copied().unwrap_or_default(), times.last().copied().unwrap_or_default());
            let rate = median(rounds.iter().map(|round| round.rate).collect());
            writeln!(
                f,
                "{what:<8} {:>6.0} us per request (median of {}; {least:.0} to {most:.0}), {rate:.0} requests/s",
                median(times),
                rounds.len()
            )?;
        }
        let (share, noise, most) = (100.0 * self.share(), 100.0 * self.noise(), 100.0 * MOST);
        let verdict = match self.verdict() {
            Verdict::Kept => "kept",
            Verdict::Broken => "BROKEN",
            Verdict::Open => "too much noise to tell",
        };
        writeln!(
            f,
            "{share:+.1} % processor time, median of pairs of rounds, give or take {noise:.1}; at most {most:.0} %: {verdict}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cost(with: [f64; 4], without: [f64; 4]) -> Cost {
        let rounds = |micros: [f64; 4]| micros.map(|micros| Round { micros, rate: 700.0 }).to_vec();
        Cost { requests: 100, with: rounds(with), without: rounds(without) }
    }

    #[test]
    fn what_is_surely_dearer_than_allowed_is_broken() {
        let even = cost([100.0, 101.0, 102.0, 101.0], [100.0, 101.0, 102.0, 100.0]);
        assert_eq!(even.verdict(), Verdict::Kept, "{even}");
        let dear = cost([110.0, 111.0, 111.0, 110.0], [100.0, 101.0, 100.0, 101.0]);
        assert_eq!(dear.verdict(), Verdict::Broken, "{dear}");
        assert!((0.09..0.11).contains(&dear.share()), "{dear}");
        let noisy = cost([110.0, 90.0, 130.0, 140.0], [100.0, 110.0, 90.0, 125.0]);
        assert_eq!(noisy.verdict(), Verdict::Open, "{noisy}");
    }

    #[test]
    fn a_host_that_changes_its_pace_does_no_harm() {
        let pace = cost([100.0, 200.0, 300.0, 400.0], [100.0, 200.0, 300.0, 400.0]);
        assert_eq!((pace.share(), pace.verdict()), (0.0, Verdict::Kept));
    }
}
