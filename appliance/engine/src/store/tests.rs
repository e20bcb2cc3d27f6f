//! A partition in a file: what is written is found again, by another start and after damage.

use std::fs::File;
use std::os::unix::fs::FileExt;

use halcyon_core::store::commit::Document;
use halcyon_core::store::record::Term;

use super::*;

fn partition(name: &str) -> File {
    let path = std::env::temp_dir().join(format!("halcyon-store-{}-{name}", std::process::id()));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    std::fs::remove_file(path).unwrap();
    file.set_len(8 << 20).unwrap();
    file
}

fn opened(file: &File) -> Result<(Open, Vec<PassedOver>), String> {
    read(Medium::of(file.try_clone().unwrap()).unwrap(), || Ok([7; 32]))
}

fn open(file: &File) -> Result<(Medium, Store, Vec<PassedOver>), String> {
    let (open, passed) = opened(file)?;
    Ok((open.medium, open.store, passed))
}

fn commit(medium: &Medium, store: &mut Store, text: &str, term: Term) -> u64 {
    let document = Document { bytes: text.into(), seal: b"seal".to_vec(), schema: 1 };
    match carry_out(medium, store, Work::Commit(document, term), Origin::default()) {
        Ok(Written::Generation(generation)) => generation,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_next_start_finds_what_was_committed_and_an_unconfirmed_trial_does_not_count() {
    let file = partition("commit");
    let (medium, mut store, _) = open(&file).unwrap();
    let device = store.keys().device();
    assert_eq!(commit(&medium, &mut store, "one", Term::Permanent), 1);
    assert_eq!(commit(&medium, &mut store, "two", Term::Trial(60)), 2);

    let (_, again, passed) = open(&file).unwrap();
    assert_eq!(again.keys().device(), device);
    assert_eq!(again.in_force().unwrap().record.document, b"one");
    assert!(passed[0].why.contains("on trial"), "{passed:?}");

    let confirmed = carry_out(&medium, &mut store, Work::Confirm, Origin::default());
    assert_eq!(confirmed, Ok(Written::Generation(2)));
    assert_eq!(open(&file).unwrap().1.in_force().unwrap().record.document, b"two");
}

#[test]
fn a_flipped_bit_makes_a_start_pass_the_record_over_with_its_reason() {
    let file = partition("flip");
    let (medium, mut store, _) = open(&file).unwrap();
    commit(&medium, &mut store, "one", Term::Permanent);
    commit(&medium, &mut store, "two", Term::Permanent);
    let at = (0..layout::count(medium.size()))
        .map(|slot| layout::slot(slot) + layout::BODY)
        .find(|at| medium.read(*at, 3).unwrap() == b"two")
        .unwrap();
    file.write_all_at(b"tvo", at).unwrap();
    let (_, again, passed) = open(&file).unwrap();
    assert_eq!(again.in_force().unwrap().record.document, b"one");
    assert!(passed[0].why.contains("signature does not fit"), "{passed:?}");
}

#[test]
fn a_damaged_key_is_mended_from_its_copy_and_never_written_over_when_both_are_damaged() {
    let file = partition("keys");
    let (medium, mut store, _) = open(&file).unwrap();
    commit(&medium, &mut store, "one", Term::Permanent);
    file.write_all_at(b"x", layout::KEY_COPIES[0]).unwrap();
    assert!(open(&file).unwrap().1.in_force().is_some());
    let copies = medium.keys().unwrap();
    assert_eq!(copies[0], copies[1]);
    for at in layout::KEY_COPIES {
        file.write_all_at(b"x", at).unwrap();
    }
    let before = medium.keys().unwrap();
    assert!(open(&file).err().unwrap().contains("damaged"));
    assert_eq!(medium.keys().unwrap(), before);
}

#[test]
fn a_new_key_signs_and_what_the_old_one_signed_stays() {
    let file = partition("rotate");
    let (medium, mut store, _) = open(&file).unwrap();
    let before = store.keys().public();
    commit(&medium, &mut store, "one", Term::Permanent);
    let Ok(Written::Key(key)) = carry_out(&medium, &mut store, Work::Rotate, Origin::default()) else {
        panic!("there is room for many keys");
    };
    assert_eq!((key.device, key.number), (before.device, 2));
    assert_ne!(key.fingerprint, before.fingerprint);
    assert_eq!(open(&file).unwrap().1.in_force().unwrap().record.document, b"one");
    commit(&medium, &mut store, "two", Term::Permanent);
    // A damaged copy must not bring the old key back, which would cost what the new one signed.
    file.write_all_at(b"x", layout::KEY_COPIES[1]).unwrap();
    let (_, again, passed) = open(&file).unwrap();
    assert_eq!(again.keys().public(), key);
    assert_eq!(again.in_force().unwrap().record.document, b"two");
    assert_eq!(passed, []);
}

#[test]
fn a_reset_that_was_cut_off_is_carried_to_its_end() {
    let file = partition("reset");
    let (medium, mut store, _) = open(&file).unwrap();
    commit(&medium, &mut store, "one", Term::Permanent);
    medium.carry_out(&commit::reset(medium.size())[..4]).unwrap();
    let (_, again, _) = open(&file).unwrap();
    assert_eq!(again.slots().history().len(), 0);
}

#[test]
fn a_document_without_a_trusted_signature_is_passed_over_though_the_device_signed_it() {
    let file = partition("unsealed");
    let (mut open, passed) = opened(&file).unwrap();
    commit(&open.medium, &mut open.store, "schema = 1", Term::Permanent);
    let contents = choose(&mut open, &passed, "x".into(), &[]);
    assert_eq!(contents.chosen, None);
    assert!(contents.passed_over[0].starts_with("generation 1 is passed over: "), "{contents:?}");
}

#[test]
fn a_disk_that_gives_back_other_bytes_is_no_success() {
    let file = partition("liar");
    let (medium, ..) = open(&file).unwrap();
    let wrong = [halcyon_core::store::Step::Expect { at: 0, bytes: vec![1; 4096] }];
    assert!(medium.carry_out(&wrong).unwrap_err().to_string().contains("other bytes"));
}

#[test]
fn a_disk_that_takes_no_writes_is_read_all_the_same() {
    let path = std::env::temp_dir().join(format!("halcyon-store-{}-readonly", std::process::id()));
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
    file.set_len(8 << 20).unwrap();
    let refusing = || File::open(&path).and_then(Medium::of).unwrap();
    assert!(read(refusing(), || Ok([7; 32])).is_err(), "a first key cannot be made");
    let (medium, mut store, _) = open(&file).unwrap();
    commit(&medium, &mut store, "one", Term::Permanent);
    let (again, _) = read(refusing(), || Ok([7; 32])).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(again.store.in_force().unwrap().record.document, b"one");
    assert!(again.unwritable.is_some());
}

#[test]
fn orders_without_a_disk_come_to_an_end() {
    let (events, mut told) = tokio::sync::mpsc::unbounded_channel();
    let (commands, orders) = channel();
    commands.send(Command::Order { number: 1, work: Work::Confirm, origin: Origin::default() }).unwrap();
    drop(commands);
    Keeper { find: || Err("no disk".to_owned()), trusted: Vec::new(), events }.run(&orders);
    let Some(Event::Done { number: 1, outcome, .. }) = told.blocking_recv() else { panic!() };
    assert!(matches!(outcome, Err(Failure::Lost(why)) if why.contains("not there yet")));
}
