//! The walk: one lab through all states, with a load on all four services in each, and open connections through it all.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::figures::{Figures, Promise};
use super::held::{Alive, Habit, Held, STREAMS};
use super::site::{Manner, Neighbour, Site};
use crate::seed::Seed;

/// Connections (or queries) to each service in each state.
pub const ASKED: usize = 200;

/// Between two requests to a service while something happens.
const PACE: Duration = Duration::from_millis(50);

/// Source ports of the flows that come again, below those that clients count through by themselves.
const PORTS: (u64, u64) = (21_000, 48_000);

/// From the death on: clients that nobody has served before, so that persistence binds them to nobody yet.
const OTHERS: Manner = Manner { ttl: None, first_port: None, others: true };

/// The states, in the order of the walk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The first box is master.
    Normal,
    /// Packets with the highest time to live, for the longest loop.
    Ttl255,
    /// The second box is master, the first goes on serving.
    OtherMaster,
    /// New flows after the first box was without power and is master again.
    AfterReboot,
    /// The flows of the time when the other was master, again.
    SameTuples,
    /// All are master, clients reach the first.
    SplitToFirst,
    /// All are master, clients reach the last.
    SplitToLast,
    /// The split ends.
    Healing,
    /// The boxes get another document, one after the other.
    DocumentChanging,
    /// The last box's application is dead.
    ApplicationDead,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Normal,
        Self::Ttl255,
        Self::OtherMaster,
        Self::AfterReboot,
        Self::SameTuples,
        Self::SplitToFirst,
        Self::SplitToLast,
        Self::Healing,
        Self::DocumentChanging,
        Self::ApplicationDead,
    ];

    /// As the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Ttl255 => "client TTL 255",
            Self::OtherMaster => "the other box is master",
            Self::AfterReboot => "new flows after the master rebooted and took over",
            Self::SameTuples => "the same 5-tuples again after that",
            Self::SplitToFirst => "split brain, clients reaching A",
            Self::SplitToLast => "split brain, clients reaching B",
            Self::Healing => "split brain healing under load",
            Self::DocumentChanging => "document changing under load",
            Self::ApplicationDead => "one application dead",
        }
    }

    /// What is promised in it, of a service with persistence (`sticky`) or without. Clients that come again after a death
    /// stay with the survivor where it served them: their shares tell of the past, not of the state.
    pub fn promise(self, boxes: usize, balanced: bool, sticky: bool) -> Promise {
        let bound = sticky && self == Self::SameTuples;
        Promise { boxes, balanced: balanced && !bound && self != Self::ApplicationDead, bound }
    }
}

/// What happened to the other box before open connections are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// It died; busy connections are asked.
    Death,
    /// It returned; busy ones, and those that sent nothing from before its death until now.
    Return,
    /// A split ended; all of both boxes, half of the clients still sending to the box that is no longer master.
    Heal,
}

impl Occasion {
    /// As the table calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Death => "after the other's death",
            Self::Return => "after its return, idle ones included",
            Self::Heal => "after a split brain's end, idle ones included",
        }
    }
}

/// A line that the walk has found, told as soon as it is known.
#[derive(Clone, Debug)]
pub enum Found {
    /// The figures of the four services in a state.
    State(State, Vec<Figures>),
    /// The open connections.
    Open(Occasion, Alive),
}

/// A walk under way.
pub struct Walk<'a> {
    site: &'a mut Site,
    held: Held,
    seed: Seed,
    asked: usize,
    tell: &'a mut dyn FnMut(Found),
}

impl<'a> Walk<'a> {
    /// Over a site that serves. `asked` requests go to each service in each state; `tell` hears what is found.
    pub fn new(site: &'a mut Site, seed: &Seed, asked: usize, tell: &'a mut dyn FnMut(Found)) -> Self {
        Self { site, held: Held::new(seed), seed: seed.fork("walk"), asked, tell }
    }

    /// Through all states.
    pub fn all(mut self) -> Result<()> {
        self.masters()?;
        self.split()?;
        self.document()?;
        self.application()
    }

    /// Normal operation, a hand-over, the master's death and return.
    pub fn masters(&mut self) -> Result<()> {
        let again =
            Manner { first_port: Some(self.seed.between(PORTS.0, PORTS.1) as u16), ..Manner::default() };
        self.state(State::Normal, Manner::default());
        self.state(State::Ttl255, Manner { ttl: Some(255), ..Manner::default() });
        self.held.open(self.site, &STREAMS, 1, Habit::Idle)?;
        self.site.hand_over().context("handing over")?;
        self.state(State::OtherMaster, again);
        self.held.open(self.site, &STREAMS, 1, Habit::Busy)?;
        self.held.open(self.site, &STREAMS, 1, Habit::Idle)?;
        self.site.lose_first().context("the master's death")?;
        self.held.lose(self.site, 0);
        self.open(Occasion::Death, &[1], true);
        self.held.open(self.site, &STREAMS, 1, Habit::Idle)?;
        self.site.return_of(0).context("the master's return")?;
        self.open(Occasion::Return, &[1], false);
        self.state(State::AfterReboot, OTHERS);
        self.state(State::SameTuples, again);
        Ok(())
    }

    /// A split, with clients on either side, and its end.
    pub fn split(&mut self) -> Result<()> {
        let last = self.site.size() - 1;
        // Who was served while one box was alone stays with it where there is persistence.
        self.held.open(self.site, &STREAMS[..1], 0, Habit::Idle)?;
        self.site.split().context("the split")?;
        self.site.believe(Neighbour::At(0));
        self.state(State::SplitToFirst, OTHERS);
        self.site.believe(Neighbour::At(last));
        self.state(State::SplitToLast, OTHERS);
        self.site.believe(Neighbour::Spread);
        let figures =
            self.site.load_during(self.asked, PACE, OTHERS, Site::heal).context("the split's end")?;
        (self.tell)(Found::State(State::Healing, figures));
        self.open(Occasion::Heal, &[0, 1], false);
        self.site.believe(Neighbour::Announced);
        Ok(())
    }

    /// Another document, one box after the other.
    pub fn document(&mut self) -> Result<()> {
        let figures = self.site.load_during(self.asked, PACE, OTHERS, Site::change_document);
        (self.tell)(Found::State(State::DocumentChanging, figures.context("another document")?));
        Ok(())
    }

    /// An application dies and comes back.
    pub fn application(&mut self) -> Result<()> {
        self.site.kill_application().context("an application's death")?;
        self.state(State::ApplicationDead, OTHERS);
        self.site.restore_application().context("an application's return")
    }

    fn state(&mut self, state: State, manner: Manner) {
        let figures = self.site.load(self.asked, manner);
        (self.tell)(Found::State(state, figures));
    }

    fn open(&mut self, occasion: Occasion, at: &[usize], busy_only: bool) {
        let alive = self.held.ask(self.site, at, busy_only);
        (self.tell)(Found::Open(occasion, alive));
    }
}
