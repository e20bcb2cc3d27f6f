//! The box that has the document and shows a code. Decides who may go on, how often a code may be guessed at, and when
//! both boxes keep the document; what the document becomes is the engine's to answer ([`super::amend`]).
//!
//! One box at a time gets as far as an answer. What was given on trial is undone unless the other box serves with it in
//! time; what was confirmed here stays, whether or not the other box could say that it keeps it.

mod words;

use std::collections::{BTreeMap, VecDeque};

use super::code::{Code, FAILURES};
use super::pake::{Channel, Greeting, Role};
use super::wire::{Frame, Given, Offer, Said};
use super::{GREETING, OPEN, TRIAL};
use crate::config::types::MemberName;
use crate::moment::Moment;

pub use words::{End, Note};

/// Most peers at once.
const PEERS: usize = 8;

/// A connection's number.
pub type Peer = u64;

/// A box that shows a code.
#[derive(Debug)]
pub struct First {
    code: Code,
    until: Moment,
    failures: u32,
    peers: BTreeMap<Peer, Session>,
    /// Who is being given a document.
    guest: Option<Guest>,
    over: bool,
    actions: VecDeque<Action>,
}

/// A peer that has proved nothing.
#[derive(Debug)]
struct Session {
    deadline: Moment,
    state: State,
}

#[derive(Debug)]
enum State {
    /// This is to be said when it has greeted.
    Silent(Greeting, Vec<u8>),
    /// An offer is to come.
    Greeted(Channel),
}

/// A peer that knows the code.
#[derive(Debug)]
struct Guest {
    peer: Peer,
    channel: Channel,
    stage: Stage,
    deadline: Moment,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// The engine is asked what it gets.
    Considered,
    /// It has the document.
    Given(MemberName),
    /// It serves, and the document is being confirmed here.
    Serving(MemberName),
    /// It was told to keep it.
    Keeping(MemberName),
}

/// What can happen.
#[derive(Debug)]
pub enum Event {
    /// A box has connected. The seed must come from the kernel's generator.
    Connected(Peer, [u8; 32]),
    /// A frame came, without its length.
    Heard(Peer, Vec<u8>),
    /// A connection ended.
    Gone(Peer),
    /// What the offering box gets; it is in force here by then, on trial where it had to be changed.
    Answered(Result<Given, String>),
    /// The document stays here, or could not be confirmed.
    Confirmed(Result<(), String>),
    /// No console shows the code any more.
    Hidden,
    /// Time passed.
    Timeout,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send these bytes.
    Send(Peer, Vec<u8>),
    /// End the connection once everything is sent.
    HangUp(Peer),
    /// Find out what this box gets, and answer by [`Event::Answered`].
    Consider(Offer),
    /// Confirm the document, and answer by [`Event::Confirmed`].
    Confirm,
    /// Undo what was taken for the other box.
    Undo,
    /// For the log and the consoles.
    Tell(Note),
    /// The code is dead: close the port.
    Close(End),
}

impl First {
    /// Shows `code` from now on.
    pub fn new(code: Code, now: Moment) -> Self {
        Self {
            code,
            until: now + OPEN,
            failures: 0,
            peers: BTreeMap::new(),
            guest: None,
            over: false,
            actions: VecDeque::new(),
        }
    }

    /// Whether a query is answered: not while a box is joining.
    pub fn is_free(&self) -> bool {
        !self.over && self.guest.is_none()
    }

