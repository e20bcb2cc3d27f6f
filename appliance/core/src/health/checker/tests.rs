//! The checker by stories, and by any sequence of events.

use proptest::prelude::*;

use super::*;

fn at(seconds: f64) -> Moment {
    Moment::from_boot(Duration::from_secs_f64(seconds))
}

fn checker() -> Checker {
    Checker::new(&Check::default(), 1, at(0.0))
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
fn a_server_that_may_be_starting_is_probed_every_second_for_a_minute() {
    let mut checker = checker();
    let mut times = Vec::new();
    let mut now = at(0.0);
    for _ in 0..63 {
        now = answer(&mut checker, Err("refused"), now).0;
        times.push(now);
    }
    assert_eq!(times[..61], (0..=60).map(|second| at(f64::from(second))).collect::<Vec<_>>());
    let later = times[62].since(times[61]).as_secs_f64();
    assert!((5.4..=6.0).contains(&later), "{later}");
}

#[test]
fn a_server_that_passed_once_is_not_starting_any_more() {
    let mut checker = checker();
    answer(&mut checker, Ok(()), at(0.0));
    checker.recheck(at(1.0));
    let failed = answer(&mut checker, Err("refused"), at(1.0)).0;
    let next = answer(&mut checker, Err("refused"), failed).0;
    assert!(next.since(failed) > Duration::from_secs(5), "{next}");
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
    assert_eq!(checker.health(), Health::Unknown, "an outcome of an attempt that was given up means nothing");
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
