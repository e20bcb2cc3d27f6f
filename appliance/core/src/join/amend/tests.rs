//! What becomes of a document when a box joins, and when it stays as it is.

use super::*;

const PAIR: &str = include_str!("../../../../../examples/pair.toml");

/// The pair's document without its second box.
fn alone() -> String {
    let member = PAIR.find("[[member]]\nname = \"pollux\"").unwrap();
    let router = PAIR.find("[[vrrp]]").unwrap();
    let server = "[[service.server]]\nmember = \"pollux\"\nweight = 1\n\n";
    format!("{}{}", &PAIR[..member], &PAIR[router..]).replace(server, "")
}

fn offer() -> Offer {
    Offer {
        name: Some("pollux".parse().unwrap()),
        address: Some("192.168.0.238/24".parse().unwrap()),
        key: Some([0xab; 32]),
        serial: None,
        ports: vec![("eth0".into(), "52:54:00:00:00:0b".parse().unwrap())],
    }
}

fn amended(document: &str, signed: bool, offer: &Offer) -> Result<Amended, Unfit> {
    let config = check(document).unwrap();
    let castor = "castor".parse().unwrap();
    amend(document, signed, &config, Host { name: &castor, key: Some(DeviceKey([0xcd; 32])) }, offer)
}

#[test]
fn a_new_box_becomes_the_member_that_a_person_would_have_written() {
    let before = alone();
    let after = amended(&before, false, &offer()).unwrap();
    assert_eq!(after.member.as_str(), "pollux");
    let after = after.document.unwrap();
    let (mut config, mut by_hand) = (check(&after).unwrap(), check(PAIR).unwrap());
    let keys: Vec<_> = config.members.values_mut().map(|member| member.key.take().unwrap().0).collect();
    assert_eq!(keys, [[0xcd; 32], [0xab; 32]]);
    assert_eq!(config.cluster.revision, 2);
    by_hand.cluster.revision = 2;
    assert_eq!(config, by_hand);
    // What people wrote is there still, in its order.
    let mut rest = after.lines();
    for line in before.lines().filter(|line| !line.starts_with("revision")) {
        assert!(rest.any(|one| one == line), "{line:?} is gone from\n{after}");
    }
    assert!(after.contains("# raise it with every change"));
}

#[test]
fn a_box_that_is_in_the_document_gets_it_and_a_signed_one_stays_as_it_is() {
    let pollux: MemberName = "pollux".parse().unwrap();
    for named in [offer(), Offer { name: None, address: None, ..offer() }] {
        let as_it_is = Amended { member: pollux.clone(), document: None };
        assert_eq!(amended(PAIR, true, &named), Ok(as_it_is));
        let with_keys = amended(PAIR, false, &named).unwrap().document.unwrap();
        assert_eq!(check(&with_keys).unwrap().cluster.revision, 2);
        assert_eq!(amended(&with_keys, false, &named).unwrap().document, None, "nothing is left to write");
        let unkept = Offer { key: None, ..named };
        assert_eq!(amended(&with_keys, false, &unkept).unwrap().document, None);
    }
}

#[test]
fn a_member_that_waits_for_its_box_is_bound_to_the_one_that_takes_its_name() {
    let waiting = PAIR.replace("52:54:00:00:00:0b", "02:00:00:00:00:01");
    let bound = amended(&waiting, false, &Offer { address: None, ..offer() }).unwrap().document.unwrap();
    let config = check(&bound).unwrap();
    let by_hand = check(PAIR).unwrap();
    let pollux = |config: &Config| config.members[&"pollux".parse().unwrap()].interfaces.clone();
    assert_eq!(pollux(&config), pollux(&by_hand));
    assert_eq!(config.services, by_hand.services);
}

#[test]
fn what_does_not_fit_is_refused_with_what_to_do() {
    let refused =
        |document: &str, signed, offer: &Offer| amended(document, signed, offer).unwrap_err().to_string();
    let nameless = Offer { name: None, ..offer() };
    assert!(refused(&alone(), false, &nameless).contains("--name pollux"));
    assert!(refused(&alone(), false, &Offer { address: None, ..offer() }).contains("--address"));
    assert!(refused(&alone(), true, &offer()).contains("sign it"), "a signed document is nobody's to change");
    let castor = Offer { name: Some("castor".parse().unwrap()), ..offer() };
    assert!(refused(PAIR, true, &castor).contains("this box is pollux"));
    assert!(refused(&alone(), false, &castor).contains("already"));
    let far = Offer { address: Some("10.0.0.1/24".parse().unwrap()), ..offer() };
    assert!(refused(&alone(), false, &far).contains("shares no subnet with castor"));
    let taken = Offer { address: Some("192.168.0.236/24".parse().unwrap()), ..offer() };
    assert!(refused(&alone(), false, &taken).contains("192.168.0.236"));
    let twin = Offer { ports: vec![("eth0".into(), "52:54:00:00:00:0a".parse().unwrap())], ..offer() };
    assert!(refused(&alone(), false, &twin).contains("which has it already"));
}
