//! Power cuts at every instant: a disk that loses and tears what was not flushed, under the store's real steps.
//!
//! Between two flushes a disk may keep any subset of the sectors written, in any order. Of few sectors every subset is
//! tried; of many all prefixes, single losses and many random subsets; and each sector torn in its middle. After every
//! step of every change each outcome is started from: it must be the old document or the new one, and once a change
//! counts as done, the new one. What a start writes itself is cut off, too. Many a life goes on from such a crash.

mod disk;
mod life;

use super::super::record::Origin;
use super::*;
use life::{Life, Writer};

/// Lives that are played side by side.
const LIVES: u64 = 4;
const ROUNDS: u32 = 36;

#[test]
fn after_a_power_cut_at_any_instant_the_old_or_the_new_document_is_there() {
    let lives: Vec<Life> = std::thread::scope(|scope| {
        let lives: Vec<_> =
            (0..LIVES).map(|seed| scope.spawn(move || Life::lived(seed, |_, steps| steps, ROUNDS))).collect();
        lives.into_iter().map(|life| life.join().expect("a life does not panic")).collect()
    });
    let states: u64 = lives.iter().map(|life| life.states.values().sum::<u64>()).sum();
    let cuts: u64 = lives.iter().map(|life| life.cuts).sum();
    for what in ["first boot", "commit", "trial", "confirm", "rollback", "new key", "reset", "start"] {
        let tried: u64 = lives.iter().filter_map(|life| life.states.get(what)).sum();
        println!("{tried:7} crash states of {what}");
        assert!(tried > 40, "only {tried} crash states of {what}");
    }
    println!("{states:7} crash states; {cuts} of them were lived on from");
    for life in &lives {
        assert_eq!(life.violations, [""; 0]);
    }
    assert!(states >= 100_000, "only {states} states");
    assert!(cuts >= 10, "only {cuts} were lived on from");
}

/// What a life of a few rounds with a broken writer says, of which some must begin so.
fn caught(writer: Writer, complaint: &str) {
    let violations = Life::lived(1, writer, 4).violations;
    assert!(violations.iter().any(|v| v.starts_with(complaint)), "{} others", violations.len());
}

#[test]
fn a_writer_that_does_not_flush_is_caught() {
    caught(|_, steps| steps.into_iter().filter(|step| *step != Step::Flush).collect(), "after commit");
}

#[test]
fn a_writer_that_overwrites_the_current_slot_is_caught() {
    let writer: Writer = |store, steps| {
        let Some(current) = store.in_force else { return steps };
        let moved = |at: u64| layout::slot(current) + at % layout::SLOT;
        let step = |step| match step {
            Step::Write { at, bytes } => Step::Write { at: moved(at), bytes },
            Step::Expect { at, bytes } => Step::Expect { at: moved(at), bytes },
            Step::Flush => Step::Flush,
        };
        steps.into_iter().map(step).collect()
    };
    caught(writer, "trial");
}

#[test]
fn a_writer_that_confirms_before_anyone_has_is_caught() {
    let writer: Writer = |store, mut steps| {
        let [Step::Write { bytes: body, .. }, Step::Write { at, bytes: header }, ..] = &steps[..] else {
            return steps;
        };
        let Ok((record, digest)) = Record::read(header, body, &store.keys) else { return steps };
        let block = confirmation(record.generation, &digest, &Origin::default(), &store.keys);
        steps.insert(0, Step::Write { at: at + layout::CONFIRMATION, bytes: block });
        steps
    };
    caught(writer, "trial");
}
