//! What a store does while nothing fails.

use super::super::slots::Raw;
use super::*;

fn store(slots: usize) -> Store {
    let empty =
        Raw { header: vec![0; BLOCK as usize], confirmation: vec![0; BLOCK as usize], body: Vec::new() };
    let keys = Keys::first([1; 32]);
    Store::at_start(keys.clone(), Slots::read(&vec![empty; slots], &keys))
}

fn document(text: &str) -> Document {
    Document { bytes: text.as_bytes().to_vec(), seal: Vec::new(), schema: 1 }
}

fn commit(store: &mut Store, text: &str, term: Term) -> u64 {
    let change = store.commit(document(text), term, Origin::default()).expect("it fits");
    store.done(change);
    store.in_force().expect("just committed").record.generation
}

fn text(store: &Store) -> String {
    String::from_utf8(store.in_force().expect("something is in force").record.document.clone()).expect("text")
}

#[test]
fn generations_count_up_and_each_names_its_parent() {
    let mut store = store(16);
    assert_eq!(commit(&mut store, "a", Term::Permanent), 1);
    let parent = store.in_force().expect("one").digest;
    assert_eq!(commit(&mut store, "b", Term::Permanent), 2);
    assert_eq!(store.in_force().expect("two").record.parent, parent);
}

#[test]
fn sixteen_slots_keep_sixteen_generations_and_the_oldest_goes_first() {
    let mut store = store(16);
    for n in 1..=20 {
        commit(&mut store, &n.to_string(), Term::Permanent);
    }
    let kept: Vec<u64> = store.slots().history().iter().map(|k| k.record.generation).collect();
    assert_eq!(kept, (5..=20).rev().collect::<Vec<_>>());
}

#[test]
fn a_trial_is_in_force_until_it_is_undone_and_for_good_once_it_is_confirmed() {
    let mut store = store(3);
    commit(&mut store, "old", Term::Permanent);
    commit(&mut store, "new", Term::Trial(60));
    assert!(store.on_trial());
    assert_eq!(text(&store), "new");
    store.undo_trial();
    assert_eq!((text(&store).as_str(), store.on_trial()), ("old", false));
    assert_eq!(store.confirm(&Origin::default()), Err(Unwritable::NoTrial));
    commit(&mut store, "newer", Term::Trial(60));
    let confirmed = store.confirm(&Origin::default()).expect("it is on trial");
    store.done(confirmed);
    store.undo_trial();
    assert_eq!((text(&store).as_str(), store.on_trial()), ("newer", false));
}

#[test]
fn trial_upon_trial_never_takes_the_slot_of_what_stays() {
    let mut store = store(3);
    commit(&mut store, "stays", Term::Permanent);
    for n in 0..20 {
        commit(&mut store, &n.to_string(), Term::Trial(60));
    }
    store.undo_trial();
    assert_eq!(text(&store), "stays");
}

#[test]
fn going_back_is_a_new_generation_and_only_to_what_stayed() {
    let mut store = store(16);
    commit(&mut store, "first", Term::Permanent);
    commit(&mut store, "second", Term::Permanent);
    let trial = commit(&mut store, "trial", Term::Trial(60));
    store.undo_trial();
    let back = store.roll_back(1, Origin::default()).expect("it is kept");
    store.done(back);
    assert_eq!((text(&store).as_str(), store.in_force().expect("one").record.generation), ("first", 4));
    for generation in [0, trial, 99] {
        assert_eq!(store.roll_back(generation, Origin::default()), Err(Unwritable::NoGeneration(generation)));
    }
}

#[test]
fn a_failed_change_leaves_what_is_in_force_and_frees_its_slot() {
    let mut store = store(3);
    commit(&mut store, "a", Term::Permanent);
    commit(&mut store, "b", Term::Permanent);
    let change = store.commit(document("c"), Term::Permanent, Origin::default()).expect("it fits");
    store.failed(&change);
    assert_eq!(text(&store), "b");
    let again = store.commit(document("c"), Term::Permanent, Origin::default()).expect("it fits");
    assert_eq!(again.slot, change.slot);
}

#[test]
fn what_does_not_fit_and_where_there_is_no_room_is_refused_before_anything_is_written() {
    let long = Document { bytes: vec![b'#'; 2 << 20], seal: Vec::new(), schema: 1 };
    let refused = store(3).commit(long, Term::Permanent, Origin::default());
    assert_eq!(refused, Err(Unwritable::TooLong(TooLong(2 << 20))));
    let refused = store(2).commit(document("a"), Term::Permanent, Origin::default());
    assert_eq!(refused, Err(Unwritable::TooSmall));
}
