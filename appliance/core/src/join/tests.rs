//! The two boxes talking to each other, with everything that can go wrong between them.

use std::time::Duration;

use super::code::{Code, FAILURES};
use super::first::{self, End, First, Note};
use super::second::{self, Failure, Second};
use super::wire::{Frame, Given, LENGTH, Offer};
use super::{GREETING, OPEN, TRIAL};
use crate::moment::Moment;

const NOW: Moment = Moment::ZERO;

fn code(n: u8) -> Code {
    Code::of(&[n; 72])
}

fn given() -> Given {
    Given { member: "pollux".parse().unwrap(), document: b"schema = 1\n".to_vec(), signature: Vec::new() }
}

/// What the engines do: they carry everything out at once.
struct Pair {
    first: First,
    second: Second,
    answer: Result<Given, String>,
    taken: Result<(), String>,
    serves: bool,
    /// What the first one told, what became of both, and how often a trial was undone at either.
    notes: Vec<Note>,
    end: Option<End>,
    joined: Option<Result<String, Failure>>,
    confirmed: (bool, bool),
    undone: (u32, u32),
    peer: u64,
}

impl Pair {
    fn new(first: u8, second: u8) -> Self {
        Self {
            first: First::new(code(first), NOW),
            second: Second::begin(&code(second), Offer::default(), [2; 32], NOW),
            answer: Ok(given()),
            taken: Ok(()),
            serves: true,
            notes: Vec::new(),
            end: None,
            joined: None,
            confirmed: (false, false),
            undone: (0, 0),
            peer: 0,
        }
    }

    fn connect(&mut self) {
        self.peer += 1;
        self.first.handle(first::Event::Connected(self.peer, [1; 32]), NOW);
        self.run();
    }

    /// Another attempt with another code at the same first box.
    fn again(&mut self, second: u8) {
        self.second = Second::begin(&code(second), Offer::default(), [2; 32], NOW);
        self.joined = None;
        self.connect();
    }

    fn run(&mut self) {
        while self.step() {}
    }

    fn step(&mut self) -> bool {
        if let Some(action) = self.second.poll_action() {
            match action {
                second::Action::Send(bytes) => {
                    let frame = bytes[LENGTH..].to_vec();
                    self.first.handle(first::Event::Heard(self.peer, frame), NOW);
                }
                second::Action::Take(taken) => {
                    assert_eq!(taken, given());
                    self.second.handle(second::Event::Taken(self.taken.clone()), NOW);
                    if self.serves {
                        self.second.handle(second::Event::Serves, NOW);
                    }
                }
                second::Action::Confirm => {
                    self.confirmed.1 = true;
                    self.second.handle(second::Event::Confirmed(Ok(())), NOW);
                }
                second::Action::Undo => self.undone.1 += 1,
                second::Action::End(result) => self.joined = Some(result.map(|member| member.to_string())),
            }
            return true;
        }
        let Some(action) = self.first.poll_action() else { return false };
        match action {
            first::Action::Send(_, bytes) => {
                let length = Frame::length(bytes[..LENGTH].try_into().unwrap(), self.second.longest());
                assert_eq!(length, Ok(bytes.len() - LENGTH));
                self.second.handle(second::Event::Heard(bytes[LENGTH..].to_vec()), NOW);
            }
            first::Action::HangUp(_) => self.second.handle(second::Event::Gone, NOW),
            first::Action::Consider(_) => {
                self.first.handle(first::Event::Answered(self.answer.clone()), NOW);
            }
            first::Action::Confirm => {
                self.confirmed.0 = true;
                self.first.handle(first::Event::Confirmed(Ok(())), NOW);
            }
            first::Action::Undo => self.undone.0 += 1,
            first::Action::Tell(note) => self.notes.push(note),
            first::Action::Close(end) => self.end = Some(end),
        }
        true
    }
}

#[test]
fn with_the_code_both_keep_the_document() {
    let mut pair = Pair::new(1, 1);
    pair.connect();
    assert_eq!(pair.joined, Some(Ok("pollux".into())));
    assert_eq!(pair.end, Some(End::Joined("pollux".parse().unwrap())));
    assert_eq!((pair.confirmed, pair.undone), ((true, true), (0, 0)));
}

