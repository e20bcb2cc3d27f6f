//! Whatever somebody puts into the slots, what is in force was written by this box, and what is not says why.

use super::super::layout::BLOCK;
use super::super::record::confirmation;
use super::*;

fn keys() -> Keys {
    Keys::first([3; 32])
}

fn record(generation: u64, term: Term) -> Record {
    Record {
        generation,
        parent: [0; 32],
        term,
        schema: 1,
        origin: Origin::default(),
        document: format!("revision = {generation}\n").repeat(300).into_bytes(),
        seal: b"untrusted comment: x\n".to_vec(),
    }
}

fn raw(record: &Record, keys: &Keys) -> Raw {
    let written = record.write(keys).expect("it fits");
    Raw { header: written.header, confirmation: vec![0; BLOCK as usize], body: written.body }
}

fn confirmed(record: &Record, by: &Keys) -> Raw {
    let digest = record.write(by).expect("it fits").digest;
    Raw { confirmation: confirmation(record.generation, &digest, &Origin::default(), by), ..raw(record, by) }
}

fn empty() -> Raw {
    Raw { header: vec![0; BLOCK as usize], confirmation: vec![0; BLOCK as usize], body: Vec::new() }
}

/// The generation in force of four slots, the first two of which hold generations 1 and 2, and what is passed over.
fn judged(third: Raw, change: impl FnOnce(&mut [Raw])) -> (Option<u64>, String) {
    let mut slots: Vec<Raw> = [1, 2].map(|n| raw(&record(n, Term::Permanent), &keys())).into();
    slots.extend([third, empty()]);
    change(&mut slots);
    let read = Slots::read(&slots, &keys());
    let (chosen, passed) = read.at_start();
    let reasons: Vec<String> =
        passed.into_iter().map(|passed| format!("{}: {}", passed.slot, passed.why)).collect();
    (chosen.and_then(|slot| read.get(slot)).map(|kept| kept.record.generation), reasons.join("; "))
}

#[test]
fn nothing_that_is_put_into_a_slot_counts_unless_this_box_wrote_it_so() {
    let strange = Keys::first([4; 32]);
    let later = keys().rotate([5; 32]).expect("the second of many");
    let third = record(3, Term::Permanent);
    let trial = record(3, Term::Trial(60));
    let mut shorter = raw(&third, &keys());
    shorter.body.truncate(512);
    let mut cut = raw(&third, &keys());
    cut.body[512..].fill(0);
    let mut overlong = raw(&third, &keys());
    overlong.header[96..104].fill(0xff);
    let mut longer = raw(&third, &keys());
    longer.header[100] += 1;
    longer.body.push(0);
    let mut half = raw(&third, &keys());
    half.header[512..].fill(0);
    let other_body = Raw { body: raw(&record(2, Term::Permanent), &keys()).body, ..raw(&third, &keys()) };
    let other_header =
        Raw { header: raw(&third, &keys()).header, ..raw(&record(1, Term::Permanent), &keys()) };
    let confirms_another = Raw {
        confirmation: confirmed(&record(4, Term::Trial(60)), &keys()).confirmation,
        ..raw(&trial, &keys())
    };
    let confirmed_by_stranger =
        Raw { confirmation: confirmed(&trial, &strange).confirmation, ..raw(&trial, &keys()) };
    let forged =
        Raw { header: Record::write(&third, &strange).expect("it fits").header, ..raw(&third, &keys()) };
    let as_ours = {
        let mut raw = raw(&third, &strange);
        raw.header[64..80].copy_from_slice(&keys().device().0);
        raw
    };
    let damaged = "2: its signature does not fit: it is damaged, or was not written to the end";
    let unconfirmed = "2: it was on trial and was not confirmed";
    let foreign = format!("2: it belongs to the device {}", strange.device());
    for (what, third, generation, why) in [
        ("its own", raw(&third, &keys()), 3, ""),
        ("its own trial, confirmed", confirmed(&trial, &keys()), 3, ""),
        ("its own trial", raw(&trial, &keys()), 2, unconfirmed),
        ("a trial, with another's confirmation", confirms_another, 2, unconfirmed),
        ("a trial that a stranger confirmed", confirmed_by_stranger, 2, unconfirmed),
        ("truncated: the disk gives less", shorter, 2, damaged),
        ("truncated: the rest is empty", cut, 2, damaged),
        (
            "overlong",
            overlong,
            2,
            "2: its lengths do not fit: 4294967295 bytes of document and 4294967295 of signature",
        ),
        ("a byte longer", longer, 2, damaged),
        ("half a header", half, 2, damaged),
        ("swapped bodies", other_body, 2, damaged),
        ("swapped headers", other_header, 2, damaged),
        ("a foreign device's", raw(&third, &strange), 2, &foreign),
        ("a foreign header over its own body", forged, 2, &foreign),
        (
            "a foreign one under its own name",
            as_ours,
            2,
            "2: it is signed by a key that this device never had",
        ),
        ("an unknown key's", raw(&third, &later), 2, "2: it is signed by a key that this device never had"),
        ("an older one once more", raw(&record(1, Term::Permanent), &keys()), 2, ""),
        ("noise", Raw { header: vec![0x5a; BLOCK as usize], ..empty() }, 2, "2: it is no record"),
    ] {
        assert_eq!(judged(third, |_| {}), (Some(generation), why.to_owned()), "{what}");
    }
}

#[test]
fn slots_that_changed_places_say_the_same() {
    let third = raw(&record(3, Term::Permanent), &keys());
    assert_eq!(judged(third.clone(), |slots| slots.reverse()), (Some(3), String::new()));
    assert_eq!(judged(third, |slots| slots.rotate_left(1)), (Some(3), String::new()));
}

/// What no signature can tell: the last slot was overwritten with what lay there before. The next older one counts.
#[test]
fn an_older_record_in_the_place_of_the_newest_leaves_the_next_older() {
    let third = raw(&record(3, Term::Permanent), &keys());
    let replayed = judged(third, |slots| slots[2] = slots[0].clone());
    assert_eq!(replayed, (Some(2), String::new()));
}

#[test]
fn with_every_slot_bad_there_is_none_and_each_says_why() {
    let third = raw(&record(3, Term::Permanent), &keys());
    let (generation, why) = judged(third, |slots| slots.iter_mut().for_each(|slot| slot.header[0] ^= 1));
    assert_eq!((generation, why.matches("it is no record").count()), (None, 4), "{why}");
}
