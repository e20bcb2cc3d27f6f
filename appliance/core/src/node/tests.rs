//! The engine's mind, told what happens and asked what it wants.

use std::time::Duration;

use super::*;
use crate::config::check::check;
use crate::config::types::InstanceId;
use crate::standby::Echo;
use crate::sync::roll_call::{Action as Said, RollCall};

const PAIR: &str = include_str!("../../../../examples/pair.toml");
const STANDBY: &str = include_str!("../../../../examples/standby.toml");

fn at(millis: u64) -> Moment {
    Moment::from_boot(Duration::from_millis(millis))
}

fn castor() -> Node {
    let mut node = Node::new(1);
    node.configure(check(PAIR).expect("the example is right"), "castor".parse().expect("a name"), at(0));
    node
}

/// Answers every check that is wanted now: only servers in `alive` pass. Returns who was asked.
fn answer(node: &mut Node, alive: &[&str], now: Moment) -> Vec<String> {
    let mut asked = Vec::new();
    while let Some(action) = node.poll_action() {
        let Action::Check { server, number, .. } = action else { continue };
        let name = server.1.to_string();
        let outcome = if alive.contains(&name.as_str()) { Ok(()) } else { Err("no answer".to_owned()) };
        node.handle(Event::Checked { server, number, outcome }, now);
        asked.push(name);
    }
    asked
}

fn in_table(node: &Node) -> Vec<String> {
    let state = node.plan().state;
    let table = state.services.iter().find(|(service, _)| matches!(service, Virtual::Address { .. }));
    table.map(|(_, s)| s.destinations.keys().map(|(a, _)| a.to_string()).collect()).unwrap_or_default()
}

fn instance(node: &Node) -> InstanceId {
    node.config().vrrp.keys().next().expect("one instance").clone()
}

const BOTH: [&str; 2] = ["castor", "pollux"];

#[test]
fn a_box_that_boots_alone_sends_nobody_to_the_absent_one() {
    let mut node = castor();
    assert!(in_table(&node).is_empty(), "nothing is in before its first check");
    assert_eq!(answer(&mut node, &["castor"], at(1)), BOTH);
    assert_eq!(in_table(&node), ["192.168.0.236"]);
}

#[test]
fn a_box_can_direct_once_a_server_of_every_service_is_healthy_and_a_usable_link_speeds_that_up() {
    let mut node = castor();
    assert!(!node.can_direct());
    assert_eq!(answer(&mut node, &[], at(1)), BOTH, "the network is not there yet");
    assert!(answer(&mut node, &BOTH, at(2)).is_empty(), "and the next check is an interval away");
    node.handle(Event::Connected, at(3));
    assert_eq!(answer(&mut node, &[], at(3)), BOTH, "nor do the applications run");
    node.handle(Event::Awaited, at(4));
    let slow: Vec<_> = std::iter::from_fn(|| node.poll_action()).collect();
    assert_eq!(slow.iter().filter(|action| matches!(action, Action::Check { .. })).count(), 2);
    node.handle(Event::Awaited, at(5));
    assert_eq!(node.poll_action(), None, "a check that runs goes on");
    for action in slow {
        if let Action::Check { server, number, .. } = action {
            let outcome = if server.1.to_string() == "pollux" { Ok(()) } else { Err("no answer".to_owned()) };
            node.handle(Event::Checked { server, number, outcome }, at(6));
        }
    }
    assert!(node.can_direct());
    node.handle(Event::Connected, at(7));
    assert_eq!(answer(&mut node, &BOTH, at(7)), ["castor"], "a healthy server is left alone");
}

#[test]
fn a_silent_master_leaves_the_table_in_the_plan_that_takes_its_address_over() {
    let mut node = castor();
    answer(&mut node, &BOTH, at(1));
    assert_eq!(in_table(&node).len(), 2);
    let id = instance(&node);
    let silent = Some([192, 168, 0, 238].into());
    node.handle(Event::Vrrp { id, state: VrrpState::Master, silent }, at(1000));
    assert_eq!(in_table(&node), ["192.168.0.236"]);
    assert_eq!(answer(&mut node, &["castor"], at(1001)), ["pollux"], "the suspect is checked at once");
    assert_eq!(in_table(&node), ["192.168.0.236"]);
    node.handle(Event::Timeout, at(2001));
    answer(&mut node, &BOTH, at(2001));
    assert_eq!(in_table(&node).len(), 2, "a passed check brings it back: only VRRP was cut");
}

