//! Connections that stay open while boxes die, return and split: which of them still speak to the box they were made to.
//!
//! They are kept in groups of odd and even numbers and asked in a drawn order, each group with 0 to 3 unrelated
//! connections before each of its own: where a director has forgotten a connection, a scheduler that takes turns must
//! not be able to hit the right box by luck.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use anyhow::{Result, bail};
use serde::Serialize;

use super::site::{Make, Site};
use crate::client::talk::{Ask, Request};
use crate::draw::{CLIENTS, GUESTS};
use crate::seed::Seed;

/// Unrelated connections before each of a group's, from none on.
const MOST_BETWEEN: usize = 3;

/// A live connection answers within this.
const PATIENCE: Duration = Duration::from_secs(4);

/// The services whose connections are held, by column: TCP without and with persistence.
pub const STREAMS: [usize; 2] = [0, 2];

/// Connections that belong together.
#[derive(Debug)]
struct Group {
    /// When it is asked.
    habit: Habit,
    /// Unrelated connections before each of its own.
    between: usize,
    /// Its service.
    service: usize,
    /// Each with the box that serves it.
    connections: Vec<(u64, usize)>,
}

/// When connections of a group are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// At each occasion.
    Busy,
    /// Only when the other box has died and returned, and when a split is over.
    Idle,
}

/// All open connections of a walk.
#[derive(Debug)]
pub struct Held {
    groups: Vec<Group>,
    seed: Seed,
}

/// How many of the open connections answered, by the same box as ever.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Alive {
    /// Those that did.
    pub alive: usize,
    /// All that were asked.
    pub asked: usize,
    /// What became of the others.
    pub dead: Vec<String>,
}

impl fmt::Display for Alive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.alive, self.asked)?;
        if let Some(first) = self.dead.first() {
            write!(f, " (the first: {first})")?;
        }
        Ok(())
    }
}

impl Held {
    /// None yet.
    pub fn new(seed: &Seed) -> Self {
        Self { groups: Vec::new(), seed: seed.fork("held") }
    }

    /// Opens groups with an odd and an even number of connections at the box `at`, for every number of unrelated ones
    /// between them, to these services in turn. What the other boxes serve of them stays open as well.
    pub fn open(&mut self, site: &Site, services: &[usize], at: usize, habit: Habit) -> Result<()> {
        for between in 0..=MOST_BETWEEN {
            for number in [3, 4] {
                let service = services[(between + number) % services.len()];
                let connections = self.connect(site, service, at, number)?;
                self.groups.push(Group { habit, between, service, connections });
            }
        }
        Ok(())
    }

    /// Opens connections from drawn clients until `at` serves `number` of them.
    fn connect(
        &mut self,
        site: &Site,
        service: usize,
        at: usize,
        number: usize,
    ) -> Result<Vec<(u64, usize)>> {
        let names = site.names();
        let (mut connections, mut tried) = (Vec::new(), 0);
        while connections.iter().filter(|(_, which)| *which == at).count() < number {
            tried += 1;
            if tried > 20 * number {
                bail!("{} serves too few of {tried} connections", names[at]);
            }
            let client = self.guest();
            let request = Request { ask: Ask::Hold, ..site.request(service) };
            let outcome = site.pair.lab.ask(client, request);
            match &outcome.result {
                Ok(name) => {
                    let which = names.iter().position(|one| one == name);
                    let Some(which) = which else { bail!("{name} answered, which is no member") };
                    connections.push((outcome.ticket, which));
                }
                // A quarter of them fails there.
                Err(_) if site.make == Make::Naive => {}
                Err(failure) => bail!("a connection to be held open failed: {failure}"),
            }
        }
        Ok(connections)
    }

    /// Asks the connections that the boxes `at` serve, of every group or of the busy ones alone.
    /// What has died is not asked again.
    pub fn ask(&mut self, site: &Site, at: &[usize], busy_only: bool) -> Alive {
        let names = site.names();
        let mut result = Alive::default();
        let mut dead = BTreeSet::new();
        for number in 0..self.groups.len() {
            let group = &self.groups[number];
            if busy_only && group.habit != Habit::Busy {
                continue;
            }
            let (between, service) = (group.between, group.service);
            let mut order: Vec<_> =
                group.connections.iter().copied().filter(|(_, which)| at.contains(which)).collect();
            self.seed.shuffle(&mut order);
            for (ticket, which) in order {
                for _ in 0..between {
                    let client = self.guest();
                    // Whether it is answered is another measurement's business.
                    site.pair.lab.ask(client, site.request(service));
                }
                result.asked += 1;
                let answer = site.pair.lab.ping(&[ticket], PATIENCE);
                let why = match answer.first().map(|outcome| &outcome.result) {
                    Some(Ok(name)) if *name == names[which] => {
                        result.alive += 1;
                        continue;
                    }
                    Some(Ok(name)) => format!("{name} answered for {}", names[which]),
                    Some(Err(failure)) => format!("{failure} by {}", names[which]),
                    None => "gone".into(),
                };
                result.dead.push(why);
                dead.insert(ticket);
            }
        }
        for group in &mut self.groups {
            group.connections.retain(|(ticket, _)| !dead.contains(ticket));
        }
        result
    }

    /// One of the clients that no load comes from: what is bound to a server by their address disturbs no balance.
    fn guest(&mut self) -> usize {
        // Behind the clients, the gateway and the other clients.
        2 * CLIENTS + 1 + self.seed.between(0, (GUESTS - CLIENTS) as u64 - 1) as usize
    }

    /// Forgets what a box served that lost its power.
    pub fn lose(&mut self, site: &Site, which: usize) {
        for group in &mut self.groups {
            let lost: Vec<_> =
                group.connections.iter().filter(|(_, at)| *at == which).map(|(ticket, _)| *ticket).collect();
            site.pair.lab.release(&lost);
            group.connections.retain(|(_, at)| *at != which);
        }
    }
}
