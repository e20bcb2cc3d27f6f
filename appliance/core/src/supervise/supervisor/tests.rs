//! Single steps of a unit's life, and what must hold after any sequence of events.

use std::time::Duration;

use proptest::prelude::*;

use super::shutdown::{ABANDON, GRACE};
use super::slot::READY_LIMIT;
use super::*;
use crate::supervise::event::Exit;
use crate::supervise::unit::{Greeting, Restart, StopPhase};

fn at(millis: u64) -> Moment {
    Moment::ZERO + Duration::from_millis(millis)
}

fn unit(name: &str, after: &[&str]) -> Unit {
    let mut unit = Unit::new(name, vec![format!("/bin/{name}")]);
    unit.after = after.iter().map(|name| (*name).to_owned()).collect();
    unit
}

/// A supervisor of these units, with its commands of the first moment.
fn supervisor(units: Vec<Unit>) -> Supervisor {
    let mut supervisor = Supervisor::new();
    supervisor.handle(Event::Added(units), at(0));
    supervisor
}

/// The commands but the reports, in short.
fn commands(supervisor: &mut Supervisor) -> Vec<String> {
    std::iter::from_fn(|| supervisor.poll_command())
        .filter_map(|command| match command {
            Command::Start { unit } => Some(format!("start {unit}")),
            Command::Signal { unit, .. } => Some(format!("term {unit}")),
            Command::KillAll { unit } => Some(format!("kill {unit}")),
            Command::Report(_) => None,
            Command::Halt => Some("halt".to_owned()),
        })
        .collect()
}

fn started(supervisor: &mut Supervisor, unit: &str, pid: u32, now: Moment) {
    supervisor.handle(Event::Started { unit: unit.to_owned(), pid }, now);
}

#[test]
fn a_unit_waits_for_the_readiness_of_those_it_names() {
    let mut engine = unit("engine", &["logd"]);
    engine.notify = true;
    let mut supervisor = supervisor(vec![unit("app", &["engine"]), engine, unit("logd", &[])]);
    assert_eq!(commands(&mut supervisor), ["start logd"]);
    started(&mut supervisor, "logd", 1, at(0));
    assert_eq!(commands(&mut supervisor), ["start engine"]);
    started(&mut supervisor, "engine", 2, at(0));
    assert_eq!(commands(&mut supervisor), [""; 0]);
    supervisor.handle(Event::Ready { unit: "engine".to_owned() }, at(5));
    assert_eq!(commands(&mut supervisor), ["start app"]);
}

#[test]
fn what_the_box_cannot_be_without_starts_before_others_that_may_start_too() {
    let mut engine = unit("engine", &["devices"]);
    engine.critical = true;
    let units = vec![unit("agent", &[]), unit("devices", &["logd"]), engine, unit("logd", &[])];
    assert_eq!(commands(&mut supervisor(units)), ["start logd", "start agent"]);
}

#[test]
fn a_unit_that_never_gets_ready_holds_nobody_up_for_longer_than_the_limit() {
    let mut engine = unit("engine", &[]);
    engine.notify = true;
    let mut supervisor = supervisor(vec![unit("app", &["engine"]), engine]);
    started(&mut supervisor, "engine", 2, at(0));
    commands(&mut supervisor);
    assert_eq!(supervisor.poll_timeout(), Some(Moment::ZERO + READY_LIMIT));
    supervisor.handle(Event::Tick, Moment::ZERO + READY_LIMIT);
    assert_eq!(commands(&mut supervisor), ["start app"]);
}

#[test]
fn the_first_crash_is_repaired_at_once_and_the_second_after_a_pause() {
    let mut supervisor = supervisor(vec![unit("engine", &[])]);
    started(&mut supervisor, "engine", 7, at(0));
    commands(&mut supervisor);
    supervisor.handle(Event::Exited { pid: 7, exit: Exit::Signal(9) }, at(1000));
    assert_eq!(commands(&mut supervisor), ["kill engine", "start engine"]);
    started(&mut supervisor, "engine", 8, at(1000));
    supervisor.handle(Event::Exited { pid: 8, exit: Exit::Signal(9) }, at(2000));
    assert_eq!(commands(&mut supervisor), ["kill engine"]);
    assert_eq!(supervisor.poll_timeout(), Some(at(2100)));
    supervisor.handle(Event::Tick, at(2100));
    assert_eq!(commands(&mut supervisor), ["start engine"]);
}