#[test]
fn a_wrong_code_is_refused_and_the_right_one_still_counts_until_it_is_worn_out() {
    let mut pair = Pair::new(1, 2);
    pair.connect();
    let refused =
        |pair: &Pair| matches!(&pair.joined, Some(Err(Failure::Refused(why))) if why.contains("code"));
    assert!(refused(&pair), "{:?}", pair.joined);
    assert_eq!(pair.notes, [Note::Wrong(1, FAILURES - 1)]);
    assert_eq!(pair.end, None);
    pair.again(1);
    assert_eq!(pair.joined, Some(Ok("pollux".into())));

    let mut pair = Pair::new(1, 2);
    pair.connect();
    for _ in 1..FAILURES {
        assert_eq!(pair.end, None);
        pair.again(3);
    }
    assert_eq!(pair.end, Some(End::Worn));
    pair.again(1);
    assert_eq!(pair.joined, None, "a dead code answers nobody");
    assert_eq!(pair.undone, (0, 0));
}

/// A first box that does not know the code gets an offer that it cannot open, and its own words open nowhere.
#[test]
fn a_stranger_in_the_first_boxs_place_is_not_believed() {
    let mut second = Second::begin(&code(1), Offer::default(), [2; 32], NOW);
    let Some(second::Action::Send(hello)) = second.poll_action() else { panic!() };
    let mut stranger = First::new(code(9), NOW);
    stranger.handle(first::Event::Connected(1, [1; 32]), NOW);
    stranger.handle(first::Event::Heard(1, hello[LENGTH..].to_vec()), NOW);
    let Some(first::Action::Send(_, hello)) = stranger.poll_action() else { panic!() };
    second.handle(second::Event::Heard(hello[LENGTH..].to_vec()), NOW);
    assert!(matches!(second.poll_action(), Some(second::Action::Send(_))));
    let forged = Frame::Sealed(vec![7; 100]).write();
    second.handle(second::Event::Heard(forged[LENGTH..].to_vec()), NOW);
    assert_eq!(second.poll_action(), Some(second::Action::End(Err(Failure::Stranger))));
}

#[test]
fn what_cannot_join_is_told_why_and_the_code_stays_good() {
    let mut pair = Pair::new(1, 1);
    pair.answer = Err("no address".into());
    pair.connect();
    assert_eq!(pair.joined, Some(Err(Failure::Not("no address".into()))));
    assert_eq!(pair.end, None);
    pair.answer = Ok(given());
    pair.again(1);
    assert_eq!(pair.joined, Some(Ok("pollux".into())));
}

#[test]
fn a_document_that_the_second_box_refuses_is_undone_at_the_first() {
    let mut pair = Pair::new(1, 1);
    pair.taken = Err("no such port".into());
    pair.connect();
    assert_eq!(pair.joined, Some(Err(Failure::Here("no such port".into()))));
    assert!(matches!(&pair.end, Some(End::Failed(why)) if why.contains("no such port")), "{:?}", pair.end);
    assert_eq!((pair.confirmed, pair.undone), ((false, false), (1, 1)));
}

#[test]
fn a_second_box_that_never_serves_leaves_both_as_they_were() {
    let mut pair = Pair::new(1, 1);
    pair.serves = false;
    pair.connect();
    assert_eq!((pair.end.clone(), pair.joined.clone()), (None, None));
    let late = pair.first.poll_timeout().unwrap();
    assert_eq!(late, NOW + TRIAL);
    pair.first.handle(first::Event::Timeout, late);
    pair.run();
    assert!(matches!(&pair.end, Some(End::Failed(_))));
    assert!(matches!(&pair.joined, Some(Err(_))));
    assert_eq!((pair.confirmed, pair.undone), ((false, false), (1, 1)));
}

