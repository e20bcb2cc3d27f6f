//! Power cuts at every instant: a disk that loses and tears what was not flushed, under the store's real steps.
//!
//! Between two flushes a disk may keep any subset of the sectors written, in any order; a sector of 512 bytes is kept
//! whole or not at all. Prefixes, single losses (of few sectors all, of many an even choice) and many random subsets are
//! tried after every step of every change. Each outcome is read as after a start and must be the old document or the new
//! one; once a change counts as done, it must be the new one.

use std::collections::BTreeMap;

use super::super::record::Origin;
use super::super::slots::Raw;
use super::*;

const SECTOR: u64 = 512;
/// Room for the fewest slots, so that every slot is reused soon.
const SIZE: u64 = 1024 * 1024 * (1 + layout::FEWEST as u64);

#[derive(Clone, Default)]
struct Disk {
    durable: BTreeMap<u64, [u8; 512]>,
    pending: Vec<(u64, [u8; 512])>,
}

impl Disk {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Write { at, bytes } => {
                let sectors = bytes.chunks_exact(512).enumerate();
                self.pending.extend(sectors.map(|(n, sector)| {
                    (at / SECTOR + n as u64, sector.try_into().expect("chunks of 512 bytes"))
                }));
            }
            Step::Flush => self.durable.extend(self.pending.drain(..)),
            Step::Expect { at, bytes } => assert_eq!(self.now().bytes(*at, bytes.len()), *bytes),
        }
    }

    fn now(&self) -> Self {
        self.cut(|_| true)
    }

    /// The power goes; of the pending sectors only those that `kept` names reached the medium.
    fn cut(&self, kept: impl Fn(usize) -> bool) -> Self {
        let mut durable = self.durable.clone();
        durable.extend(self.pending.iter().enumerate().filter(|(n, _)| kept(*n)).map(|(_, sector)| *sector));
        Self { durable, pending: Vec::new() }
    }

    fn bytes(&self, at: u64, length: usize) -> Vec<u8> {
        let sectors = at / SECTOR..(at + length as u64).div_ceil(SECTOR);
        let mut bytes: Vec<u8> =
            sectors.flat_map(|n| self.durable.get(&n).copied().unwrap_or([0; 512])).collect();
        bytes.truncate(length);
        bytes
    }

    /// What a box finds after a start; `None`: no keys.
    fn start(&self) -> Option<Store> {
        let copies = layout::KEY_COPIES.map(|at| self.bytes(at, BLOCK as usize));
        let keys = Keys::of_copies([&copies[0], &copies[1]]).ok()?;
        let raw: Vec<Raw> = (0..layout::count(SIZE)).map(|slot| self.slot(layout::slot(slot))).collect();
        Some(Store::at_start(keys.clone(), Slots::read(&raw, &keys)))
    }

    fn slot(&self, at: u64) -> Raw {
        let header = self.bytes(at, BLOCK as usize);
        let body = Record::body_length(&header).unwrap_or(0);
        Raw {
            confirmation: self.bytes(at + layout::CONFIRMATION, BLOCK as usize),
            body: self.bytes(at + layout::BODY, body),
            header,
        }
    }
}

/// The document in force, or that there is none.
fn found(store: Option<&Store>) -> Option<Vec<u8>> {
    Some(store?.in_force()?.record.document.clone())
}

/// Plays changes on a disk and tries every crash; collects what must not be instead of stopping at it, so that broken
/// writers can be shown to be caught.
struct Trial {
    disk: Disk,
    states: u64,
    seed: u64,
    violations: Vec<String>,
}

impl Trial {
    fn new() -> Self {
        Self { disk: Disk::default(), states: 0, seed: 1, violations: Vec::new() }
    }

    /// Takes `steps`, after which the document found must be `after`; at any instant before, that or `before`.
    fn play(&mut self, what: &str, steps: &[Step], before: Option<&[u8]>, after: Option<&[u8]>) {
        let legal = [before.map(<[u8]>::to_vec), after.map(<[u8]>::to_vec)];
        for step in steps {
            self.disk.step(step);
            self.crash(what, &legal);
        }
        self.crash(&format!("after {what}"), &legal[1..]);
    }

    fn crash(&mut self, what: &str, legal: &[Option<Vec<u8>>]) {
        let pending = self.disk.pending.len();
        for cut in (0..=pending).step_by(pending / 64 + 1) {
            self.outcome(what, &self.disk.cut(|n| n < cut), legal);
            self.outcome(what, &self.disk.cut(|n| n != cut), legal);
        }
        for _ in 0..if pending > 1 { 400 } else { 0 } {
            self.seed =
                self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let seed = self.seed >> 16;
            let kept =
                |n: usize| (seed.rotate_left(u32::try_from(n * 7 % 48).unwrap_or(0)) ^ n as u64) & 1 == 1;
            self.outcome(what, &self.disk.cut(kept), legal);
        }
    }

    fn outcome(&mut self, what: &str, disk: &Disk, legal: &[Option<Vec<u8>>]) {
        self.states += 1;
        let found = found(disk.start().as_ref());
        if !legal.contains(&found) {
            let shown = found.map(|d| String::from_utf8_lossy(&d[..20.min(d.len())]).into_owned());
            self.violations.push(format!("{what}: found {shown:?}"));
        }
    }

