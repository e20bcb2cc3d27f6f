//! A box in a virtual clock: programs that crash, hang, ignore signals and come up slowly, for an hour in a moment.

use std::collections::BTreeMap;
use std::time::Duration;

use super::unit::StopPhase;
use super::{Command, Event, Exit, Supervisor, Unit};
use crate::moment::Moment;
use crate::report;

/// How a program behaves.
#[derive(Clone, Copy)]
struct Program {
    /// Ends by itself after this long.
    lives: Option<Duration>,
    /// Says that it is ready after this long.
    ready: Option<Duration>,
    /// Ends this long after TERM.
    heeds_term: Option<Duration>,
}

const GOOD: Program = Program { lives: None, ready: None, heeds_term: Some(Duration::from_millis(20)) };

struct Appliance {
    supervisor: Supervisor,
    programs: BTreeMap<String, Program>,
    running: BTreeMap<u32, String>,
    /// What programs will do, by time.
    agenda: BTreeMap<(Moment, u32), Event>,
    now: Moment,
    next_pid: u32,
    log: Vec<(Moment, String)>,
    reports: usize,
}

impl Appliance {
    fn new(units: Vec<(Unit, Program)>) -> Self {
        let mut this = Self {
            supervisor: Supervisor::new(),
            programs: units.iter().map(|(unit, program)| (unit.name.clone(), *program)).collect(),
            running: BTreeMap::new(),
            agenda: BTreeMap::new(),
            now: Moment::ZERO,
            next_pid: 2,
            log: Vec::new(),
            reports: 0,
        };
        this.tell(Event::Added(units.into_iter().map(|(unit, _)| unit).collect()));
        this
    }

    fn tell(&mut self, event: Event) {
        self.supervisor.handle(event, self.now);
        while let Some(command) = self.supervisor.poll_command() {
            self.carry_out(command);
        }
    }

    fn plan(&mut self, after: Duration, event: Event) {
        let sequence = u32::try_from(self.agenda.len()).unwrap();
        self.agenda.insert((self.now + after, sequence + self.next_pid * 100), event);
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Start { unit } => {
                let (pid, program) = (self.next_pid, self.programs[&unit]);
                self.next_pid += 1;
                self.log.push((self.now, format!("start {unit}")));
                self.running.insert(pid, unit.clone());
                if let Some(lives) = program.lives {
                    self.plan(lives, Event::Exited { pid, exit: Exit::Status(1) });
                }
                if let Some(ready) = program.ready {
                    self.plan(ready, Event::Ready { unit: unit.clone() });
                }
                self.supervisor.handle(Event::Started { unit, pid }, self.now);
            }
            Command::Signal { unit, pid, .. } => {
                self.log.push((self.now, format!("term {unit}")));
                if let Some(after) = self.programs[&unit].heeds_term {
                    self.plan(after, Event::Exited { pid, exit: Exit::Signal(15) });
                }
            }
            Command::KillAll { unit } => {
                let pids: Vec<u32> =
                    self.running.iter().filter(|(_, name)| **name == unit).map(|(pid, _)| *pid).collect();
                for pid in pids {
                    self.log.push((self.now, format!("kill {unit}")));
                    self.plan(Duration::from_millis(1), Event::Exited { pid, exit: Exit::Signal(9) });
                }
            }
            Command::Report(report::Event::Unit { .. }) => self.reports += 1,
            Command::Report(_) => {}
            Command::Halt => self.log.push((self.now, "halt".to_owned())),
        }
    }

    /// Lets time run to `until`; returns how often the supervisor was woken.
    fn run(&mut self, until: Moment) -> usize {
        let mut wakes = 0;
        loop {
            let timeout = self.supervisor.poll_timeout();
            let planned = self.agenda.keys().next().copied();
            let next = timeout.into_iter().chain(planned.map(|(moment, _)| moment)).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            assert!(next >= self.now, "time goes on");
            self.now = next;
            wakes += 1;
            assert!(wakes < 100_000, "the supervisor spins at {next}");
            match planned.filter(|(moment, _)| *moment == next) {
                Some(key) => {
                    let event = self.agenda.remove(&key).unwrap();
                    if let Event::Exited { pid, .. } = event
                        && self.running.remove(&pid).is_none()
                    {
                        continue; // was killed before
                    }
                    self.tell(event);
                }
                None => self.tell(Event::Tick),
            }
        }
        self.now = until;
        wakes
    }

    fn starts(&self, unit: &str) -> Vec<u128> {
        let wanted = format!("start {unit}");
        self.log
            .iter()
            .filter(|(_, what)| *what == wanted)
            .map(|(at, _)| at.since_boot().as_millis())
            .collect()
    }
}

