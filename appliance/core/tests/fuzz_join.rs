//! No bytes of a peer make either box panic, get it past a stage that it has not reached, or are written other than they
//! were read. [`fuzz`] is a plain function of bytes, so a coverage-guided fuzzer can drive it too; here a seeded generator
//! does, with messages of every kind as its corpus.

mod chance;

use chance::Chance;
use halcyon_core::join::code::Code;
use halcyon_core::join::first::{self, Action, First};
use halcyon_core::join::second::{self, Second};
use halcyon_core::join::wire::{Datagram, Frame, Given, LENGTH, Offer, SHORT, Said};
use halcyon_core::moment::Moment;

const CASES: u32 = 20_000;
/// Of so many one is told to whole boxes, whose greetings cost some curve arithmetic.
const GREETED: u32 = 20;
const SEED: u64 = 0x5eed_901e;

fn fuzz(data: &[u8]) {
    if let Ok(datagram) = Datagram::read(data) {
        assert_eq!(datagram.write(), data);
    }
    if let Ok(said) = Said::read(data) {
        assert_eq!(Said::read(&said.write()), Ok(said));
    }
    if let Ok(frame) = Frame::read(data) {
        let written = frame.write();
        let length = Frame::length(written[..LENGTH].try_into().expect("four bytes"), written.len());
        assert_eq!(length, Ok(written.len() - LENGTH));
        assert_eq!(Frame::read(&written[LENGTH..]), Ok(frame));
    }
}

/// The same bytes, twice, to a box of either kind.
fn fuzz_boxes(data: &[u8]) {
    // What follows a greeting, too, has to be sealed by somebody who knows the code.
    let mut first = First::new(Code::of(&[1; 72]), Moment::ZERO);
    first.handle(first::Event::Connected(1, [1; 32]), Moment::ZERO);
    first.handle(first::Event::Heard(1, data.to_vec()), Moment::ZERO);
    first.handle(first::Event::Heard(1, data.to_vec()), Moment::ZERO);
    while let Some(action) = first.poll_action() {
        let harmless = !matches!(action, Action::Consider(_) | Action::Confirm | Action::Undo);
        assert!(harmless, "{action:?} after {data:?}");
    }
    let mut second = Second::begin(&Code::of(&[1; 72]), Offer::default(), [2; 32], Moment::ZERO);
    second.handle(second::Event::Heard(data.to_vec()), Moment::ZERO);
    second.handle(second::Event::Heard(data.to_vec()), Moment::ZERO);
    while let Some(action) = second.poll_action() {
        let harmless =
            !matches!(action, second::Action::Take(_) | second::Action::Confirm | second::Action::Undo);
        assert!(harmless, "{action:?} after {data:?}");
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let offer = Offer {
        name: Some("pollux".parse().expect("a name")),
        address: Some("192.0.2.2/24".parse().expect("an address")),
        key: Some([7; 32]),
        serial: Some("4711".into()),
        ports: vec![("eth0".into(), "52:54:00:00:00:0b".parse().expect("a MAC")); 3],
    };
    let given = Given {
        member: "pollux".parse().expect("a name"),
        document: b"schema = 1\n".to_vec(),
        signature: b"untrusted comment: x\n".to_vec(),
    };
    let said = [
        Said::Offer(offer),
        Said::Document(given),
        Said::Not("no".into()),
        Said::Failed("no".into()),
        Said::Serving,
        Said::Keep,
        Said::Kept,
    ];
    let frames = [Frame::Hello(vec![b'A'; 33]), Frame::Sealed(vec![9; 60]), Frame::Refused("no".into())];
    let datagrams = [Datagram::Query([3; 8]), Datagram::Answer([4; 8])];
    let frames = frames.iter().map(|frame| frame.write()[LENGTH..].to_vec());
    said.iter().map(Said::write).chain(frames).chain(datagrams.map(Datagram::write)).collect()
}

#[test]
fn everything_that_is_said_is_read_as_it_was_meant() {
    for bytes in corpus() {
        let read =
            Said::read(&bytes).is_ok() || Frame::read(&bytes).is_ok() || Datagram::read(&bytes).is_ok();
        assert!(read, "{bytes:?}");
    }
    assert!(Frame::length(u32::MAX.to_be_bytes(), SHORT).is_err());
    assert!(Frame::length([0; 4], SHORT).is_err());
}

#[test]
fn whatever_a_peer_sends_is_a_message_or_is_refused() {
    let corpus = corpus();
    let mut chance = Chance(SEED);
    for case in 0..CASES {
        let mut data = corpus[chance.below(corpus.len())].clone();
        for _ in 0..chance.below(6) {
            let at = chance.below(data.len() + 1);
            match chance.below(4) {
                0 if at < data.len() => data[at] ^= 1 << chance.below(8),
                1 if at < data.len() => data[at] = u8::try_from(chance.below(256)).expect("a byte"),
                2 => data.truncate(at),
                _ => data.splice(at..at, std::iter::repeat_n(0xff, chance.below(40))).for_each(drop),
            }
        }
        fuzz(&data);
        if case % GREETED == 0 {
            fuzz_boxes(&data);
        }
    }
}
