//! One real server's health as a state machine: says when to probe, is told what happened.
//!
//! A server starts [`Health::Unknown`] and is up with its first passed probe. It is down when a probe and all its
//! retries failed, and up again with the next one that passes. A server whose box fell silent is [`Health::Suspect`]:
//! it is probed at once, with one short attempt after the other, and the first that passes clears it.

use std::time::Duration;

use crate::config::Check;
use crate::moment::Moment;
use crate::plan::Health;

/// Longest that a single attempt may take, and shortest pause between attempts, while the server is in doubt.
const IN_DOUBT: Duration = Duration::from_secs(1);

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
    /// A server that nothing is known of; it is probed at once. `seed` spreads later probes by up to a tenth of their
    /// interval.
    pub fn new(check: &Check, seed: u64, _now: Moment) -> Self {
        Self {
            check: check.clone(),
            health: Health::Unknown,
            why: "not checked yet".into(),
            failures: 0,
            doubted: false,
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
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::CheckKind;

    fn at(seconds: f64) -> Moment {
        Moment::from_boot(Duration::from_secs_f64(seconds))
    }

    fn checker() -> Checker {
        let check = Check {
            kind: CheckKind::Tcp,
            port: None,
            interval: Duration::from_secs(6),
            timeout: Duration::from_secs(10),
            retries: 3,
            retry_delay: Duration::from_secs(3),
        };
        Checker::new(&check, 1, at(0.0))
    }

    /// Lets time reach the next attempt and answers it; returns when that was and how long the attempt might have taken.
    fn answer(checker: &mut Checker, outcome: Result<(), &str>, mut now: Moment) -> (Moment, Duration) {
        let probe = loop {
            if let Some(probe) = checker.poll_action(now) {
                break probe;
            }
            now = checker.poll_timeout().expect("a checker without an attempt has a time for the next");
            checker.handle_timeout(now);
        };
        checker.handle_outcome(probe.number, outcome.map_err(String::from), now);
        (now, probe.limit)
    }

    #[test]
    fn a_server_is_in_only_after_its_first_passed_check() {
        let mut checker = checker();
        assert_eq!(checker.health(), Health::Unknown);
        assert_eq!(answer(&mut checker, Ok(()), at(0.0)).0, at(0.0), "the first attempt is made at once");
        assert_eq!(checker.health(), Health::Up);
    }

    #[test]
    fn an_up_server_is_down_after_all_retries_and_back_with_the_first_pass() {
        let mut checker = checker();
        let mut now = at(0.0);
        let mut health = Vec::new();
        for outcome in [Ok(()), Err("refused"), Err("refused"), Err("refused"), Err("refused"), Ok(())] {
            let before = now;
            now = answer(&mut checker, outcome, now).0;
            health.push((checker.health(), (now.since(before).as_secs_f64()).round()));
        }
        use Health::{Down, Up};
        assert_eq!(health[0], (Up, 0.0));
        assert_eq!(health[1].0, Up);
        assert_eq!(&health[2..5], [(Up, 3.0), (Up, 3.0), (Down, 3.0)]);
        assert_eq!(health[5].0, Up);
    }

    #[test]
    fn a_suspect_is_probed_at_once_and_often_until_it_answers() {
        let mut checker = checker();
        answer(&mut checker, Ok(()), at(0.0));
        checker.suspect(at(1.0));
        assert_eq!(checker.health(), Health::Suspect);
        for second in 1..5 {
            let (when, limit) = answer(&mut checker, Err("no answer"), at(1.0));
            assert_eq!((when, limit), (at(f64::from(second)), IN_DOUBT));
            assert_eq!(checker.health(), Health::Suspect);
        }
        answer(&mut checker, Ok(()), at(5.0));
        assert_eq!(checker.health(), Health::Up);
    }

    #[test]
    fn a_recheck_takes_one_failure() {
        let mut checker = checker();
        answer(&mut checker, Ok(()), at(0.0));
        checker.recheck(at(1.0));
        assert_eq!(checker.health(), Health::Up, "a doubt alone takes nobody out");
        assert_eq!(answer(&mut checker, Err("refused"), at(1.0)).0, at(1.0));
        assert_eq!(checker.health(), Health::Down);
    }

    #[test]
    fn late_foreign_and_lost_outcomes() {
        let mut checker = checker();
        let first = checker.poll_action(at(0.0)).expect("the first attempt is due at once");
        checker.recheck(at(1.0));
        let second = checker.poll_action(at(1.0)).expect("a recheck is due at once");
        checker.handle_outcome(first.number, Ok(()), at(1.5));
        assert_eq!(
            checker.health(),
            Health::Unknown,
            "an outcome of an attempt that was given up means nothing"
        );
        let lost = checker.poll_timeout().expect("a running attempt can get lost");
        checker.handle_timeout(lost);
        assert_eq!(checker.health(), Health::Down, "an attempt without an outcome failed");
        checker.handle_outcome(second.number, Ok(()), lost);
        assert_eq!(checker.health(), Health::Down);
    }

    #[test]
    fn an_adopted_server_is_up_until_its_checks_fail() {
        let mut checker = checker();
        checker.adopt(at(0.0));
        assert_eq!(checker.health(), Health::Up);
        for _ in 0..4 {
            answer(&mut checker, Err("refused"), at(0.0));
        }
        assert_eq!(checker.health(), Health::Down);
    }

    proptest! {
        /// Whatever happens, a checker always wants something next, and is up only if its last judged attempt passed or
        /// it has failures to spare.
        #[test]
        fn a_checker_never_stalls(steps in proptest::collection::vec(0_u8..6, 1..200)) {
            let mut checker = checker();
            let mut now = at(0.0);
            for step in steps {
                match step {
                    0 => checker.suspect(now),
                    1 => checker.recheck(now),
                    2 => checker.adopt(now),
                    3 => { now = answer(&mut checker, Ok(()), now).0; prop_assert_eq!(checker.health(), Health::Up); }
                    4 => { now = answer(&mut checker, Err("refused"), now).0; }
                    _ => { now = now + Duration::from_millis(700); checker.handle_timeout(now); }
                }
                prop_assert!(checker.poll_timeout().is_some() || checker.clone().poll_action(now).is_some());
            }
        }
    }
}
