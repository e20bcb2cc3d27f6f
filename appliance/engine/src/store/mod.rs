//! The configuration store's edge: a thread that owns the CONFIG partition and is the only one to write it. The driver
//! sends it orders and hears of outcomes over channels; neither it nor VRRP ever waits for a disk.
//!
//! Which bytes are written, and which record counts, is `halcyon_core::store`'s to decide; which disk, [`partition`]'s.
//! A disk that fails or goes away is looked for until it is back, and then everything on it is read anew.

pub mod medium;
pub mod partition;
mod work;

pub use work::{Failure, Work, Written};
use work::{carry_out, seed};

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use halcyon_core::disk;
use halcyon_core::store::commit::{self, Store};
use halcyon_core::store::keys::{Keys, Public};
use halcyon_core::store::layout;
use halcyon_core::store::opening::{self, Opening};
use halcyon_core::store::record::Origin;
use halcyon_core::store::slots::{Kept, PassedOver, Slots};
use tokio::sync::mpsc::UnboundedSender;

use crate::provision::{self, Document as Judged};
use medium::Medium;

/// Between two attempts to find the partition.
const AGAIN: Duration = Duration::from_millis(500);
/// How long a disk may take to appear after the start before its absence is told.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often a partition that nobody asks for is looked at.
const LOOK: Duration = Duration::from_secs(10);
/// How often one that is seldom written to is asked whether it still takes writes.
const PROBE: Duration = Duration::from_secs(300);

#[derive(Debug)]
enum Command {
    Order {
        number: u64,
        work: Work,
        origin: Origin,
    },
    /// The trial is over without a confirmation.
    Undo,
}

/// What was found on the partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contents {
    /// Where it is, e.g. `/dev/sda5`.
    pub device: String,
    /// Whose it is, by which key.
    pub key: Public,
    /// Every record, the newest first.
    pub records: Vec<Kept>,
    /// The newest document that counts and that this version takes, with its generation.
    pub chosen: Option<(Judged, u64)>,
    /// What might have counted and does not, a sentence each.
    pub passed_over: Vec<String>,
    /// The highest revision that ever stayed here.
    pub highest: u64,
    /// Why nothing can be written there.
    pub unwritable: Option<String>,
}

/// What the store tells.
#[derive(Debug)]
pub enum Event {
    /// The partition was opened and read.
    Opened(Box<Contents>),
    /// It cannot be used, and why.
    Lost(String),
    /// An order came to its end.
    Done {
        /// The order's number.
        number: u64,
        /// What was written, or why nothing was.
        outcome: Result<Written, Failure>,
        /// Every record there is now, the newest first; what was there before if the disk was lost.
        records: Vec<Kept>,
    },
}

/// The driver's end.
#[derive(Debug)]
pub struct Handle {
    commands: Option<Sender<Command>>,
    orders: u64,
}

impl Handle {
    /// For a box that was not started from a disk.
    pub fn none() -> Self {
        Self { commands: None, orders: 0 }
    }

    /// Whether there is, or may be, a partition.
    pub fn exists(&self) -> bool {
        self.commands.is_some()
    }

    /// Orders something to be written; the number that [`Event::Done`] will name.
    pub fn order(&mut self, work: Work, origin: Origin) -> u64 {
        self.orders += 1;
        self.send(Command::Order { number: self.orders, work, origin });
        self.orders
    }

    /// Says that the trial is over without a confirmation.
    pub fn undo(&self) {
        self.send(Command::Undo);
    }

    fn send(&self, command: Command) {
        if let Some(commands) = &self.commands {
            // The thread ends with the process only.
            let _ = commands.send(command);
        }
    }
}

/// Starts the thread.
///
/// # Errors
/// When the kernel gives no thread.
pub fn spawn(
    disk: disk::origin::Origin,
    trusted: Vec<String>,
    events: UnboundedSender<Event>,
) -> io::Result<Handle> {
    let (commands, orders) = channel();
    std::thread::Builder::new()
        .name("store".into())
        .spawn(move || Keeper { find: move || partition::find(&disk), trusted, events }.run(&orders))?;
    Ok(Handle { commands: Some(commands), orders: 0 })
}

struct Keeper<F> {
    find: F,
    trusted: Vec<String>,
    events: UnboundedSender<Event>,
}

/// A partition that was opened and read.
struct Open {
    medium: Medium,
    store: Store,
    /// Why nothing can be written.
    unwritable: Option<String>,
    probed: Instant,
}

impl<F: Fn() -> Result<PathBuf, String>> Keeper<F> {
    fn run(&self, commands: &Receiver<Command>) {
        let began = Instant::now();
        let mut open: Option<Open> = None;
        let mut told: Option<String> = None;
        loop {
            if open.is_none() {
                match self.begin() {
                    Ok((found, contents)) => {
                        open = Some(found);
                        told = None;
                        self.tell(Event::Opened(Box::new(contents)));
                    }
                    Err(why) if began.elapsed() > PATIENCE && told.as_ref() != Some(&why) => {
                        self.tell(Event::Lost(why.clone()));
                        told = Some(why);
                    }
                    Err(_) => {}
                }
            }
            let lost = match commands.recv_timeout(if open.is_some() { LOOK } else { AGAIN }) {
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => self.look(&mut open),
                Ok(Command::Undo) => {
                    open.iter_mut().for_each(|open| open.store.undo_trial());
                    None
                }
                Ok(Command::Order { number, work, origin }) => {
                    let why = told.clone().unwrap_or_else(|| "the disk is not there yet".to_owned());
                    self.order(&mut open, why, (number, work, origin))
                }
            };
            if let Some(why) = lost {
                open = None;
                self.tell(Event::Lost(why.clone()));
                told = Some(why);
            }
        }
    }