#[test]
fn over_ipv6_a_silent_master_is_known_by_its_link_local_address() {
    let mut node = castor();
    answer(&mut node, &BOTH, at(1));
    let id = instance(&node);
    let silent = "fe80::5054:ff:fe00:b".parse().ok();
    node.handle(Event::Vrrp { id, state: VrrpState::Master, silent }, at(1000));
    assert_eq!(in_table(&node), ["192.168.0.236"], "pollux has that MAC");
}

#[test]
fn a_master_that_left_in_order_is_checked_at_once_and_stays_in_until_that_fails() {
    for (alive, expected) in [(&BOTH[..], 2), (&["castor"][..], 1)] {
        let mut node = castor();
        answer(&mut node, &BOTH, at(1));
        let id = instance(&node);
        node.handle(Event::Vrrp { id, state: VrrpState::Master, silent: None }, at(1000));
        assert_eq!(in_table(&node).len(), 2, "connections that live there live on");
        answer(&mut node, alive, at(1001));
        assert_eq!(in_table(&node).len(), expected);
    }
}

/// A backup says nothing by VRRP when it goes.
#[test]
fn a_backup_that_leaves_in_order_is_out_of_its_masters_table_with_the_first_check_that_it_refuses() {
    let [castor_at, pollux_at] = [236, 238].map(|last| IpAddr::from([192, 168, 0, last]));
    for (alive, expected) in [(&["castor"][..], 1), (&BOTH[..], 2)] {
        let mut master = castor();
        answer(&mut master, &BOTH, at(1));
        let id = instance(&master);
        master.handle(Event::Vrrp { id, state: VrrpState::Master, silent: None }, at(1000));
        answer(&mut master, &BOTH, at(1001));

        let (mut leaving, mut listening) = (RollCall::new(1), RollCall::new(2));
        leaving.configure([castor_at].into());
        listening.configure([pollux_at].into());
        leaving.leave(at(2000));
        let mut now = at(2000);
        let mut asked = Vec::new();
        loop {
            while let Some(Said::Say(to, word)) = leaving.poll_action() {
                assert_eq!(to, castor_at);
                listening.hear(pollux_at, &word.write(), now);
            }
            while let Some(Said::Doubt(from)) = listening.poll_action() {
                master.handle(Event::Farewell(from), now);
                assert_eq!(in_table(&master).len(), 2, "a word alone takes nobody out");
            }
            asked.extend(answer(&mut master, alive, now));
            let Some(next) = leaving.poll_timeout(now) else { break };
            now = next;
            leaving.handle_timeout(now);
        }
        assert_eq!(asked, ["pollux"], "once, however often it is said, and nobody else");
        assert_eq!(in_table(&master).len(), expected, "whoever still answers stays");
    }
}

#[test]
fn a_farewell_from_a_stranger_or_of_a_server_that_is_out_asks_for_nothing() {
    let mut node = castor();
    answer(&mut node, &["castor"], at(1));
    for from in [[192, 168, 0, 77], [192, 168, 0, 238]] {
        node.handle(Event::Farewell(from.into()), at(2));
        assert!(answer(&mut node, &BOTH, at(2)).is_empty());
    }
}

#[test]
fn a_replaced_card_is_learnt_the_old_one_forgotten_and_a_stranger_ignored() {
    let mut node = castor();
    let (lan, back): (LinkName, LinkName) = ("lan".parse().expect("a name"), "back".parse().expect("a name"));
    let mac = |last| Mac([2, 0, 0, 0, 0, last]);
    let pollux = IpAddr::from([192, 168, 0, 238]);
    let mut peers = |link: &LinkName, address: IpAddr, last| -> Vec<Mac> {
        let entry = BTreeSet::from([(link.clone(), address, mac(last))]);
        node.handle(Event::Neighbours(entry), at(1));
        node.plan().guarded.peers.into_iter().map(|(_, mac)| mac).collect()
    };
    let written = Mac([0x52, 0x54, 0, 0, 0, 0x0b]);
    assert_eq!(peers(&lan, pollux, 1), [mac(1), written]);
    assert_eq!(peers(&lan, pollux, 2), [mac(2), written], "the document's stays, the learnt one goes");
    for (link, address) in [
        (&lan, [192, 168, 0, 77]),
        (&lan, [192, 168, 0, 239]),
        (&lan, [192, 168, 0, 236]),
        (&back, [192, 168, 0, 238]),
    ] {
        assert_eq!(peers(link, address.into(), 9), [mac(2), written], "{address:?} on {link}");
    }
    node.handle(Event::Neighbours(BTreeSet::new()), at(2));
    assert_eq!(node.plan().guarded.peers.len(), 2, "an entry that lapses is still right");
}