    /// Takes an event in. Total: what does not fit ends the connection that it came by.
    pub fn handle(&mut self, event: Event, now: Moment) {
        if self.over {
            return;
        }
        match event {
            Event::Connected(peer, seed) => self.connected(peer, seed, now),
            Event::Heard(peer, frame) => self.heard(peer, &frame, now),
            Event::Gone(peer) => self.gone(peer),
            Event::Answered(answer) => self.answered(answer, now),
            Event::Confirmed(done) => self.confirmed(done),
            Event::Hidden if self.guest.is_none() => self.close(End::Hidden),
            Event::Hidden | Event::Timeout => {}
        }
        self.expire(now);
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Event::Timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Moment> {
        let own = match &self.guest {
            _ if self.over => return None,
            Some(guest) => guest.deadline,
            None => self.until,
        };
        self.peers.values().map(|session| session.deadline).chain([own]).min()
    }

    fn connected(&mut self, peer: Peer, seed: [u8; 32], now: Moment) {
        if self.guest.is_some() || self.peers.len() >= PEERS {
            self.refuse(peer, "another box is joining; try again when it is done");
        } else {
            let (greeting, ours) = Greeting::begin(Role::First, &self.code, seed);
            self.peers
                .insert(peer, Session { deadline: now + GREETING, state: State::Silent(greeting, ours) });
        }
    }

    fn heard(&mut self, peer: Peer, frame: &[u8], now: Moment) {
        if self.guest.as_ref().is_some_and(|guest| guest.peer == peer) {
            return self.guest_says(frame, now);
        }
        let Some(Session { deadline, state }) = self.peers.remove(&peer) else { return };
        match (Frame::read(frame), state) {
            (Ok(Frame::Hello(theirs)), State::Silent(greeting, ours)) => match greeting.finish(&theirs) {
                Ok(channel) => {
                    self.send(peer, &Frame::Hello(ours));
                    self.peers.insert(peer, Session { deadline, state: State::Greeted(channel) });
                }
                Err(_) => self.refuse(peer, "the greeting makes no sense"),
            },
            (Ok(Frame::Sealed(sealed)), State::Greeted(mut channel)) => match channel.open(&sealed) {
                Ok(plain) => self.offered(peer, channel, &plain, now),
                Err(_) => self.wrong(peer),
            },
            (Err(why), _) => self.refuse(peer, &why.to_string()),
            (Ok(_), _) => self.refuse(peer, "that was not to be said now"),
        }
    }

    fn wrong(&mut self, peer: Peer) {
        self.failures += 1;
        self.tell(Note::Wrong(peer, FAILURES - self.failures));
        self.refuse(peer, "the code is not the one that this box shows");
        if self.failures >= FAILURES {
            self.close(End::Worn);
        }
    }

    fn offered(&mut self, peer: Peer, mut channel: Channel, plain: &[u8], now: Moment) {
        if self.guest.is_some() {
            return self.refuse(peer, "another box is joining; try again when it is done");
        }
        match Said::read(plain) {
            Ok(Said::Offer(offer)) => {
                self.tell(Note::Known(peer));
                self.actions.push_back(Action::Consider(offer));
                let deadline = now + TRIAL;
                self.guest = Some(Guest { peer, channel, stage: Stage::Considered, deadline });
            }
            _ => {
                let sealed = channel.seal(&Said::Not("the offer makes no sense".into()).write());
                self.send(peer, &Frame::Sealed(sealed));
                self.actions.push_back(Action::HangUp(peer));
            }
        }
    }

    fn guest_says(&mut self, frame: &[u8], now: Moment) {
        let Some(guest) = &mut self.guest else { return };
        let said = match Frame::read(frame) {
            Ok(Frame::Sealed(sealed)) => {
                guest.channel.open(&sealed).ok().and_then(|plain| Said::read(&plain).ok())
            }
            _ => None,
        };
        match (said, guest.stage.clone()) {
            (Some(Said::Serving), Stage::Given(member)) => {
                guest.stage = Stage::Serving(member);
                guest.deadline = now + TRIAL;
                self.actions.push_back(Action::Confirm);
            }
            (Some(Said::Kept), Stage::Keeping(member)) => {
                self.actions.push_back(Action::HangUp(guest.peer));
                self.close(End::Joined(member));
            }
            (Some(Said::Failed(why)), _) => {
                self.fail(&format!("the other box could not take the document: {why}"))
            }
            _ => self.fail("the other box said what makes no sense here"),
        }
    }

    fn gone(&mut self, peer: Peer) {
        self.peers.remove(&peer);
        if self.guest.as_ref().is_some_and(|guest| guest.peer == peer) {
            self.fail("the connection to the other box was lost");
        }
    }

    fn answered(&mut self, answer: Result<Given, String>, now: Moment) {
        let Some(mut guest) = self.guest.take() else { return self.actions.push_back(Action::Undo) };
        if guest.stage != Stage::Considered {
            self.guest = Some(guest);
            return;
        }
        match answer {
            Ok(given) => {
                self.tell(Note::Given(given.member.clone()));
                guest.stage = Stage::Given(given.member.clone());
                guest.deadline = now + TRIAL;
                self.say(&mut guest, &Said::Document(given));
                self.guest = Some(guest);
            }
            // The code stays good: what is wrong can be put right at the other box.
            Err(why) => {
                self.say(&mut guest, &Said::Not(why.clone()));
                self.actions.push_back(Action::HangUp(guest.peer));
                self.tell(Note::Denied(why));
            }
        }
    }

    fn confirmed(&mut self, done: Result<(), String>) {
        let Some(mut guest) = self.guest.take() else { return };
        match (guest.stage.clone(), done) {
            (Stage::Serving(member), Ok(())) => {
                guest.stage = Stage::Keeping(member);
                self.say(&mut guest, &Said::Keep);
                self.guest = Some(guest);
            }
            (Stage::Serving(_), Err(why)) => {
                self.guest = Some(guest);
                self.fail(&format!("the document could not be confirmed here: {why}"));
            }
            _ => self.guest = Some(guest),
        }
    }

    /// Ends it with the guest; undoes what is not confirmed.
    fn fail(&mut self, why: &str) {
        let Some(mut guest) = self.guest.take() else { return };
        let why = match &guest.stage {
            Stage::Keeping(member) => format!(
                "{why}; the document stays in force here, but {member} has not said that it keeps it: look there, and \
                 join it again if it has no document"
            ),
            _ => {
                self.say(&mut guest, &Said::Not(why.to_owned()));
                self.actions.push_back(Action::Undo);
                why.to_owned()
            }
        };
        self.actions.push_back(Action::HangUp(guest.peer));
        self.close(End::Failed(why));
    }

    fn expire(&mut self, now: Moment) {
        if self.over {
            return;
        }
        let late: Vec<Peer> =
            self.peers.iter().filter(|(_, session)| session.deadline <= now).map(|(peer, _)| *peer).collect();
        for peer in late {
            self.peers.remove(&peer);
            self.refuse(peer, "that took too long");
        }
        match &self.guest {
            Some(guest) if guest.deadline <= now => self.fail("the other box did not serve in time"),
            None if self.until <= now => self.close(End::Late),
            _ => {}
        }
    }

    fn close(&mut self, end: End) {
        self.over = true;
        for (peer, _) in std::mem::take(&mut self.peers) {
            self.refuse(peer, "this box shows no code any more");
        }
        self.actions.push_back(Action::Close(end));
    }

    fn refuse(&mut self, peer: Peer, why: &str) {
        self.send(peer, &Frame::Refused(why.to_owned()));
        self.actions.push_back(Action::HangUp(peer));
    }

    fn say(&mut self, guest: &mut Guest, said: &Said) {
        let sealed = guest.channel.seal(&said.write());
        self.send(guest.peer, &Frame::Sealed(sealed));
    }

    fn send(&mut self, peer: Peer, frame: &Frame) {
        self.actions.push_back(Action::Send(peer, frame.write()));
    }

    fn tell(&mut self, note: Note) {
        self.actions.push_back(Action::Tell(note));
    }
}
