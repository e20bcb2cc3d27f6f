//! The box that has no document and at which the code was typed: from a connection to a first box until both keep the
//! document. Decides what is believed, and when it gives up; how a first box is found is the engine's.

use std::collections::VecDeque;

use super::code::Code;
use super::pake::{Channel, Greeting, Role};
use super::wire::{Frame, Given, LONG, Offer, SHORT, Said};
use super::{GREETING, TRIAL};
use crate::config::types::MemberName;
use crate::moment::Moment;

/// One attempt to join, with one first box.
#[derive(Debug)]
pub struct Second {
    offer: Offer,
    stage: Stage,
    channel: Option<Channel>,
    deadline: Moment,
    actions: VecDeque<Action>,
}

#[derive(Debug)]
enum Stage {
    /// The greeting is said.
    Greeting(Greeting),
    /// The offer is made.
    Offered,
    /// The document is being taken, on trial.
    Taking(MemberName),
    /// It is on trial, and this box is not yet as it says.
    Trying(MemberName),
    /// This box serves and has said so.
    Serving(MemberName),
    /// The document is being confirmed.
    Keeping(MemberName),
    Over,
}

/// What can happen.
#[derive(Debug)]
pub enum Event {
    /// A frame came, without its length.
    Heard(Vec<u8>),
    /// The connection ended.
    Gone,
    /// The document is in force on trial, or was refused.
    Taken(Result<(), String>),
    /// This box is as the document says.
    Serves,
    /// The document stays, or could not be confirmed.
    Confirmed(Result<(), String>),
    /// Time passed.
    Timeout,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Take this document on trial, and answer by [`Event::Taken`], later by [`Event::Serves`].
    Take(Given),
    /// Confirm it, and answer by [`Event::Confirmed`].
    Confirm,
    /// Undo the trial.
    Undo,
    /// It is over.
    End(Result<MemberName, Failure>),
}

/// Why this box has not joined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The first box says so, without a proof that it is the first box.
    #[error("the other box refuses: {0}")]
    Refused(String),
    /// Whoever is at the other end does not know the code.
    #[error(
        "the other box does not know this code: it was typed wrong, or that is not the box that shows it"
    )]
    Stranger,
    /// The first box, which knows the code, says so.
    #[error("{0}")]
    Not(String),
    /// It went wrong here.
    #[error("{0}")]
    Here(String),
    /// The connection ended.
    #[error("the connection to the other box was lost")]
    Lost,
    /// Time is over.
    #[error("it took too long")]
    Late,
}

impl Second {
    /// Begins on a new connection. `seed` must come from the kernel's generator and never be used again.
    pub fn begin(code: &Code, offer: Offer, seed: [u8; 32], now: Moment) -> Self {
        let (greeting, message) = Greeting::begin(Role::Second, code, seed);
        Self {
            offer,
            stage: Stage::Greeting(greeting),
            channel: None,
            deadline: now + GREETING,
            actions: VecDeque::from([Action::Send(Frame::Hello(message).write())]),
        }
    }

    /// The longest frame that is read now, in bytes without its length.
    pub fn longest(&self) -> usize {
        if self.channel.is_some() { LONG } else { SHORT }
    }

    /// Takes an event in. Total: what does not fit ends the attempt.
    pub fn handle(&mut self, event: Event, now: Moment) {
        match event {
            _ if matches!(self.stage, Stage::Over) => {}
            Event::Timeout if self.deadline > now => {}
            Event::Timeout => self.fail(Failure::Late),
            Event::Gone => self.fail(Failure::Lost),
            Event::Heard(frame) => self.heard(&frame, now),
            Event::Taken(Err(why)) => self.fail(Failure::Here(why)),
            Event::Taken(Ok(())) => {
                if let Stage::Taking(member) = &self.stage {
                    self.stage = Stage::Trying(member.clone());
                }
            }
            Event::Serves => {
                if let Stage::Trying(member) = &self.stage {
                    self.stage = Stage::Serving(member.clone());
                    self.say(&Said::Serving);
                }
            }
            Event::Confirmed(Err(why)) => self.fail(Failure::Here(why)),
            Event::Confirmed(Ok(())) => {
                if let Stage::Keeping(member) = &self.stage {
                    let member = member.clone();
                    self.say(&Said::Kept);
                    self.end(Ok(member));
                }
            }
        }
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When [`Event::Timeout`] is wanted.
    pub fn poll_timeout(&self) -> Option<Moment> {
        (!matches!(self.stage, Stage::Over)).then_some(self.deadline)
    }

    fn heard(&mut self, frame: &[u8], now: Moment) {
        let frame = match Frame::read(frame) {
            Ok(frame) => frame,
            Err(why) => return self.fail(Failure::Refused(why.to_string())),
        };
        match (frame, std::mem::replace(&mut self.stage, Stage::Over)) {
            (Frame::Hello(theirs), Stage::Greeting(greeting)) => match greeting.finish(&theirs) {
                Ok(channel) => {
                    self.channel = Some(channel);
                    self.stage = Stage::Offered;
                    // The first box asks its operator's document and its disk.
                    self.deadline = now + TRIAL;
                    self.say(&Said::Offer(self.offer.clone()));
                }
                Err(_) => self.fail(Failure::Stranger),
            },
            // Nothing proves who says this. Once the other box has proved itself, only what is sealed counts.
            (Frame::Refused(why), Stage::Greeting(_) | Stage::Offered) => self.fail(Failure::Refused(why)),
            (Frame::Sealed(sealed), stage) => {
                let opened = self.channel.as_mut().map(|channel| channel.open(&sealed));
                let said = match opened {
                    Some(Ok(plain)) => Said::read(&plain),
                    _ => {
                        self.stage = stage;
                        return self.fail(Failure::Stranger);
                    }
                };
                self.stage = stage;
                match said {
                    Ok(said) => self.told(said, now),
                    Err(why) => self.fail(Failure::Not(why.to_string())),
                }
            }
            (_, stage) => {
                self.stage = stage;
                self.fail(Failure::Not("the other box said what makes no sense here".into()));
            }
        }
    }

    fn told(&mut self, said: Said, now: Moment) {
        match (said, &self.stage) {
            (Said::Document(given), Stage::Offered) => {
                self.stage = Stage::Taking(given.member.clone());
                self.deadline = now + TRIAL;
                self.actions.push_back(Action::Take(given));
            }
            (Said::Keep, Stage::Serving(member)) => {
                self.stage = Stage::Keeping(member.clone());
                self.actions.push_back(Action::Confirm);
            }
            (Said::Not(why), _) => self.fail(Failure::Not(why)),
            _ => self.fail(Failure::Not("the other box said what makes no sense here".into())),
        }
    }

    fn fail(&mut self, why: Failure) {
        if matches!(self.stage, Stage::Taking(_) | Stage::Trying(_) | Stage::Serving(_) | Stage::Keeping(_)) {
            if !matches!(why, Failure::Lost | Failure::Stranger) {
                self.say(&Said::Failed(why.to_string()));
            }
            self.actions.push_back(Action::Undo);
        }
        self.end(Err(why));
    }

    fn end(&mut self, result: Result<MemberName, Failure>) {
        self.stage = Stage::Over;
        self.actions.push_back(Action::End(result));
    }

    fn say(&mut self, said: &Said) {
        let Some(channel) = &mut self.channel else { return };
        let sealed = channel.seal(&said.write());
        self.actions.push_back(Action::Send(Frame::Sealed(sealed).write()));
    }
}
