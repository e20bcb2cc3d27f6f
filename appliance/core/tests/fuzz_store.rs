//! No bytes on a CONFIG partition make a start panic, bring up a document that this box did not write, or lose the keys.
//! [`fuzz`] is a plain function of bytes, so a coverage-guided fuzzer can drive it too; here a seeded generator does, with
//! blocks and records of every kind as its corpus.

mod chance;

use chance::Chance;
use halcyon_core::store::commit::{Document, Store};
use halcyon_core::store::keys::Keys;
use halcyon_core::store::layout::{BLOCK, FEWEST, LONGEST_BODY};
use halcyon_core::store::opening::{Opening, open};
use halcyon_core::store::record::{Origin, Record, Term, confirmation};
use halcyon_core::store::slots::{Raw, Slots};

const CASES: u32 = 10_000;
const SEED: u64 = 0x5eed_57f0;
const SIZE: u64 = 1024 * 1024 * (1 + FEWEST as u64);
const SECTION: usize = BLOCK as usize;

/// Two copies of a key, then a header, a confirmation and a body; what is missing is zeros.
fn fuzz(data: &[u8]) -> Option<Record> {
    let block = |n: usize| {
        let mut block: Vec<u8> = data.iter().skip(n * SECTION).take(SECTION).copied().collect();
        block.resize(SECTION, 0);
        block
    };
    let (copies, header) = ([block(0), block(1)], block(2));
    let keys = match open([&copies[0], &copies[1]], true, SIZE) {
        Ok(Opening::Known { keys, mend }) => {
            assert!(mend.len() <= 6, "two copies take three steps each");
            assert_eq!(
                Keys::read(&keys.write()).expect("what was read can be written").device(),
                keys.device()
            );
            *keys
        }
        Ok(Opening::New { wipe }) => {
            assert!(!wipe.is_empty(), "records without a key are wiped");
            return None;
        }
        Err(why) => {
            assert!(!why.to_string().is_empty());
            return None;
        }
    };
    let length = Record::body_length(&header).unwrap_or(0);
    assert!(length as u64 <= LONGEST_BODY);
    let body: Vec<u8> = data.iter().skip(4 * SECTION).take(length).copied().collect();
    let empty = Raw { header: vec![0; SECTION], confirmation: vec![0; SECTION], body: Vec::new() };
    let slots = vec![Raw { header, confirmation: block(3), body }, empty.clone(), empty];
    let store = Store::at_start(keys.clone(), Slots::read(&slots, &keys));
    let next = Document { bytes: b"schema = 1\n".to_vec(), seal: Vec::new(), schema: 1 };
    let change = store.commit(next, Term::Permanent, Origin::default()).expect("there is room for one more");
    let found = store.in_force().map(|kept| kept.record.clone());
    assert!(
        found
            .as_ref()
            .is_none_or(|record| change.generation() > record.generation || record.generation == u64::MAX)
    );
    found
}

/// Every kind of block, laid out as [`fuzz`] takes them.
fn corpus() -> Vec<(Vec<u8>, Option<Record>)> {
    let first = Keys::first([1; 32]);
    let second = first.rotate([2; 32]).expect("there is room");
    let strange = Keys::first([9; 32]);
    let record = |generation, term| Record {
        generation,
        parent: [7; 32],
        term,
        schema: 1,
        origin: Origin {
            who: "root".into(),
            from: "ttyS0".into(),
            clock: 1,
            uptime: 2,
            image: "0.1.0".into(),
        },
        document: b"schema = 1\n".repeat(90),
        seal: b"untrusted comment: by hand\n".to_vec(),
    };
    let whole = |copies: [&Keys; 2], record: &Record, by: &Keys, confirmed: bool| {
        let written = record.write(by).expect("it fits");
        let mut block = vec![0; SECTION];
        if confirmed {
            block = confirmation(record.generation, &written.digest, &record.origin, by);
        }
        [copies[0].write(), copies[1].write(), written.header, block, written.body].concat()
    };
    let permanent = record(5, Term::Permanent);
    let trial = record(6, Term::Trial(60));
    vec![
        (whole([&first, &first], &permanent, &first, false), Some(permanent.clone())),
        (whole([&second, &first], &permanent, &first, false), Some(permanent.clone())),
        (whole([&first, &second], &permanent, &second, false), Some(permanent.clone())),
        (whole([&second, &second], &trial, &second, true), Some(trial.clone())),
        (whole([&first, &first], &trial, &first, false), None),
        (whole([&first, &first], &permanent, &strange, false), None),
        (
            whole([&first, &first], &record(u64::MAX, Term::Permanent), &first, false),
            Some(record(u64::MAX, Term::Permanent)),
        ),
        (vec![0; 5 * SECTION], None),
    ]
}

#[test]
fn the_corpus_is_understood() {
    for (data, expected) in corpus() {
        assert_eq!(fuzz(&data), expected);
    }
}

#[test]
fn mutated_partitions_give_what_was_written_or_nothing() {
    let corpus = corpus();
    let written: Vec<&Record> = corpus.iter().filter_map(|(_, record)| record.as_ref()).collect();
    let mut chance = Chance(SEED);
    let (mut found, mut nothing) = (0, 0);
    for case in 0..CASES {
        let data = mutated(&corpus, &mut chance);
        match fuzz(&data) {
            Some(record) => {
                assert!(
                    written.contains(&&record),
                    "case {case} of seed {SEED:#x} made a record up: {record:?}"
                );
                found += 1;
            }
            None => nothing += 1,
        }
    }
    assert!(
        found > CASES / 20 && nothing > CASES / 4,
        "{found} found, {nothing} not: the mutations are lopsided"
    );
}

#[test]
fn any_bytes_are_survived() {
    let mut chance = Chance(SEED);
    for _ in 0..CASES / 10 {
        let length = chance.below(6 * SECTION);
        let bytes: Vec<u8> = (0..length).map(|_| chance.next() as u8).collect();
        assert_eq!(fuzz(&bytes), None);
    }
}

fn mutated(corpus: &[(Vec<u8>, Option<Record>)], chance: &mut Chance) -> Vec<u8> {
    let mut data = corpus[chance.below(corpus.len())].0.clone();
    for _ in 0..=chance.below(3) {
        let at = chance.below(data.len().max(1)).min(data.len().saturating_sub(1));
        match chance.below(6) {
            // Fields lie near the blocks' beginnings and signatures at their ends.
            0 => {
                let bit = 1 << chance.below(8);
                let place = at / SECTION * SECTION + [0, 4000][chance.below(2)] + chance.below(90);
                data.get_mut(place).into_iter().for_each(|byte| *byte ^= bit);
            }
            1 => data[at] = chance.next() as u8,
            2 => data.truncate(at.max(1)),
            3 => {
                let other = &corpus[chance.below(corpus.len())].0;
                let section = chance.below(5) * SECTION;
                let end = (section + SECTION).min(data.len()).min(other.len());
                if section < end {
                    data[section..end].copy_from_slice(&other[section..end]);
                }
            }
            4 => {
                let field = 2 * SECTION + [16, 18, 24, 96, 100, 120][chance.below(6)];
                let number = [0, 1, u32::MAX, LONGEST_BODY as u32, LONGEST_BODY as u32 + 1][chance.below(5)];
                if let Some(place) = data.get_mut(field..field + 4) {
                    place.copy_from_slice(&number.to_le_bytes());
                }
            }
            _ => {
                let end = (at + 512 * chance.below(9)).min(data.len());
                data[at..end].fill(0);
            }
        }
    }
    data
}
