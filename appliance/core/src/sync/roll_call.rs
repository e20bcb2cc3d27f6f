//! The roll call between fellow directors: who asks for connections, who tells them, and how long a box that is about to
//! take an address waits for the answers; and the farewell of one that goes. Pure; the datagrams' way is the engine's
//! business.
//!
//! A box asks when it starts, when it becomes master and when another master yields to it: each time its table may lack
//! connections that live elsewhere. It waits only at the start, and never longer than [`PATIENCE`]: an answer that does
//! not come must not keep an address down.
//!
//! A box that stops in order says farewell, and its fellows check its servers at once. VRRP cannot say that: priority 0 is
//! a master's (RFC 9568 §6.4.3), and a backup that goes is missed by nobody until its checks have failed often enough.
//!
//! The words carry no secret and prove nothing. Whoever forges a question makes a fellow say at most ten times a second
//! what it says on the same segment anyway; whoever forges an answer shortens a wait; whoever forges a farewell has a
//! fellow's servers checked once in five seconds, and takes none out that passes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::moment::Moment;

/// UDP port on which members speak to each other.
pub const PORT: u16 = 9781;
/// Longest time that a starting box waits for its fellows' connections.
pub const PATIENCE: Duration = Duration::from_millis(400);
/// A question without an answer is repeated after this.
const REPEAT: Duration = Duration::from_millis(60);
/// Shortest time between two times of telling.
const PAUSE: Duration = Duration::from_millis(100);
/// How often a farewell is said, [`REPEAT`] apart: nobody answers it.
const FAREWELLS: u8 = 3;
/// Shortest time between two farewells of one fellow that count: longer than the check that the first one brings about,
/// which the second would break off.
const DOUBT: Duration = Duration::from_secs(5);

/// One datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Tell me your connections; the number returns in the answer.
    Ask(u64),
    /// All of them have been sent.
    Told(u64),
    /// I stop, and what I serve stops with me.
    Farewell,
}

const MAGIC: [u8; 4] = *b"HLCN";
const VERSION: u8 = 1;

impl Word {
    /// Length of the datagram in bytes.
    pub const LENGTH: usize = 16;

    /// `"HLCN"`, version, kind, two zero bytes, the number big-endian.
    pub fn write(self) -> [u8; Self::LENGTH] {
        let (kind, number) = match self {
            Self::Ask(number) => (1, number),
            Self::Told(number) => (2, number),
            Self::Farewell => (3, 0),
        };
        let mut bytes = [0; Self::LENGTH];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4] = VERSION;
        bytes[5] = kind;
        bytes[8..].copy_from_slice(&number.to_be_bytes());
        bytes
    }

    /// `None` for anything else.
    pub fn parse(datagram: &[u8]) -> Option<Self> {
        let bytes: [u8; Self::LENGTH] = datagram.try_into().ok()?;
        let [m0, m1, m2, m3, VERSION, kind, 0, 0, number @ ..] = bytes else { return None };
        let number = u64::from_be_bytes(number);
        match (kind, [m0, m1, m2, m3] == MAGIC) {
            (1, true) => Some(Self::Ask(number)),
            (2, true) => Some(Self::Told(number)),
            (3, true) if number == 0 => Some(Self::Farewell),
            _ => None,
        }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send a word to a fellow.
    Say(IpAddr, Word),
    /// Multicast this box's connections, and only then send `Told` to these fellows.
    Tell(Vec<(IpAddr, Word)>),
    /// This fellow says that it stops: check what it serves.
    Doubt(IpAddr),
}

/// The roll call as one box sees it.
#[derive(Clone, Debug)]
pub struct RollCall {
    fellows: BTreeSet<IpAddr>,
    number: u64,
    awaited: BTreeSet<IpAddr>,
    repeat_at: Moment,
    until: Moment,
    asked: BTreeMap<IpAddr, u64>,
    told_at: Option<Moment>,
    /// Farewells still to be said.
    farewells: u8,
    farewell_at: Moment,
    /// When a fellow's farewell last counted.
    doubted: BTreeMap<IpAddr, Moment>,
    actions: Vec<Action>,
}

