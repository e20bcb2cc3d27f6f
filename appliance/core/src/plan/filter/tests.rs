//! What is let in becomes how many rules.

use super::*;

fn cidrs(texts: &[&str]) -> BTreeSet<Cidr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn opening(sources: &[&str], destinations: &[&str], port: u16) -> Opening {
    Opening {
        link: None,
        sources: cidrs(sources),
        destinations: cidrs(destinations),
        traffic: Traffic::Port(Protocol::Tcp, port),
    }
}

#[test]
fn ports_between_the_same_ends_share_a_rule() {
    let vip = &["192.0.2.9/32"][..];
    let openings = BTreeSet::from([opening(&[], vip, 80), opening(&[], vip, 443)]);
    let expected = Rule::when([
        Condition::Destination(cidrs(vip)),
        Condition::Port(Protocol::Tcp, BTreeSet::from([80, 443])),
    ])
    .then(Verdict::Accept);
    assert_eq!(compile(&openings, Verdict::Accept), [expected]);
}

#[test]
fn a_box_can_join_from_the_segment_and_only_while_a_code_is_shown() {
    let config = crate::config::check::check(include_str!("../../../../../examples/pair.toml")).unwrap();
    let me = "castor".parse().unwrap();
    let about = |join_open| {
        let plan = super::super::plan(&config, &me, &super::super::View { join_open, ..Default::default() });
        let rules = plan.state.rules.chains.into_iter().flat_map(|chain| chain.rules);
        let port = |condition: &Condition| matches!(condition, Condition::Port(_, ports) if ports.contains(&join::PORT));
        rules.filter(|rule| rule.conditions.iter().any(port)).collect::<Vec<_>>()
    };
    assert_eq!(about(false), []);
    let open = about(true);
    assert_eq!(open.len(), 2);
    let near = Condition::Source(cidrs(&["fe80::/10"]));
    assert!(open.iter().all(|rule| rule.conditions.contains(&near)), "{open:?}");
}

#[test]
fn families_that_do_not_meet_open_nothing_and_a_network_in_another_is_left_out() {
    let apart = BTreeSet::from([opening(&["192.0.2.2/32"], &["2001:db8::1/128"], 80)]);
    assert_eq!(compile(&apart, Verdict::Accept), []);
    let nested = ["192.0.2.1/24", "192.0.2.9/32", "2001:db8::/64"];
    let rules = compile(&BTreeSet::from([opening(&nested, &[], 80)]), Verdict::Accept);
    let sources: Vec<&Condition> = rules.iter().map(|rule| &rule.conditions[0]).collect();
    assert_eq!(
        sources,
        [&Condition::Source(cidrs(&["192.0.2.0/24"])), &Condition::Source(cidrs(&["2001:db8::/64"]))]
    );
}