#[test]
fn restart_follows_the_unit_file() {
    for (restart, exit, again) in [
        (Restart::Always, Exit::Status(0), true),
        (Restart::Always, Exit::Signal(11), true),
        (Restart::OnFailure, Exit::Status(0), false),
        (Restart::OnFailure, Exit::Status(1), true),
        (Restart::OnFailure, Exit::Signal(15), true),
        (Restart::Never, Exit::Status(1), false),
    ] {
        let mut job = unit("job", &[]);
        job.restart = restart;
        let mut supervisor = supervisor(vec![job]);
        started(&mut supervisor, "job", 3, at(0));
        commands(&mut supervisor);
        supervisor.handle(Event::Exited { pid: 3, exit }, at(10));
        assert_eq!(commands(&mut supervisor).contains(&"start job".to_owned()), again, "{restart:?} {exit}");
    }
}

#[test]
fn the_engine_stops_first_then_the_others_in_reverse_order_and_the_log_last() {
    let mut engine = unit("engine", &[]);
    engine.stop = StopPhase::First;
    let mut logd = unit("logd", &[]);
    logd.stop = StopPhase::Last;
    let mut supervisor =
        supervisor(vec![unit("app", &["engine", "database"]), unit("database", &[]), engine, logd]);
    for (pid, name) in [(1, "database"), (2, "engine"), (3, "logd"), (4, "app")] {
        started(&mut supervisor, name, pid, at(0));
    }
    commands(&mut supervisor);
    supervisor.handle(Event::StopRequested, at(100));
    assert_eq!(commands(&mut supervisor), ["term engine"]);
    for (pid, next) in [(2, "term app"), (4, "term database"), (1, "term logd"), (3, "halt")] {
        supervisor.handle(Event::Exited { pid, exit: Exit::Status(0) }, at(200));
        assert_eq!(commands(&mut supervisor)[1..], [next]);
    }
}

#[test]
fn a_unit_that_ignores_term_is_killed_and_one_that_ignores_kill_is_left_behind() {
    let mut supervisor = supervisor(vec![unit("app", &[])]);
    started(&mut supervisor, "app", 1, at(0));
    supervisor.handle(Event::StopRequested, at(0));
    commands(&mut supervisor);
    assert_eq!(supervisor.poll_timeout(), Some(Moment::ZERO + GRACE));
    supervisor.handle(Event::Tick, Moment::ZERO + GRACE);
    assert_eq!(commands(&mut supervisor), ["kill app"]);
    supervisor.handle(Event::Tick, Moment::ZERO + GRACE + ABANDON);
    assert_eq!(commands(&mut supervisor), ["halt"]);
}

#[test]
fn a_silent_console_starts_its_program_at_a_key_and_waits_for_the_next_after_it_ended() {
    let mut console = unit("console", &[]);
    console.tty = Tty::Template;
    let mut supervisor = supervisor(vec![
        console.clone(),
        console.on_tty("tty1", Greeting::AtOnce),
        console.on_tty("ttyS1", Greeting::OnKey),
    ]);
    assert_eq!(commands(&mut supervisor), ["start console@tty1"]);
    assert_eq!(supervisor.dormant().map(|unit| unit.name.as_str()).collect::<Vec<_>>(), ["console@ttyS1"]);
    supervisor.handle(Event::Woken { unit: "console@ttyS1".to_owned() }, at(5));
    assert_eq!(commands(&mut supervisor), ["start console@ttyS1"]);
    started(&mut supervisor, "console@ttyS1", 9, at(5));
    supervisor.handle(Event::Exited { pid: 9, exit: Exit::Status(0) }, at(9));
    assert_eq!(commands(&mut supervisor), ["kill console@ttyS1"]);
    assert_eq!(supervisor.dormant().count(), 1);
}

#[test]
fn silence_after_a_heartbeat_is_death_and_silence_before_it_is_not() {
    let mut engine = unit("engine", &[]);
    engine.heartbeat = Some(Duration::from_secs(5));
    let mut supervisor = supervisor(vec![engine]);
    started(&mut supervisor, "engine", 1, at(0));
    commands(&mut supervisor);
    supervisor.handle(Event::Tick, at(60_000));
    assert_eq!(commands(&mut supervisor), [""; 0]);
    supervisor.handle(Event::Beat { unit: "engine".to_owned() }, at(61_000));
    supervisor.handle(Event::Tick, at(65_999));
    assert_eq!(commands(&mut supervisor), [""; 0]);
    supervisor.handle(Event::Tick, at(66_000));
    assert_eq!(commands(&mut supervisor), ["kill engine"]);
}