    fn first_boot(&mut self) -> Store {
        let keys = Keys::first([7; 32]);
        self.play("first boot", &write_keys(&keys), None, None);
        self.disk.start().expect("the keys were just written")
    }
}

fn document(n: u32) -> Document {
    let bytes = format!("# {n}\n").repeat(200 + 150 * (n as usize % 5)).into_bytes();
    Document { bytes, seal: b"untrusted comment".to_vec(), schema: 1 }
}

/// Honest unless told otherwise; what it returns goes to the disk.
type Writer = fn(&Store, Vec<Step>) -> Vec<Step>;

/// A life of a box: commits, trials that are confirmed, undone and forgotten, a rollback, a new key, and a reset.
fn life(writer: Writer, rounds: u32) -> Trial {
    let mut trial = Trial::new();
    let mut store = trial.first_boot();
    let mut stays: Option<Vec<u8>> = None;
    for round in 0..rounds {
        let new = document(4 * round);
        let change = store.commit(new.clone(), Term::Permanent, Origin::default()).expect("it fits");
        let steps = writer(&store, change.steps.clone());
        trial.play("commit", &steps, stays.as_deref(), Some(&new.bytes));
        store.done(change);
        stays = Some(new.bytes);

        let new = document(4 * round + 1);
        let change = store.commit(new.clone(), Term::Trial(60), Origin::default()).expect("it fits");
        let steps = writer(&store, change.steps.clone());
        trial.play("trial", &steps, stays.as_deref(), stays.as_deref());
        store.done(change);
        if round % 2 == 0 {
            let change = store.confirm(&Origin::default()).expect("it is on trial");
            trial.play("confirm", &change.steps, stays.as_deref(), Some(&new.bytes));
            store.done(change);
            stays = Some(new.bytes);
        } else {
            store.undo_trial();
        }

        let kept = store.slots().history().iter().rfind(|kept| kept.stays()).map(|k| k.record.clone());
        let kept = kept.expect("something stays");
        let change = store.roll_back(kept.generation, Origin::default()).expect("it is kept");
        let steps = writer(&store, change.steps.clone());
        trial.play("rollback", &steps, stays.as_deref(), Some(&kept.document));
        store.done(change);
        stays = Some(kept.document);

        // A chain of keys is verified link by link: few keys keep the many starts fast.
        if round % 8 != 7 {
            continue;
        }
        let (steps, rotated) = store.rotate([u8::try_from(round).unwrap_or(0); 32]).expect("few keys");
        trial.play("new key", &steps, stays.as_deref(), stays.as_deref());
        store = rotated;
    }
    trial.play("reset", &reset(SIZE), stays.as_deref(), None);
    trial
}

#[test]
fn after_a_power_cut_at_any_instant_the_old_or_the_new_document_is_there() {
    let trial = life(|_, steps| steps, 36);
    assert_eq!(trial.violations, [""; 0]);
    assert!(trial.states >= 100_000, "only {} states", trial.states);
    println!("{} crash states", trial.states);
}

#[test]
fn a_writer_that_does_not_flush_is_caught() {
    let trial = life(|_, steps| steps.into_iter().filter(|step| *step != Step::Flush).collect(), 2);
    assert!(trial.violations.iter().any(|v| v.starts_with("after commit")), "{:?}", trial.violations.len());
}

#[test]
fn a_writer_that_overwrites_the_current_slot_is_caught() {
    let trial = life(
        |store, steps| {
            let Some(current) = store.in_force else { return steps };
            let moved = |at: u64| layout::slot(current) + at % layout::SLOT;
            let step = |step| match step {
                Step::Write { at, bytes } => Step::Write { at: moved(at), bytes },
                Step::Expect { at, bytes } => Step::Expect { at: moved(at), bytes },
                Step::Flush => Step::Flush,
            };
            steps.into_iter().map(step).collect()
        },
        2,
    );
    assert!(trial.violations.iter().any(|v| v.contains("trial")), "{:?}", trial.violations.len());
}

#[test]
fn a_writer_that_confirms_before_anyone_has_is_caught() {
    let trial = life(
        |store, mut steps| {
            let Some(Step::Write { at, bytes }) = steps.get(1).cloned() else { return steps };
            let change = store.slots.target(store.in_force).and_then(|slot| {
                let body = steps.first().and_then(|s| match s {
                    Step::Write { bytes, .. } => Some(bytes.clone()),
                    _ => None,
                })?;
                let (record, digest) = Record::read(&bytes, &body, &store.keys).ok()?;
                (layout::slot(slot) == at)
                    .then(|| confirmation(record.generation, &digest, &Origin::default(), &store.keys))
            });
            if let Some(block) = change {
                steps.insert(0, Step::Write { at: at + layout::CONFIRMATION, bytes: block });
            }
            steps
        },
        2,
    );
    assert!(trial.violations.iter().any(|v| v.starts_with("trial")), "{:?}", trial.violations.len());
}