/// Cut after each step in turn: never is one box with the document for good and the other one, told nothing, on trial for
/// ever; and a trial that is not confirmed is undone.
#[test]
fn wherever_the_connection_ends_what_is_not_confirmed_is_undone() {
    let mut ended = 0;
    for cut in 0..40 {
        let mut pair = Pair::new(1, 1);
        pair.first.handle(first::Event::Connected(0, [1; 32]), NOW);
        let went_on = (0..cut).all(|_| pair.step());
        pair.first.handle(first::Event::Gone(0), NOW);
        pair.second.handle(second::Event::Gone, NOW);
        // Nothing of what either says now reaches the other.
        let mut given = false;
        while let Some(action) = pair.first.poll_action() {
            match action {
                first::Action::Undo => pair.undone.0 += 1,
                first::Action::Confirm => pair.confirmed.0 = true,
                first::Action::Tell(Note::Given(_)) => given = true,
                first::Action::Close(end) => pair.end = Some(end),
                _ => {}
            }
        }
        given |= pair.notes.iter().any(|note| matches!(note, Note::Given(_)));
        while let Some(action) = pair.second.poll_action() {
            match action {
                second::Action::Undo => pair.undone.1 += 1,
                second::Action::End(result) => pair.joined = Some(result.map(|member| member.to_string())),
                _ => {}
            }
        }
        assert!(pair.joined.is_some(), "cut {cut}: the second box waits for nobody");
        if given && !pair.confirmed.0 {
            assert_eq!(pair.undone.0, 1, "cut {cut}");
        }
        if pair.confirmed.1 {
            assert!(pair.confirmed.0, "cut {cut}: the first box confirms first");
        }
        ended += u32::from(!went_on);
    }
    assert!(ended > 10, "40 steps reach behind the end");
}

#[test]
fn a_code_dies_with_its_time_and_with_the_console_that_shows_it() {
    for (event, at, expected) in [
        (first::Event::Timeout, NOW + OPEN, End::Late),
        (first::Event::Hidden, NOW + Duration::from_secs(1), End::Hidden),
    ] {
        let mut pair = Pair::new(1, 1);
        assert_eq!(pair.first.poll_timeout(), Some(NOW + OPEN));
        pair.first.handle(event, at);
        pair.connect();
        assert_eq!(pair.end, Some(expected));
        assert_eq!(pair.joined, None);
        assert!(!pair.first.is_free());
    }
}

#[test]
fn who_connects_and_says_nothing_is_in_nobodys_way_for_long() {
    let mut pair = Pair::new(1, 1);
    for peer in 100..140 {
        pair.first.handle(first::Event::Connected(peer, [1; 32]), NOW);
    }
    let hung_up = |pair: &mut Pair| {
        let actions = std::iter::from_fn(|| pair.first.poll_action());
        actions.filter(|action| matches!(action, first::Action::HangUp(_))).count()
    };
    assert_eq!(hung_up(&mut pair), 32, "at most eight at once");
    pair.first.handle(first::Event::Timeout, NOW + GREETING);
    assert_eq!(hung_up(&mut pair), 8);
    pair.connect();
    assert_eq!(pair.joined, Some(Ok("pollux".into())));
}

#[test]
fn only_one_box_joins_at_a_time() {
    let mut pair = Pair::new(1, 1);
    pair.serves = false;
    pair.connect();
    assert!(!pair.first.is_free());
    pair.first.handle(first::Event::Connected(77, [1; 32]), NOW);
    let Some(first::Action::Send(77, bytes)) = pair.first.poll_action() else { panic!() };
    assert!(matches!(Frame::read(&bytes[LENGTH..]), Ok(Frame::Refused(why)) if why.contains("another box")));
}

#[test]
fn nothing_that_is_logged_holds_a_secret() {
    let mut pair = Pair::new(1, 1);
    pair.first.handle(first::Event::Connected(1, [1; 32]), NOW);
    let told = format!("{:?} {:?}", pair.first, pair.second);
    assert!(!told.contains(&code(1).shown()), "{told}");
    assert!(!told.contains("seed") && !told.contains("scalar"), "{told}");
}
