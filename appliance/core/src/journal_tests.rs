//! Datagrams as senders make them, and as nobody should.

use proptest::prelude::*;

use super::*;

fn long(name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = format!("{name}\n").into_bytes();
    bytes.extend_from_slice(&(value.len() as u64).to_le_bytes());
    bytes.extend_from_slice(value);
    bytes.push(b'\n');
    bytes
}

#[test]
fn both_forms_of_a_field_are_read_as_tracing_sends_them() {
    let mut datagram = long("MESSAGE", b"took over\nfrom pollux");
    datagram.extend(b"PRIORITY=4\nCODE_LINE=17\n");
    datagram.extend(long("F_VRID", b"51"));
    datagram.extend(long("SPAN_NAME", b"outer"));
    datagram.extend(long("SPAN_NAME", b"inner"));
    let entry = Entry::parse(&datagram).unwrap();
    assert_eq!(entry.get("MESSAGE"), Some("took over\nfrom pollux"));
    assert_eq!(entry.all("SPAN_NAME"), ["outer", "inner"]);
    assert_eq!(entry.level(), Level::Warn);
    assert_eq!(entry.text(), "took over from pollux vrid=51");
}

#[test]
fn an_empty_datagram_is_no_entry() {
    assert_eq!(Entry::parse(b""), None);
    assert_eq!(Entry::parse(b"\n"), None);
    assert_eq!(Entry::parse(b"no field at all"), None);
}

#[test]
fn trusted_names_are_taken_from_nobody() {
    let entry = Entry::parse(b"_UID=0\n_PID=1\nMESSAGE=m\nlower=1\n=x\n").unwrap();
    assert_eq!(entry, Entry::parse(b"MESSAGE=m\n").unwrap());
}

#[test]
fn what_is_broken_ends_the_entry_and_keeps_what_came_before() {
    let good = b"MESSAGE=before\n".to_vec();
    let mut huge = b"FIELD\n".to_vec();
    huge.extend_from_slice(&u64::MAX.to_le_bytes());
    huge.extend_from_slice(b"body\n");
    let mut unterminated = long("FIELD", b"body");
    unterminated.pop();
    for broken in [huge, unterminated, b"FIELD\n\x01\x02".to_vec(), b"FIELD".to_vec()] {
        let datagram = [good.clone(), broken, b"AFTER=1\n".to_vec()].concat();
        let entry = Entry::parse(&datagram).unwrap();
        assert_eq!(entry.get("MESSAGE"), Some("before"), "{datagram:?}");
    }
}

#[test]
fn a_last_text_field_needs_no_newline() {
    assert_eq!(Entry::parse(b"MESSAGE=end").unwrap().get("MESSAGE"), Some("end"));
}

#[test]
fn large_entries_are_cut_to_their_limits() {
    let many: Vec<u8> = (0..1000).flat_map(|i| format!("A{i}=x\n").into_bytes()).collect();
    assert_eq!(Entry::parse(&many).unwrap().fields.len(), MAX_FIELDS);
    let wide = long("MESSAGE", &vec![b'x'; 1 << 20]);
    assert_eq!(Entry::parse(&wide).unwrap().get("MESSAGE").map(str::len), Some(MAX_VALUE));
}

#[test]
fn a_terminal_escape_in_a_message_reaches_no_terminal() {
    let entry = Entry::parse(b"MESSAGE=\x1b[2Jgone\x07\r\n").unwrap();
    assert_eq!(entry.text(), " [2Jgone ");
}

/// A million seeded datagrams, made of the pieces that the parser looks at.
#[test]
fn no_datagram_panics() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed
    };
    let pieces: [&[u8]; 12] = [
        b"MESSAGE",
        b"=",
        b"\n",
        b"\0\0\0\0\0\0\0",
        b"\x03",
        b"PRIORITY=3\n",
        b"_PID",
        b"\xff\xfe",
        b"A",
        b"7",
        b"",
        b"\x1b",
    ];
    let mut datagram = Vec::new();
    for _ in 0..1_000_000 {
        datagram.clear();
        for _ in 0..next() % 12 {
            datagram.extend_from_slice(pieces[usize::try_from(next() % 12).unwrap()]);
        }
        fuzz(&datagram);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_ignored(datagram in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz(&datagram);
    }

    #[test]
    fn what_is_emitted_is_read_back(values in proptest::collection::vec("(?s).{0,40}", 1..10)) {
        let fields: Vec<(&str, &str)> = values.iter().map(|value| ("FIELD", value.as_str())).collect();
        let entry = Entry::parse(&emit(&fields)).unwrap();
        prop_assert_eq!(entry.all("FIELD"), values);
    }
}
