//! A box's life on a disk that crashes: it draws changes, tries every crash of each, and now and then goes on from one.

use std::collections::BTreeMap;

use super::super::super::keys::DeviceId;
use super::disk::{Disk, SIZE};
use super::*;

/// Honest unless told otherwise; what it returns goes to the disk.
pub(super) type Writer = fn(&Store, Vec<Step>) -> Vec<Step>;

/// Pending sectors of which every subset is tried.
const FEW: usize = 8;
/// Random subsets of more.
const SUBSETS: u64 = 150;
/// Prefixes and single losses of very many.
const EVEN: usize = 48;

/// Documents that may be found; `None`: there is none.
type Legal<'a> = &'a [Option<Vec<u8>>];

/// Collects what must not be instead of stopping at it, so that broken writers can be shown to be caught.
pub(super) struct Life {
    disk: Disk,
    store: Store,
    /// The document that a start must find.
    stays: Option<Vec<u8>>,
    /// Whose keys they must be; `None`: anybody's, for the device is new or being reset.
    device: Option<DeviceId>,
    chance: u64,
    documents: u32,
    writer: Writer,
    /// Crash states by what was being done.
    pub(super) states: BTreeMap<&'static str, u64>,
    /// How often life went on from a crash.
    pub(super) cuts: u64,
    pub(super) violations: Vec<String>,
}

impl Life {
    /// A first boot, `rounds` of changes with a new key among them, a reset, and a first boot again.
    pub(super) fn lived(seed: u64, writer: Writer, rounds: u32) -> Self {
        let keys = Keys::first([7; 32]);
        let mut life = Self {
            disk: Disk::default(),
            store: Store::at_start(keys.clone(), Slots::default()),
            stays: None,
            device: None,
            chance: seed,
            documents: 0,
            writer,
            states: BTreeMap::new(),
            cuts: 0,
            violations: Vec::new(),
        };
        life.begin();
        for round in 0..rounds {
            life.commit();
            life.trial();
            life.roll_back();
            // A chain of keys is verified link by link: few keys keep the many starts fast.
            if round == rounds / 2 {
                life.rotate();
            }
        }
        life.device = None;
        life.play("reset", &reset(SIZE), None);
        life.stays = None;
        life.begin();
        life
    }

    /// A start of a box that was switched off.
    fn begin(&mut self) {
        let seed = self.seed();
        match self.disk.opening(seed) {
            Err(why) => self.violations.push(format!("start: {why}")),
            Ok((steps, keys)) => {
                let what = if self.device.is_some() { "start" } else { "first boot" };
                if self.play(what, &steps, self.stays.clone()) {
                    self.device = Some(keys.device());
                    self.store = self.disk.store(&keys);
                }
            }
        }
    }

    fn commit(&mut self) {
        let document = self.document();
        let change =
            self.store.commit(document.clone(), Term::Permanent, Origin::default()).expect("it fits");
        self.carry_out("commit", change, Some(document.bytes));
    }

    fn trial(&mut self) {
        let document = self.document();
        let change =
            self.store.commit(document.clone(), Term::Trial(60), Origin::default()).expect("it fits");
        if !self.carry_out("trial", change, self.stays.clone()) {
            return;
        }
        if self.below(2) == 0 {
            self.store.undo_trial();
        } else {
            let change = self.store.confirm(&Origin::default()).expect("it is on trial");
            self.carry_out("confirm", change, Some(document.bytes));
        }
    }

    fn roll_back(&mut self) {
        let mut stay = self.store.slots().history().into_iter().filter(|kept| kept.stays());
        let Some(kept) = stay.next_back().map(|kept| kept.record.clone()) else { return };
        let change = self.store.roll_back(kept.generation, Origin::default()).expect("it is kept");
        self.carry_out("rollback", change, Some(kept.document));
    }

    fn rotate(&mut self) {
        let seed = self.seed();
        let (steps, rotated) = self.store.rotate(seed).expect("few keys");
        if self.play("new key", &steps, self.stays.clone()) {
            self.store = rotated;
        }
    }

    /// Whether the change came to its end.
    fn carry_out(&mut self, what: &'static str, change: Change, after: Option<Vec<u8>>) -> bool {
        let steps = if what == "confirm" {
            change.steps.clone()
        } else {
            (self.writer)(&self.store, change.steps.clone())
        };
        let done = self.play(what, &steps, after);
        if done {
            self.store.done(change);
        }
        done
    }

