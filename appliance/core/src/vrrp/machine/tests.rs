//! The whole transition table as data, and a property over all histories; the stories behind it are in `stories`.

mod standby;
mod stories;

use super::*;
use crate::config::types::{InstanceId, Priority, Vrid};
use crate::plan::VrrpState::{Backup, Fault, Init, Master};
use crate::vrrp::wire::{Addresses, Authentication, Coverage, Form};
use proptest::prelude::*;

const OURS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5));
const LOWER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 4));
const HIGHER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 6));
const VIP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100));
/// Master_Down_Interval of priority 100 at 1 s.
const DOWN: Duration = Duration::from_nanos(3_609_375_000);
const SKEW: Duration = Duration::from_nanos(609_375_000);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn t0() -> Moment {
    Moment::ZERO + Duration::from_secs(1000)
}

fn settings(form: Form) -> Settings {
    Settings {
        id: InstanceId { interface: "lan".parse().unwrap(), vrid: Vrid::new(7).unwrap() },
        priority: Priority::new(100).unwrap(),
        interval: ms(1000),
        addresses: Addresses::new(vec![VIP]).unwrap(),
        preempt: true,
        preempt_delay: Duration::ZERO,
        form,
    }
}

fn v3() -> Settings {
    settings(Form::V3 { checksum: Coverage::Message })
}

fn v2() -> Settings {
    settings(Form::V2 { authentication: Authentication::password("1111") })
}

/// An instance with the actions that it has asked for.
struct Bench {
    instance: Instance,
    now: Moment,
}

impl Bench {
    fn new(settings: Settings, start: Start) -> Self {
        Self { instance: Instance::new(settings, start, t0()), now: t0() }
    }

    /// In `state`, entered at t0, its actions taken.
    fn in_state(settings: Settings, state: VrrpState) -> Self {
        let start = match state {
            Master => Start::Resume { last_advert: t0() - ms(50) },
            Init | Backup | Fault => Start::Fresh,
        };
        let mut bench = Self::new(settings, start);
        match state {
            Init => {}
            Fault => drop(bench.handle(Event::Link(Link::Down))),
            Backup | Master => drop(bench.handle(UP)),
        }
        assert_eq!(bench.instance.state(), state);
        bench
    }

    fn after(&mut self, pause: Duration) -> &mut Self {
        self.now = self.now + pause;
        self
    }

    fn handle(&mut self, event: Event) -> Vec<Action> {
        self.instance.handle(event, self.now);
        std::iter::from_fn(|| self.instance.poll_action()).collect()
    }

    fn hear(&mut self, source: IpAddr, priority: u8) -> Vec<Action> {
        let advert = self.instance.settings().advert(priority);
        self.handle(Event::Advert { source, advert })
    }

    /// Lets time pass until the instance wants to be woken, and wakes it.
    fn expire(&mut self) -> Vec<Action> {
        self.now = self.instance.poll_timeout().expect("a timer runs").0;
        self.handle(Event::Timeout)
    }

    fn timer(&self) -> Option<Duration> {
        self.instance.poll_timeout().map(|(at, _)| at.since(self.now))
    }
}

const UP: Event = Event::Link(Link::Up { primary: OURS });

/// The actions in short: `send 100`, `backup → master`, `healed`.
fn brief(actions: &[Action]) -> Vec<String> {
    let word = |action: &Action| match action {
        Action::Send(advert) => format!("send {}", advert.priority),
        Action::Changed { from, to, .. } => format!("{from:?} → {to:?}").to_lowercase(),
        Action::Healed { .. } => "healed".to_owned(),
        Action::Overslept { .. } => "overslept".to_owned(),
        Action::NoHeir => "no heir".to_owned(),
        Action::Withheld { .. } => "withheld".to_owned(),
        Action::Misfit { misfit, .. } => misfit.label().to_owned(),
    };
    actions.iter().map(word).collect()
}

