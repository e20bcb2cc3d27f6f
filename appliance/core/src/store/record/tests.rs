//! What a record survives (nothing) and what it keeps (everything).

use proptest::prelude::*;

use super::*;

fn keys() -> Keys {
    Keys::first([3; 32])
}

fn record() -> Record {
    Record {
        generation: 42,
        parent: [9; 32],
        term: Term::Trial(60),
        schema: 1,
        origin: Origin {
            clock: 1_790_000_000,
            uptime: 61_000,
            who: "operator".into(),
            from: "ttyS0".into(),
            image: "0.1.0".into(),
        },
        document: b"schema = 1\n".repeat(200),
        seal: b"untrusted comment: by hand\n".to_vec(),
    }
}

#[test]
fn a_record_is_read_back_byte_by_byte() {
    let written = record().write(&keys()).expect("it fits");
    let (read, digest) = Record::read(&written.header, &written.body, &keys()).expect("it was just written");
    assert_eq!(read, record());
    assert_eq!(digest, written.digest);
    let padded = [written.body.as_slice(), &[0xff; 4096]].concat();
    assert_eq!(Record::read(&written.header, &padded, &keys()).map(|(r, _)| r), Ok(record()));
}

#[test]
fn every_flipped_bit_of_a_header_and_of_a_confirmation_is_refused() {
    let written = record().write(&keys()).expect("it fits");
    let confirmed = confirmation(42, &written.digest, &Origin::default(), &keys());
    for bit in 0..BLOCK as usize * 8 {
        let flipped = |block: &[u8]| {
            let mut block = block.to_vec();
            block[bit / 8] ^= 1 << (bit % 8);
            block
        };
        assert!(Record::read(&flipped(&written.header), &written.body, &keys()).is_err(), "bit {bit}");
        assert!(confirms(&flipped(&confirmed), 42, &written.digest, &keys()).is_err(), "bit {bit}");
    }
}

#[test]
fn ten_thousand_flipped_bits_of_a_body_are_refused() {
    let mut long = record();
    long.document = (0..1250_u32).flat_map(u32::to_le_bytes).collect();
    let written = long.write(&keys()).expect("it fits");
    for bit in 0..10_000_usize {
        let mut body = written.body.clone();
        let bit = bit * 4 % (body.len() * 8);
        body[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(Record::read(&written.header, &body, &keys()), Err(Refusal::Signature), "bit {bit}");
    }
}

#[test]
fn what_is_not_this_box_s_is_refused_with_its_reason() {
    let (mine, strange) = (keys(), Keys::first([4; 32]));
    let written = record().write(&mine).expect("it fits");
    let read = |header: &[u8], body: &[u8], keys: &Keys| Record::read(header, body, keys).map(|_| ());
    assert_eq!(read(&written.header, &written.body, &strange), Err(Refusal::Device(mine.device())));
    let rotated = mine.rotate([5; 32]).expect("the second of many");
    let newer = record().write(&rotated).expect("it fits");
    assert_eq!(read(&newer.header, &newer.body, &mine), Err(Refusal::Key));
    assert_eq!(read(&newer.header, &newer.body, &rotated), Ok(()));
    assert_eq!(read(&written.header, &written.body, &rotated), Ok(()), "an earlier key's records stay");
    assert_eq!(read(&written.header, &newer.body[1..], &mine), Err(Refusal::Signature));
    assert_eq!(read(&[0; 4096], &[], &mine), Err(Refusal::Empty));
    assert_eq!(read(&[0xff; 4096], &[], &mine), Err(Refusal::Foreign));
    assert_eq!(read(&written.header[..512], &written.body, &mine), Err(Refusal::Foreign));
    let later = [&written.header[..16], &[2], &written.header[17..]].concat();
    assert_eq!(read(&later, &written.body, &mine), Err(Refusal::Format(2)));
    let overlong = [&written.header[..96], &[0xff; 8], &written.header[104..]].concat();
    let lengths = Refusal::Lengths { document: u32::MAX, seal: u32::MAX };
    assert_eq!(read(&overlong, &written.body, &mine), Err(lengths));
}

#[test]
fn a_confirmation_confirms_one_record_and_no_other() {
    let written = record().write(&keys()).expect("it fits");
    let origin = Origin { image: String::new(), ..record().origin };
    let block = confirmation(42, &written.digest, &origin, &keys());
    assert_eq!(confirms(&block, 42, &written.digest, &keys()), Ok(origin));
    assert_eq!(confirms(&block, 43, &written.digest, &keys()), Err(Refusal::Foreign));
    assert_eq!(confirms(&block, 42, &[0; 32], &keys()), Err(Refusal::Foreign));
    assert_eq!(confirms(&written.header, 42, &written.digest, &keys()), Err(Refusal::Foreign));
}

#[test]
fn what_does_not_fit_into_a_slot_is_not_written() {
    let mut long = record();
    long.document = vec![b'#'; usize::try_from(LONGEST_BODY).expect("a megabyte")];
    let length = long.document.len() + long.seal.len();
    assert_eq!(long.write(&keys()), Err(TooLong(length)));
    long.seal.clear();
    let written = long.write(&keys()).expect("exactly the slot");
    assert_eq!(Record::read(&written.header, &written.body, &keys()).map(|(r, _)| r), Ok(long));
}

proptest! {
    #[test]
    fn whatever_lies_in_a_slot_is_read_without_a_panic(
        at in 0..4096_usize,
        noise in prop::collection::vec(any::<u8>(), 0..64),
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let mut header = record().write(&keys()).expect("it fits").header;
        let end = (at + noise.len()).min(header.len());
        header[at..end].copy_from_slice(&noise[..end - at]);
        prop_assert!(Record::read(&header, &body, &keys()).is_err());
    }

    #[test]
    fn texts_of_any_length_are_kept_up_to_64_bytes(who in "\\PC{0,80}") {
        let origin = Origin { who: who.clone(), ..Origin::default() };
        let written = Record { origin, ..record() }.write(&keys()).expect("it fits");
        let (read, _) = Record::read(&written.header, &written.body, &keys()).expect("it was just written");
        prop_assert!(who.starts_with(&read.origin.who) && read.origin.who.len() >= 61.min(who.len()));
    }
}