    fn begin(&self) -> Result<(Open, Contents), String> {
        (self.find)().and_then(|path| begin(&path, &self.trusted))
    }

    /// Looks whether the disk is still there, or takes writes again. Why it is lost, if it is.
    fn look(&self, open: &mut Option<Open>) -> Option<String> {
        let found = open.as_mut()?;
        if let Err(error) = found.medium.keys() {
            return Some(error.to_string());
        }
        if found.unwritable.is_none() && found.probed.elapsed() > PROBE {
            found.probed = Instant::now();
            let same = opening::probe(found.store.keys());
            return found.medium.carry_out(&same).err().map(|error| error.to_string());
        }
        if found.unwritable.is_some()
            && let Ok((again, contents)) = self.begin()
            && contents.unwritable.is_none()
        {
            *found = again;
            self.tell(Event::Opened(Box::new(contents)));
        }
        None
    }

    /// Carries an order out. Why the disk is lost, if it is now.
    fn order(
        &self,
        open: &mut Option<Open>,
        missing: String,
        (number, work, origin): (u64, Work, Origin),
    ) -> Option<String> {
        let (outcome, records) = match open {
            None => (Err(Failure::Lost(missing)), Vec::new()),
            Some(Open { store, unwritable: Some(why), .. }) => {
                (Err(Failure::Lost(why.clone())), records(store.slots()))
            }
            Some(Open { medium, store, unwritable: None, .. }) => {
                let outcome = carry_out(medium, store, work, origin);
                (outcome, records(store.slots()))
            }
        };
        let lost = match &outcome {
            Err(Failure::Lost(why)) if open.as_ref().is_some_and(|open| open.unwritable.is_none()) => {
                Some(why.clone())
            }
            _ => None,
        };
        self.tell(Event::Done { number, outcome, records });
        lost
    }

    fn tell(&self, event: Event) {
        // A driver that has ended needs no news.
        let _ = self.events.send(event);
    }
}

/// Opens the partition, makes the device key if it never had one, reads all there is and chooses.
fn begin(path: &Path, trusted: &[String]) -> Result<(Open, Contents), String> {
    let (medium, refused) =
        Medium::open(path).map_err(|error| format!("{} cannot be opened: {error}", path.display()))?;
    let (mut open, passed) = read(medium, seed).map_err(|why| format!("{}: {why}", path.display()))?;
    if let Some(why) = refused.map(|error| error.to_string()).or_else(|| open.unwritable.take()) {
        open.unwritable = Some(format!("{} takes no writes: {why}", path.display()));
    }
    let contents = choose(&mut open, &passed, path.display().to_string(), trusted);
    Ok((open, contents))
}

/// The newest record that stays and whose document this version takes; signed by the device it is already.
fn choose(open: &mut Open, passed: &[PassedOver], device: String, trusted: &[String]) -> Contents {
    let store = &mut open.store;
    let number = |passed: &PassedOver| match passed.generation {
        Some(generation) => format!("generation {generation}"),
        None => format!("slot {}", passed.slot),
    };
    let mut passed_over: Vec<String> =
        passed.iter().map(|passed| format!("{} is passed over: {}", number(passed), passed.why)).collect();
    let records = records(store.slots());
    let (mut chosen, mut highest) = (None, 0);
    for kept in records.iter().filter(|kept| kept.stays()) {
        let generation = kept.record.generation;
        match provision::stored(&kept.record.document, &kept.record.seal, trusted) {
            Ok(document) => {
                highest = document.mark.revision.max(highest);
                chosen.get_or_insert((document, generation));
            }
            Err(reasons) if chosen.is_none() => {
                passed_over.push(format!("generation {generation} is passed over: {}", reasons.join("; ")));
            }
            Err(_) => {}
        }
    }
    if let Some((_, generation)) = &chosen {
        store.adopt(*generation);
    }
    Contents {
        device,
        key: store.keys().public(),
        records,
        chosen,
        passed_over,
        highest,
        unwritable: open.unwritable.clone(),
    }
}

/// Reads everything. A disk that gives what is asked for and takes nothing is worth as much as any, until it is written to.
fn read(
    medium: Medium,
    seed: impl Fn() -> Result<[u8; 32], String>,
) -> Result<(Open, Vec<PassedOver>), String> {
    let said = |error: io::Error| error.to_string();
    if layout::count(medium.size()) < layout::FEWEST {
        return Err(format!("a partition of {} bytes is too small; write the image again", medium.size()));
    }
    let copies = medium.keys().map_err(said)?;
    let mut unwritable = None;
    let used = medium.slots().iter().any(|slot| slot.header.iter().any(|byte| *byte != 0));
    let keys = match opening::open([&copies[0], &copies[1]], used, medium.size()) {
        Ok(Opening::Known { keys, mend }) => {
            let steps = if mend.is_empty() { opening::probe(&keys) } else { mend };
            unwritable = medium.carry_out(&steps).err().map(said);
            *keys
        }
        Ok(Opening::New { wipe }) => {
            medium.carry_out(&wipe).map_err(said)?;
            let keys = Keys::first(seed()?);
            medium.carry_out(&commit::write_keys(&keys)).map_err(said)?;
            keys
        }
        // Whatever this is, it is not written over.
        Err(why) => return Err(format!("{why}; nothing is read from it and nothing is written to it")),
    };
    let slots = Slots::read(&medium.slots(), &keys);
    let (_, passed_over) = slots.at_start();
    let store = Store::at_start(keys, slots);
    Ok((Open { medium, store, unwritable, probed: Instant::now() }, passed_over))
}

fn records(slots: &Slots) -> Vec<Kept> {
    slots.history().into_iter().cloned().collect()
}

#[cfg(test)]
mod tests;