    /// Takes `steps`, after which `after` must be found; at any instant before, that or what stays now. Now and then the
    /// power goes at one of them for good, and the box starts again: then it says that it did not come to its end.
    fn play(&mut self, what: &'static str, steps: &[Step], after: Option<Vec<u8>>) -> bool {
        let legal = [self.stays.clone(), after.clone()];
        let end = if self.below(4) == 0 { self.below(steps.len() as u64 + 1) } else { u64::MAX };
        for (number, step) in (0..).zip(steps) {
            self.disk.step(step);
            self.crash(what, what, &legal);
            if number == end {
                let chance = self.next();
                self.disk = self.disk.cut(|n| drawn(chance, n));
                self.cuts += 1;
                if let Ok((steps, keys)) = self.disk.opening([9; 32]) {
                    steps.iter().for_each(|step| self.disk.step(step));
                    self.store = self.disk.store(&keys);
                    self.stays = found(&self.store);
                    self.device = self.device.and(Some(keys.device()));
                }
                return false;
            }
        }
        self.crash(what, &format!("after {what}"), &legal[1..]);
        self.stays = after;
        true
    }

    /// Tries every outcome of a power cut now, or many.
    fn crash(&mut self, what: &'static str, told: &str, legal: Legal<'_>) {
        let disk = self.disk.clone();
        let pending = disk.pending();
        for torn in (0..pending).step_by(pending / EVEN + 1) {
            self.outcome(what, told, disk.torn(torn), legal);
        }
        if pending <= FEW {
            for subset in 0..1_u64 << pending {
                self.outcome(what, told, disk.cut(|n| subset >> n & 1 == 1), legal);
            }
            return;
        }
        for cut in (0..=pending).step_by(pending / EVEN + 1) {
            self.outcome(what, told, disk.cut(|n| n < cut), legal);
            self.outcome(what, told, disk.cut(|n| n != cut), legal);
        }
        for _ in 0..SUBSETS {
            let chance = self.next();
            self.outcome(what, told, disk.cut(|n| drawn(chance, n)), legal);
        }
    }

    /// Starts from a crash. Where the start has to write something, its own crashes are tried as well.
    fn outcome(&mut self, what: &'static str, told: &str, mut disk: Disk, legal: Legal<'_>) {
        match disk.opening([8; 32]) {
            Err(why) => self.complain(format!("{told}: {why}")),
            Ok((steps, keys)) => {
                let few = steps.len() <= 12 && self.below(8) == 0;
                for step in &steps {
                    disk.step(step);
                    for cut in (0..disk.pending()).step_by(3).filter(|_| few) {
                        let cut = disk.cut(|n| n < cut);
                        match cut.opening([8; 32]) {
                            Err(why) => self.complain(format!("start after {told}: {why}")),
                            Ok((_, keys)) => self.judge("start", told, &cut, &keys, legal),
                        }
                    }
                }
                self.judge(what, told, &disk, &keys, legal);
            }
        }
    }

    fn judge(&mut self, what: &'static str, told: &str, disk: &Disk, keys: &Keys, legal: Legal<'_>) {
        *self.states.entry(what).or_default() += 1;
        let found = found(&disk.store(keys));
        if !legal.contains(&found) {
            let shown = found.map(|d| String::from_utf8_lossy(&d[..20.min(d.len())]).into_owned());
            self.complain(format!("{told}: found {shown:?}"));
        }
        if self.device.is_some_and(|device| device != keys.device()) {
            self.complain(format!("{told}: another device"));
        }
    }

    fn complain(&mut self, violation: String) {
        self.violations.push(violation);
    }

    fn document(&mut self) -> Document {
        self.documents += 1;
        let lines = 200 + 150 * self.below(5) as usize;
        let bytes = format!("# {}\n", self.documents).repeat(lines).into_bytes();
        Document { bytes, seal: b"untrusted comment".to_vec(), schema: 1 }
    }

    fn seed(&mut self) -> [u8; 32] {
        [(); 4].map(|()| self.next().to_le_bytes()).concat().try_into().expect("four times eight bytes")
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn next(&mut self) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.chance)
    }
}

/// The document in force, or that there is none.
fn found(store: &Store) -> Option<Vec<u8>> {
    Some(store.in_force()?.record.document.clone())
}

/// Whether a random subset holds the `n`-th sector.
fn drawn(chance: u64, n: usize) -> bool {
    mixed(chance.wrapping_add(n as u64)) & 1 == 1
}

/// SplitMix64's last step.
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}