fn why(actions: &[Action]) -> (Why, Option<IpAddr>) {
    let changed = |action: &Action| match action {
        Action::Changed { why, silent, .. } => Some((*why, *silent)),
        _ => None,
    };
    actions.iter().find_map(changed).expect("the state changed")
}

/// What happens in a row of the table.
enum When {
    Up,
    LinkDown,
    /// Its timer, on time; in states without one a spurious timeout.
    Timer,
    /// A timeout before its time.
    Early,
    Hear(IpAddr, u8),
    HandOver,
    Release,
    Stop,
}

#[test]
fn transition_table() {
    use When::{Early, HandOver, Hear, LinkDown, Release, Stop, Timer, Up};
    let s = Duration::from_secs(1);
    // (state, event 20 ms later, state then, actions, timer then)
    type Row = (VrrpState, When, VrrpState, &'static [&'static str], Option<Duration>);
    #[rustfmt::skip]
    let table: &[Row] = &[
        // §6.4.1 Initialize
        (Init,   Up,                Backup, &["init → backup"],              Some(DOWN)),
        (Init,   LinkDown,          Fault,  &["init → fault"],               None),
        (Init,   Timer,             Init,   &[],                             None),
        (Init,   Hear(HIGHER, 200), Init,   &["not-running"],                None),
        (Init,   Hear(HIGHER, 0),   Init,   &["not-running"],                None),
        (Init,   HandOver,          Init,   &[],                             None),
        (Init,   Release,           Init,   &[],                             None),
        (Init,   Stop,              Init,   &[],                             None),
        (Fault,  Up,                Backup, &["fault → backup"],             Some(DOWN)),
        (Fault,  LinkDown,          Fault,  &[],                             None),
        (Fault,  Timer,             Fault,  &[],                             None),
        (Fault,  Hear(HIGHER, 200), Fault,  &["not-running"],                None),
        (Fault,  HandOver,          Fault,  &[],                             None),
        (Fault,  Release,           Fault,  &[],                             None),
        (Fault,  Stop,              Init,   &["fault → init"],               None),
        // §6.4.2 Backup
        (Backup, Up,                Backup, &[],                             Some(DOWN - ms(20))),
        (Backup, LinkDown,          Fault,  &["backup → fault"],             None),
        (Backup, Timer,             Master, &["send 100", "backup → master"], Some(s)),
        (Backup, Early,             Backup, &[],                             Some(DOWN - ms(20))),
        (Backup, Hear(LOWER, 0),    Backup, &[],                             Some(SKEW)),
        (Backup, Hear(LOWER, 99),   Backup, &[],                             Some(DOWN - ms(20))),
        (Backup, Hear(LOWER, 100),  Backup, &[],                             Some(DOWN)),
        (Backup, Hear(LOWER, 101),  Backup, &[],                             Some(DOWN)),
        (Backup, Hear(LOWER, 255),  Backup, &[],                             Some(DOWN)),
        (Backup, Hear(OURS, 200),   Backup, &["own-address"],                Some(DOWN - ms(20))),
        (Backup, HandOver,          Backup, &[],                             Some(DOWN - ms(20))),
        (Backup, Release,           Backup, &[],                             Some(DOWN - ms(20))),
        (Backup, Stop,              Init,   &["backup → init"],              None),
        // §6.4.3 Active
        (Master, Up,                Master, &[],                             Some(s - ms(20))),
        (Master, LinkDown,          Fault,  &["master → fault"],             None),
        (Master, Timer,             Master, &["send 100"],                   Some(s)),
        (Master, Early,             Master, &[],                             Some(s - ms(20))),
        (Master, Hear(HIGHER, 0),   Master, &["send 100", "healed"],         Some(s)),
        (Master, Hear(HIGHER, 99),  Master, &["send 100", "healed"],         Some(s)),
        (Master, Hear(LOWER, 100),  Master, &["send 100", "healed"],         Some(s)),
        (Master, Hear(HIGHER, 100), Backup, &["send 100", "master → backup"], Some(DOWN)),
        (Master, Hear(LOWER, 101),  Backup, &["send 100", "master → backup"], Some(DOWN)),
        (Master, Hear(OURS, 200),   Master, &["own-address"],                Some(s - ms(20))),
        (Master, HandOver,          Master, &["send 0"],                     Some(s)),
        (Master, Release,           Master, &[],                             Some(s - ms(20))),
        (Master, Stop,              Init,   &["send 0", "master → init"],    None),
    ];
    for settings in [v3(), v2()] {
        for (row, (state, when, then, actions, timer)) in table.iter().enumerate() {
            let mut bench = Bench::in_state(settings.clone(), *state);
            bench.after(ms(20));
            let done = match when {
                Timer if bench.instance.poll_timeout().is_some() => bench.expire(),
                Timer | Early => bench.handle(Event::Timeout),
                Up => bench.handle(UP),
                LinkDown => bench.handle(Event::Link(Link::Down)),
                Hear(source, priority) => bench.hear(*source, *priority),
                HandOver => bench.handle(Event::HandOver),
                Release => bench.handle(Event::Release),
                Stop => bench.handle(Event::Stop),
            };
            let what = format!("row {row}, {:?}", settings.version());
            assert_eq!(bench.instance.state(), *then, "{what}");
            assert_eq!(brief(&done), *actions, "{what}");
            assert_eq!(bench.timer(), *timer, "{what}");
        }
    }
}