#[test]
fn a_standby_pings_its_fellow_and_says_who_answers_when_that_changes() {
    let pollux: IpAddr = [192, 168, 0, 238].into();
    let mut node = Node::new(1);
    node.configure(check(STANDBY).expect("right"), "castor".parse().expect("a name"), at(0));
    let mut told = Vec::new();
    for second in 0..6 {
        node.handle(Event::Timeout, at(second * 1000));
        while let Some(action) = node.poll_action() {
            match action {
                Action::Echo(Echo { target, number, .. }) => {
                    assert_eq!(target, pollux);
                    let answered = second == 0 || second == 5;
                    node.handle(Event::Echoed { target, number, answered }, at(second * 1000 + 1));
                }
                Action::Answering(who) => told.push((second, who.contains(&pollux))),
                Action::Check { .. } | Action::HealthChanged { .. } => {}
            }
        }
    }
    assert_eq!(told, [(0, true), (3, false), (5, true)]);
    node.configure(check(PAIR).expect("right"), "castor".parse().expect("a name"), at(9000));
    let last = std::iter::from_fn(|| node.poll_action()).filter(|a| matches!(a, Action::Answering(_))).last();
    assert_eq!(last, Some(Action::Answering(BTreeSet::new())), "another strategy waits for nobody's silence");
}

#[test]
fn a_standby_keeps_its_table_for_a_minute_after_it_yielded() {
    let mut node = Node::new(1);
    node.configure(check(STANDBY).expect("right"), "castor".parse().expect("a name"), at(0));
    answer(&mut node, &BOTH, at(1));
    let id = instance(&node);
    let mut turn = |state, now| {
        node.handle(Event::Vrrp { id: id.clone(), state, silent: None }, at(now));
        node.plan().state.services.len()
    };
    assert_eq!(turn(VrrpState::Backup, 10), 0, "it never was master");
    let master = turn(VrrpState::Master, 20);
    assert!(master > 1, "{master} services");
    assert_eq!(turn(VrrpState::Backup, 1_000), master);
    assert!(node.poll_timeout().is_some_and(|wake| wake <= at(61_000)));
    node.handle(Event::Timeout, at(60_999));
    assert_eq!(node.plan().state.services.len(), master);
    node.handle(Event::Timeout, at(61_000));
    assert_eq!(node.plan().state.services.len(), 0);
}

#[test]
fn a_restarted_engine_keeps_what_is_in_the_table() {
    let mut observed = Observed::default();
    let mut before = castor();
    answer(&mut before, &BOTH, at(1));
    for (service, wanted) in before.plan().state.services {
        let facts = observed.services.entry(service).or_default();
        for key in wanted.destinations.keys() {
            let nothing = crate::reconcile::DestinationFacts { weight: 0, forwarding: None };
            facts.destinations.insert(*key, nothing);
        }
    }
    let mut after = castor();
    after.adopt(&observed, at(2));
    assert_eq!(in_table(&after).len(), 2);
    for second in [2, 3, 6, 9, 12] {
        node_time(&mut after, second);
        answer(&mut after, &["castor"], at(second * 1000));
    }
    assert_eq!(in_table(&after), ["192.168.0.236"], "but not against its checks");
}

fn node_time(node: &mut Node, second: u64) {
    node.handle(Event::Timeout, at(second * 1000));
}

#[test]
fn a_document_that_leaves_a_server_as_it_was_keeps_what_is_known_of_it() {
    let mut node = castor();
    answer(&mut node, &BOTH, at(1));
    let changed =
        check(&PAIR.replace("revision = 1 ", "revision = 2 ").replace("\"rr\"", "\"wrr\"")).expect("right");
    node.configure(changed, "castor".parse().expect("a name"), at(2));
    assert_eq!(in_table(&node).len(), 2);
    let other = check(&PAIR.replace("timeout = \"10s\"", "timeout = \"9s\"")).expect("right");
    node.configure(other, "castor".parse().expect("a name"), at(3));
    assert!(in_table(&node).is_empty(), "another check knows nothing yet");
}