impl RollCall {
    /// `seed` makes the questions of two runs of one box differ.
    pub fn new(seed: u64) -> Self {
        Self {
            fellows: BTreeSet::new(),
            number: seed,
            awaited: BTreeSet::new(),
            repeat_at: Moment::ZERO,
            until: Moment::ZERO,
            asked: BTreeMap::new(),
            told_at: None,
            farewells: 0,
            farewell_at: Moment::ZERO,
            doubted: BTreeMap::new(),
            actions: Vec::new(),
        }
    }

    /// The other directors' addresses on the synchronisation link, one each.
    pub fn configure(&mut self, fellows: BTreeSet<IpAddr>) {
        self.awaited.retain(|fellow| fellows.contains(fellow));
        self.asked.retain(|fellow, _| fellows.contains(fellow));
        self.doubted.retain(|fellow, _| fellows.contains(fellow));
        self.fellows = fellows;
    }

    /// Asks every fellow.
    pub fn ask(&mut self, now: Moment) {
        self.number = self.number.wrapping_add(1);
        self.awaited = self.fellows.clone();
        self.until = now + PATIENCE;
        self.repeat(now);
    }

    /// Says farewell to every fellow. This box's answers to their checks must have changed before.
    pub fn leave(&mut self, now: Moment) {
        self.farewells = FAREWELLS;
        self.farewell_at = now;
        self.handle_timeout(now);
    }

    /// Every fellow has told, or has had its time.
    pub fn complete(&self, now: Moment) -> bool {
        self.awaited.is_empty() || now >= self.until
    }

    /// A datagram arrived from `from`; strangers and gibberish mean nothing.
    pub fn hear(&mut self, from: IpAddr, datagram: &[u8], now: Moment) {
        if !self.fellows.contains(&from) {
            return;
        }
        match Word::parse(datagram) {
            Some(Word::Ask(number)) => {
                self.asked.insert(from, number);
                self.handle_timeout(now);
            }
            Some(Word::Told(number)) if number == self.number => {
                self.awaited.remove(&from);
            }
            Some(Word::Farewell) if self.doubted.get(&from).is_none_or(|last| now.since(*last) >= DOUBT) => {
                self.doubted.insert(from, now);
                self.actions.push(Action::Doubt(from));
            }
            Some(Word::Told(_) | Word::Farewell) | None => {}
        }
    }

    /// Time passed.
    pub fn handle_timeout(&mut self, now: Moment) {
        if !self.complete(now) && now >= self.repeat_at {
            self.repeat(now);
        }
        if self.farewells > 0 && now >= self.farewell_at {
            self.farewells -= 1;
            self.farewell_at = now + REPEAT;
            self.actions.extend(self.fellows.iter().map(|fellow| Action::Say(*fellow, Word::Farewell)));
        }
        if !self.asked.is_empty() && self.tell_at() <= now {
            self.told_at = Some(now);
            let asked = std::mem::take(&mut self.asked);
            self.actions.push(Action::Tell(asked.into_iter().map(|(to, n)| (to, Word::Told(n))).collect()));
        }
    }

    /// When [`RollCall::handle_timeout`] is wanted.
    pub fn poll_timeout(&self, now: Moment) -> Option<Moment> {
        let repeat = (!self.complete(now)).then_some(self.repeat_at.min(self.until));
        let tell = (!self.asked.is_empty()).then(|| self.tell_at());
        let farewell = (self.farewells > 0).then_some(self.farewell_at);
        [repeat, tell, farewell].into_iter().flatten().min()
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        (!self.actions.is_empty()).then(|| self.actions.remove(0))
    }

    fn repeat(&mut self, now: Moment) {
        self.repeat_at = now + REPEAT;
        let word = Word::Ask(self.number);
        self.actions.extend(self.awaited.iter().map(|fellow| Action::Say(*fellow, word)));
    }