fn any_event() -> impl Strategy<Value = Event> {
    let source = prop_oneof![Just(LOWER), Just(OURS), Just(HIGHER)];
    let advert =
        (source, any::<u8>(), 1u64..=400, any::<bool>()).prop_map(|(source, priority, cs, version_2)| {
            let mut advert = if version_2 { v2() } else { v3() }.advert(priority);
            advert.interval = ms(cs * 10);
            Event::Advert { source, advert }
        });
    prop_oneof![
        4 => advert,
        4 => Just(Event::Timeout),
        2 => Just(UP),
        1 => Just(Event::Link(Link::Down)),
        1 => Just(Event::HandOver),
        1 => prop::sample::subsequence(vec![LOWER, HIGHER], 0..=2)
            .prop_map(|answering| Event::Answering(answering.into_iter().collect())),
        1 => Just(Event::Release),
        1 => Just(Event::Stop),
    ]
}

proptest! {
    /// Whatever happens: actions tell every change of the state and chain up, only a master advertises, timers run
    /// where the RFC has them and never lie further ahead than the longest interval allows.
    #[test]
    fn no_history_breaks_the_rules(
        events in prop::collection::vec((0u64..5_000, any_event()), 1..80),
        preempt in any::<bool>(),
        version_2 in any::<bool>(),
    ) {
        let base = if version_2 { v2() } else { v3() };
        let mut bench = Bench::new(Settings { preempt, ..base }, Start::Fresh);
        for (pause, event) in events {
            let before = bench.instance.state();
            let actions = bench.after(ms(pause)).handle(event.clone());
            let mut state = before;
            for action in &actions {
                if let Action::Changed { from, to, silent, .. } = action {
                    prop_assert_eq!(*from, state);
                    prop_assert_ne!(from, to);
                    prop_assert!(silent.is_none() || *to == Master);
                    state = *to;
                }
            }
            prop_assert_eq!(state, bench.instance.state());
            if actions.iter().any(|a| matches!(a, Action::Send(_))) {
                prop_assert!(before == Master || state == Master, "{:?} sent in {:?}", event, before);
            }
            // A backup without a timer waits for a master that answers pings to stop that, too.
            let withheld = bench.instance.state == State::Withheld;
            prop_assert_eq!(bench.timer().is_some(), matches!(state, Backup | Master) && !withheld);
            prop_assert!(!withheld || bench.instance.witnessed().is_some());
            prop_assert!(bench.timer().unwrap_or_default() <= ms(4_000) * 4);
            if bench.instance.holds() {
                prop_assert_ne!(state, Master);
            }
        }
    }
}