fn unit(name: &str, after: &[&str]) -> Unit {
    let mut unit = Unit::new(name, vec![format!("/bin/{name}")]);
    unit.after = after.iter().map(|name| (*name).to_owned()).collect();
    unit
}

fn at(seconds: u64) -> Moment {
    Moment::ZERO + Duration::from_secs(seconds)
}

#[test]
fn a_program_that_crashes_for_ever_is_tried_for_ever_at_a_bounded_rate() {
    let crashing = Program { lives: Some(Duration::ZERO), ..GOOD };
    let mut this = Appliance::new(vec![(unit("bad", &[]), crashing), (unit("good", &[]), GOOD)]);
    let wakes = this.run(at(3600));
    let starts = this.starts("bad");
    assert_eq!(starts[..5], [0, 0, 100, 300, 700]);
    assert_eq!(starts[starts.len() - 1] - starts[starts.len() - 2], 30_000);
    assert!((125..140).contains(&starts.len()), "{} starts", starts.len());
    assert!(wakes < 1000, "{wakes} wakes in an hour");
    assert!(this.reports < 500, "{} reports in an hour", this.reports);
    assert_eq!(this.starts("good"), [0]);
}

#[test]
fn a_program_that_crashes_once_an_hour_is_back_at_once_each_time() {
    let hourly = Program { lives: Some(Duration::from_secs(3600)), ..GOOD };
    let mut this = Appliance::new(vec![(unit("app", &[]), hourly)]);
    this.run(at(4 * 3600));
    assert_eq!(this.starts("app"), [0, 3_600_000, 7_200_000, 10_800_000, 14_400_000]);
}

#[test]
fn a_box_full_of_stubborn_programs_is_down_within_the_limit() {
    let stubborn = Program { heeds_term: None, ..GOOD };
    let mut engine = unit("engine", &["logd"]);
    engine.stop = StopPhase::First;
    let mut logd = unit("logd", &[]);
    logd.stop = StopPhase::Last;
    let mut this = Appliance::new(vec![
        (logd, stubborn),
        (engine, stubborn),
        (unit("database", &["engine"]), stubborn),
        (unit("gateway", &["database"]), stubborn),
        (unit("extra", &["gateway"]), stubborn),
    ]);
    this.run(at(10));
    this.log.clear();
    this.tell(Event::StopRequested);
    this.run(at(60));
    let story: Vec<String> =
        this.log.iter().map(|(at, what)| format!("{:>6.3} {what}", at.since_boot().as_secs_f64())).collect();
    assert_eq!(
        story,
        [
            "10.000 term engine",
            "15.000 kill engine",
            "15.001 term extra",
            "25.001 kill extra",
            "25.002 term gateway",
            "35.002 kill gateway",
            "35.003 term database",
            "40.000 kill database",
            "40.000 kill logd",
            "40.001 halt",
        ]
    );
}

#[test]
fn slow_readiness_delays_those_after_it_and_nobody_else() {
    let slow = Program { ready: Some(Duration::from_secs(3)), ..GOOD };
    let mut database = unit("database", &[]);
    database.notify = true;
    let mut this = Appliance::new(vec![
        (database, slow),
        (unit("gateway", &["database"]), GOOD),
        (unit("other", &[]), GOOD),
    ]);
    this.run(at(10));
    assert_eq!(this.starts("gateway"), [3000]);
    assert_eq!(this.starts("other"), [0]);
}