    fn tell_at(&self) -> Moment {
        self.told_at.map_or(Moment::ZERO, |told| told + PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));
    const C: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 3));

    fn at(millis: u64) -> Moment {
        Moment::from_boot(Duration::from_millis(millis))
    }

    fn calling(fellows: &[IpAddr]) -> RollCall {
        let mut call = RollCall::new(7);
        call.configure(fellows.iter().copied().collect());
        call
    }

    fn actions(call: &mut RollCall) -> Vec<Action> {
        std::iter::from_fn(|| call.poll_action()).collect()
    }

    #[test]
    fn a_call_is_complete_when_everyone_has_told_and_a_lost_question_is_repeated() {
        let mut call = calling(&[B, C]);
        assert!(call.complete(at(0)), "nothing was asked");
        call.ask(at(0));
        assert_eq!(actions(&mut call), [Action::Say(B, Word::Ask(8)), Action::Say(C, Word::Ask(8))]);
        call.hear(B, &Word::Told(8).write(), at(10));
        assert!(!call.complete(at(10)));
        let again = call.poll_timeout(at(10)).expect("a question is open");
        call.handle_timeout(again);
        assert_eq!(actions(&mut call), [Action::Say(C, Word::Ask(8))]);
        call.hear(C, &Word::Told(8).write(), at(70));
        assert!(call.complete(at(70)));
        assert_eq!(call.poll_timeout(at(70)), None);
    }

    #[test]
    fn a_dead_fellow_is_waited_for_no_longer_than_patience_lasts() {
        let mut call = calling(&[B]);
        call.ask(at(1000));
        let mut now = at(1000);
        while let Some(next) = call.poll_timeout(now) {
            assert!(!call.complete(now));
            now = next;
            call.handle_timeout(now);
        }
        assert_eq!(now, at(1000) + PATIENCE);
        assert!(call.complete(now));
    }

    #[test]
    fn an_answer_to_an_earlier_question_or_from_a_stranger_completes_nothing() {
        let mut call = calling(&[B]);
        call.ask(at(0));
        call.hear(B, &Word::Told(7).write(), at(1));
        call.hear(A, &Word::Told(8).write(), at(1));
        call.hear(B, b"HLCN", at(1));
        assert!(!call.complete(at(1)));
    }

    #[test]
    fn many_questions_are_answered_together_and_ten_times_a_second_at_most() {
        let mut call = calling(&[B, C]);
        call.hear(B, &Word::Ask(1).write(), at(0));
        assert_eq!(actions(&mut call), [Action::Tell(vec![(B, Word::Told(1))])]);
        for millis in 1..100 {
            call.hear(B, &Word::Ask(millis).write(), at(millis));
            call.hear(C, &Word::Ask(5).write(), at(millis));
        }
        assert_eq!(actions(&mut call), []);
        assert_eq!(call.poll_timeout(at(99)), Some(at(100)));
        call.handle_timeout(at(100));
        assert_eq!(actions(&mut call), [Action::Tell(vec![(B, Word::Told(99)), (C, Word::Told(5))])]);
    }

    #[test]
    fn a_farewell_is_said_three_times_to_every_fellow_and_then_no_more() {
        let mut call = calling(&[B, C]);
        call.leave(at(1000));
        let mut said = vec![(at(1000), actions(&mut call))];
        let mut now = at(1000);
        while let Some(next) = call.poll_timeout(now) {
            now = next;
            call.handle_timeout(now);
            said.push((now, actions(&mut call)));
        }
        let both = vec![Action::Say(B, Word::Farewell), Action::Say(C, Word::Farewell)];
        assert_eq!(said, [(at(1000), both.clone()), (at(1060), both.clone()), (at(1120), both)]);
    }

    #[test]
    fn a_fellows_farewell_counts_once_in_five_seconds_and_a_strangers_never() {
        let mut call = calling(&[B, C]);
        let mut doubts = Vec::new();
        for millis in (0..12_000).step_by(10) {
            for from in [A, B] {
                call.hear(from, &Word::Farewell.write(), at(millis));
            }
            doubts.extend(actions(&mut call).into_iter().map(|action| (millis, action)));
        }
        let of_b = |millis| (millis, Action::Doubt(B));
        assert_eq!(doubts, [of_b(0), of_b(5_000), of_b(10_000)]);
        call.hear(C, &Word::Farewell.write(), at(12_000));
        assert_eq!(actions(&mut call), [Action::Doubt(C)], "each has its own time");
    }

    proptest! {
        #[test]
        fn a_word_is_read_back_and_any_other_datagram_is_none(number: u64, bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            for word in [Word::Ask(number), Word::Told(number), Word::Farewell] {
                prop_assert_eq!(Word::parse(&word.write()), Some(word));
            }
            if let Some(word) = Word::parse(&bytes) {
                prop_assert_eq!(word.write().to_vec(), bytes);
            }
        }
    }
}