#[test]
fn the_box_is_healthy_only_while_its_critical_units_run() {
    let mut engine = unit("engine", &[]);
    engine.critical = true;
    let mut supervisor = supervisor(vec![engine, unit("app", &[])]);
    assert!(!supervisor.is_healthy());
    started(&mut supervisor, "engine", 1, at(0));
    assert!(supervisor.is_healthy(), "whatever happens to units that are not critical");
    supervisor.handle(Event::Exited { pid: 1, exit: Exit::Signal(9) }, at(1));
    assert!(!supervisor.is_healthy());
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Exit(usize, i32),
    Ready(usize),
    Refuse(usize),
    Wait(u64),
    Stop,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..4usize, 0..3i32).prop_map(|(unit, status)| Step::Exit(unit, status)),
        2 => (0..4usize).prop_map(Step::Ready),
        1 => (0..4usize).prop_map(Step::Refuse),
        3 => (0..40_000u64).prop_map(Step::Wait),
        1 => Just(Step::Stop),
    ];
    proptest::collection::vec(step, 0..80)
}

proptest! {
    #[test]
    fn whatever_happens_one_process_a_unit_no_start_in_a_shutdown_and_never_a_busy_loop(steps in steps()) {
        let names = ["a", "b", "c", "d"];
        let mut units = vec![unit("a", &[]), unit("b", &["a"]), unit("c", &["a", "b"]), unit("d", &[])];
        units[1].notify = true;
        units[2].stop = StopPhase::First;
        units[3].restart = Restart::OnFailure;
        let mut supervisor = supervisor(units);
        let mut running: BTreeMap<String, u32> = BTreeMap::new();
        let (mut next_pid, mut now, mut refuse, mut halts) = (2, at(0), None, 0);
        for step in std::iter::once(Step::Wait(0)).chain(steps) {
            match step {
                Step::Exit(unit, status) => if let Some(pid) = running.remove(names[unit]) {
                    supervisor.handle(Event::Exited { pid, exit: Exit::Status(status) }, now);
                }
                Step::Ready(unit) => supervisor.handle(Event::Ready { unit: names[unit].to_owned() }, now),
                Step::Refuse(unit) => refuse = Some(names[unit]),
                Step::Wait(millis) => {
                    now = now + Duration::from_millis(millis);
                    supervisor.handle(Event::Tick, now);
                }
                Step::Stop => supervisor.handle(Event::StopRequested, now),
            }
            while let Some(command) = supervisor.poll_command() {
                match command {
                    Command::Start { unit } => {
                        prop_assert!(!running.contains_key(&unit), "two processes of {}", unit);
                        prop_assert!(!supervisor.is_stopping(), "{} started in a shutdown", unit);
                        if refuse.take() == Some(unit.as_str()) {
                            supervisor.handle(Event::NotStarted { unit, why: "no such file".to_owned() }, now);
                        } else {
                            running.insert(unit.clone(), next_pid);
                            supervisor.handle(Event::Started { unit, pid: next_pid }, now);
                            next_pid += 1;
                        }
                    }
                    Command::Signal { unit, pid, .. } => prop_assert_eq!(running.get(&unit), Some(&pid)),
                    Command::Halt => halts += 1,
                    Command::KillAll { .. } | Command::Report(_) => {}
                }
            }
            if let Some(next) = supervisor.poll_timeout() {
                prop_assert!(next > now, "a deadline in the past would spin");
            }
        }
        prop_assert!(halts <= 1);
        // Left alone, the box goes to rest: everything that restarts always runs, or a shutdown has ended.
        for _ in 0..40 {
            let Some(next) = supervisor.poll_timeout() else { break };
            now = next;
            supervisor.handle(Event::Tick, now);
            while let Some(command) = supervisor.poll_command() {
                match command {
                    Command::Start { unit } => {
                        supervisor.handle(Event::Started { unit, pid: next_pid }, now);
                        next_pid += 1;
                    }
                    Command::Halt => halts += 1,
                    _ => {}
                }
            }
        }
        if supervisor.is_stopping() {
            prop_assert_eq!(halts, 1);
        } else {
            let resting = supervisor.status().iter().filter(|unit| unit.pid.is_none()).count();
            prop_assert!(resting <= 1, "only the unit that may stop for good does: {:?}", supervisor.status());
        }
    }
}
