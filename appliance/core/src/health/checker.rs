//! One real server's health as a state machine: says when to probe, is told what happened.
//!
//! A server starts [`Health::Unknown`] and is up with its first passed probe; until then it may be starting, and is probed
//! every second for a minute. It is down when a probe and all its
//! retries failed, and up again with the next one that passes. A server whose box fell silent is [`Health::Suspect`]:
//! it is probed at once, with one short attempt after the other, and the first that passes clears it.

use std::time::Duration;

use crate::config::Check;
use crate::moment::Moment;
use crate::plan::Health;

/// Longest that a single attempt may take, and shortest pause between attempts, while the server is in doubt.
const IN_DOUBT: Duration = Duration::from_secs(1);

/// So long after it became known, a server that has not passed yet is probed often: a box's application starts beside its
/// engine, and seldom first.
const STARTING: Duration = Duration::from_secs(60);

/// An attempt to be made now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// To be repeated with the outcome; an outcome with another number is late and means nothing.
    pub number: u64,
    /// Total deadline of the attempt.
    pub limit: Duration,
}

/// One real server's health.
#[derive(Clone, Debug)]
pub struct Checker {
    check: Check,
    health: Health,
    why: String,
    /// Failed attempts since the last passed one.
    failures: u32,
    /// One failed attempt is enough: the server is in doubt.
    doubted: bool,
    /// Until when it may be starting; `None` once a probe passed.
    starting_until: Option<Moment>,
    attempt: Attempt,
    number: u64,
    random: u64,
}

/// Where the checker is between two attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attempt {
    /// The next one is due then.
    Due(Moment),
    /// One is to be handed out by `poll_action`.
    Ready,
    /// One was handed out; without an outcome it counts as failed then.
    Running { since: Moment, lost: Moment },
}

impl Checker {
    /// A server that nothing is known of; it is probed at once, and every second until it passes or a minute is over.
    /// `seed` spreads later probes by up to a tenth of their interval.
    pub fn new(check: &Check, seed: u64, now: Moment) -> Self {
        Self {
            check: check.clone(),
            health: Health::Unknown,
            why: "not checked yet".into(),
            failures: 0,
            doubted: false,
            starting_until: Some(now + STARTING),
            attempt: Attempt::Ready,
            number: 0,
            random: seed ^ 0x9e37_79b9_7f4a_7c15,
        }
    }

    /// What is known.
    pub fn health(&self) -> Health {
        self.health
    }

    /// Why, for people.
    pub fn why(&self) -> &str {
        &self.why
    }

    /// The server was in the kernel's table when this engine started: up until a probe says otherwise.
    pub fn adopt(&mut self, _now: Moment) {
        if self.health == Health::Unknown {
            self.turn(Health::Up, "in the table when the engine started");
        }
    }

    /// The server's box fell silent: out until a probe passes. A server that is not up stays what it is.
    pub fn suspect(&mut self, now: Moment) {
        if self.health == Health::Up {
            self.turn(Health::Suspect, "its box fell silent");
        }
        self.recheck(now);
    }

    /// Probe at once, whatever was planned; one failure is enough to take the server out.
    pub fn recheck(&mut self, _now: Moment) {
        self.doubted = true;
        self.attempt = Attempt::Ready;
    }

    /// Probe a server that is not up now instead of later; an attempt that runs goes on.
    pub fn hurry(&mut self) {
        if self.health != Health::Up && matches!(self.attempt, Attempt::Due(_)) {
            self.attempt = Attempt::Ready;
        }
    }

    /// The next attempt to make, if one is due.
    pub fn poll_action(&mut self, now: Moment) -> Option<Probe> {
        if self.attempt != Attempt::Ready {
            return None;
        }
        let limit = if self.doubted { self.check.timeout.min(IN_DOUBT) } else { self.check.timeout };
        self.number += 1;
        // An outcome that never comes must not end the checks; the prober's own deadline comes well before.
        self.attempt = Attempt::Running { since: now, lost: now + limit * 2 + IN_DOUBT };
        Some(Probe { number: self.number, limit })
    }

    /// When [`Checker::handle_timeout`] wants to be called; `None` while an attempt waits for `poll_action`.
    pub fn poll_timeout(&self) -> Option<Moment> {
        match self.attempt {
            Attempt::Due(at) | Attempt::Running { lost: at, .. } => Some(at),
            Attempt::Ready => None,
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Moment) {
        match self.attempt {
            Attempt::Due(at) if at <= now => self.attempt = Attempt::Ready,
            Attempt::Running { lost, .. } if lost <= now => {
                self.handle_outcome(self.number, Err("the check itself got lost".into()), now);
            }
            _ => {}
        }
    }

    /// How attempt `number` went. One that is not the running attempt is ignored.
    pub fn handle_outcome(&mut self, number: u64, outcome: Result<(), String>, now: Moment) {
        let Attempt::Running { since, .. } = self.attempt else { return };
        if number != self.number {
            return;
        }
        match outcome {
            Ok(()) => self.passed(since, now),
            Err(why) => self.failed(why, since, now),
        }
    }

    fn passed(&mut self, since: Moment, now: Moment) {
        self.failures = 0;
        self.doubted = false;
        self.starting_until = None;
        self.turn(Health::Up, "its check passed");
        self.after_interval(since, now);
    }

    fn failed(&mut self, why: String, since: Moment, now: Moment) {
        self.failures += 1;
        let doubted = std::mem::take(&mut self.doubted);
        let enough = doubted || self.failures > u32::from(self.check.retries);
        match self.health {
            Health::Up if enough => self.turn(Health::Down, &why),
            // The box is still silent: keep asking, briefly and often.
            Health::Suspect => {
                self.why = format!("its box fell silent; {why}");
                self.doubted = true;
                self.attempt = Attempt::Due(now.max(since + IN_DOUBT));
                return;
            }
            Health::Unknown | Health::Down => self.turn(Health::Down, &why),
            Health::Up => {}
        }
        if self.health == Health::Up {
            self.attempt = Attempt::Due(now + self.check.retry_delay);
        } else if self.starting_until.is_some_and(|until| now < until) {
            self.attempt = Attempt::Due(now.max(since + self.check.interval.min(IN_DOUBT)));
        } else {
            self.after_interval(since, now);
        }
    }

    /// The next attempt one interval after the start of the last, spread by up to a tenth so that the directors of a
    /// cluster do not knock together.
    fn after_interval(&mut self, since: Moment, now: Moment) {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let spread = self.check.interval.mul_f64((self.random >> 40) as f64 / (1_u64 << 24) as f64 / 10.0);
        self.attempt = Attempt::Due(now.max(since + self.check.interval - spread));
    }

    fn turn(&mut self, to: Health, why: &str) {
        self.health = to;
        why.clone_into(&mut self.why);
    }
}

#[cfg(test)]
mod tests;
