//! What is answered, as a document; and where a refusal comes back to.

use proptest::prelude::*;

use super::super::field::{beginning, preset};
use super::*;

/// Everything answered, and right.
pub(crate) fn answered() -> Answers {
    let mut answers = beginning();
    answers.extend(
        [
            (Field::Site, "store-0417"),
            (Field::Port, "52:54:00:00:00:0a"),
            (Field::Address, "192.168.0.236/24"),
            (Field::Gateway, "192.168.0.1"),
            (Field::PeerMac, "52:54:00:00:00:0b"),
            (Field::PeerAddress, "192.168.0.238/24"),
            (Field::Vip, "192.168.0.239/24"),
        ]
        .map(|(field, value)| (field, value.to_owned())),
    );
    answers
}

#[test]
fn what_is_answered_right_is_a_document_without_a_fault() {
    for role in ["both", "directors", "server"] {
        for kind in ["socket", "mysql", "web", "none"] {
            for storm in ["weights", "standby"] {
                let mut answers = answered();
                answers.extend(
                    [
                        (Field::Role, role),
                        (Field::Preset, kind),
                        (Field::Storm, storm),
                        (Field::Servers, "192.168.0.51, 192.168.0.52"),
                    ]
                    .map(|(field, value)| (field, value.to_owned())),
                );
                preset(&mut answers, kind);
                let judged = proved(&answers, 1, None);
                assert_eq!(judged.complaints, [], "{role} {kind} {storm}:\n{}", judged.text);
            }
        }
    }
}

#[test]
fn the_document_of_a_pair() {
    insta::assert_snapshot!(checked(&answered(), 3, None).text);
}

#[test]
fn the_same_answers_at_either_box_make_the_same_document() {
    let here = answered();
    let mut there = here.clone();
    for (mine, theirs) in [
        (Field::Name, Field::PeerName),
        (Field::Port, Field::PeerMac),
        (Field::Address, Field::PeerAddress),
        (Field::WeightHere, Field::WeightPeer),
    ] {
        there.insert(mine, answer(&here, theirs).to_owned());
        there.insert(theirs, answer(&here, mine).to_owned());
    }
    there.insert(Field::Preferred, "peer".into());
    assert_eq!(checked(&here, 1, None), checked(&there, 1, None));
}

#[test]
fn nothing_answered_is_told_field_by_field() {
    let judged = checked(&beginning(), 1, None);
    for field in [Field::Port, Field::Address, Field::PeerMac, Field::PeerAddress, Field::Vip] {
        assert!(judged.about(field).next().is_some(), "{field:?}: {:?}", judged.complaints);
    }
}

#[test]
fn a_wrong_answer_is_refused_where_it_was_given() {
    for (field, wrong, says) in [
        (Field::Site, " ", "cannot be used"),
        (Field::Name, "Castor", "cannot be a member's name"),
        (Field::Name, "pollux", "is at member[0].name already"),
        (Field::Address, "192.168.0.236", "has no prefix length"),
        (Field::Address, "192.168.0.255/24", "last address"),
        (Field::Gateway, "10.0.0.1", "10.0.0.1"),
        (Field::PeerMac, "52:54:00:00:00:0a", "already"),
        (Field::PeerAddress, "192.168.1.238/24", "shares no subnet"),
        (Field::Vip, "192.168.0.236/24", "192.168.0.236"),
        (Field::Vrid, "0", "out of range"),
        (Field::Vrid, "256", "out of range"),
        (Field::Interval, "5", ""),
        (Field::Version, "2", ""),
        (Field::ServicePort, "70000", "out of range"),
        (Field::Persistence, "1h30", ""),
        (Field::WeightHere, "65536", "out of range"),
    ] {
        let mut answers = answered();
        answers.insert(field, wrong.to_owned());
        let judged = checked(&answers, 1, None);
        if field == Field::Version {
            assert_eq!(judged.complaints, []);
            continue;
        }
        let told: Vec<&str> = judged.complaints.iter().map(|c| c.what.as_str()).collect();
        let at = judged.complaints.iter().any(|c| c.what.contains(says) && c.field.is_some());
        assert!(at && !told.is_empty(), "{field:?} {wrong:?}: {:?}", judged.complaints);
    }
}

proptest! {
    #[test]
    fn whatever_is_typed_leaves_the_document_readable(
        typed in proptest::collection::vec(("\\PC{0,60}", 0usize..28), 0..8),
    ) {
        let mut answers = answered();
        let fields: Vec<Field> = answers.keys().copied().collect();
        for (text, which) in typed {
            answers.insert(fields[which], text);
        }
        for complaint in checked(&answers, 1, None).complaints {
            prop_assert!(complaint.field.is_some(), "{complaint:?}");
        }
    }
}
