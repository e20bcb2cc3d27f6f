//! What the planner promises, told on a co-located pair.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::rules::Rules;
use super::rules::{Chain, Condition, CounterName, Mark, Readdress, Rule, Verdict};
use super::state::{Address, AddressRole, Destination, Virtual};
use super::*;
use crate::config::check::check;
use crate::config::types::Cidr;
use crate::config::{Forwarding, Protocol};

const PAIR: &str = include_str!("../../../../examples/pair.toml");

fn pair() -> Config {
    check(PAIR).expect("the example is right")
}

fn name(text: &str) -> MemberName {
    text.parse().expect("a member's name")
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// What a member sees when both servers are healthy and it is in `state`.
fn healthy(config: &Config, state: VrrpState) -> View {
    let mut view = View::default();
    for id in config.vrrp.keys() {
        view.vrrp.insert(id.clone(), state);
    }
    for service in config.services.values() {
        for server in service.servers.keys() {
            view.health.insert((service.name.clone(), server.clone()), Health::Up);
        }
    }
    view
}

fn pos() -> Virtual {
    Virtual::Address { protocol: Protocol::Tcp, address: ip("192.168.0.239"), port: 8898 }
}

fn forwarded() -> Virtual {
    Virtual::Mark { mark: HERE, ipv6: false }
}

#[test]
fn no_vrrp_state_touches_the_ipvs_table_or_the_guard() {
    let config = pair();
    for me in ["castor", "pollux"] {
        let states = [VrrpState::Init, VrrpState::Backup, VrrpState::Master, VrrpState::Fault];
        let plans = states.map(|state| plan(&config, &name(me), &healthy(&config, state)).state);
        for other in &plans[1..] {
            assert_eq!(plans[0].services, other.services);
            assert_eq!(plans[0].rules, other.rules);
            assert_eq!(plans[0].sysctls, other.sysctls);
            assert_eq!(plans[0].sync, other.sync);
        }
    }
}

#[test]
fn both_boxes_carry_the_same_table_and_differ_in_whom_the_mark_favours() {
    let config = pair();
    let view = healthy(&config, VrrpState::Backup);
    let castor = plan(&config, &name("castor"), &view).state;
    let pollux = plan(&config, &name("pollux"), &view).state;
    assert_eq!(castor.services[&pos()], pollux.services[&pos()]);

    let weights = |state: &KernelState| {
        let destinations = &state.services[&forwarded()].destinations;
        [ip("192.168.0.236"), ip("192.168.0.238")].map(|address| destinations[&(address, 0)].weight)
    };
    assert_eq!(weights(&castor), [100, 0]);
    assert_eq!(weights(&pollux), [0, 100]);
}

#[test]
fn the_virtual_address_is_on_the_wire_as_master_only_and_on_the_loopback_always() {
    let config = pair();
    let vip = Cidr::host(ip("192.168.0.239"));
    let lan = config.vrrp.keys().next().expect("one instance").interface.clone();
    for (state, on_the_wire) in
        [(VrrpState::Master, true), (VrrpState::Backup, false), (VrrpState::Fault, false)]
    {
        let addresses = plan(&config, &name("castor"), &healthy(&config, state)).state.addresses;
        let virtual_ = Address { link: Some(lan.clone()), cidr: vip, role: AddressRole::Virtual };
        assert_eq!(addresses.contains(&virtual_), on_the_wire, "{state:?}");
        assert!(
            addresses.contains(&Address { link: None, cidr: vip, role: AddressRole::Served }),
            "{state:?}"
        );
    }
}

#[test]
fn only_a_healthy_server_is_in_the_table_and_this_box_never_leaves_its_mark() {
    let config = pair();
    let service: ServiceName = "pos".parse().expect("a service's name");
    for health in [Health::Unknown, Health::Down, Health::Suspect] {
        for (dead, address) in [("castor", "192.168.0.236"), ("pollux", "192.168.0.238")] {
            let mut view = healthy(&config, VrrpState::Master);
            view.health.insert((service.clone(), ServerName(dead.into())), health);
            let state = plan(&config, &name("castor"), &view).state;
            let table = &state.services[&pos()].destinations;
            assert!(!table.contains_key(&(ip(address), 8898)), "{dead} is {health:?}");
            assert_eq!(table.len(), 1);
            let mine = state.services[&forwarded()].destinations[&(ip("192.168.0.236"), 0)];
            assert_eq!(mine, Destination { weight: 100, forwarding: Forwarding::Direct });
        }
    }
}

#[test]
fn the_guard_knows_the_fellow_by_document_and_by_neighbour_table_and_nobody_else() {
    let config = pair();
    let lan: LinkName = "lan".parse().expect("a link's name");
    let mut view = healthy(&config, VrrpState::Backup);
    let learned = Mac([2, 0, 0, 0, 0, 9]);
    view.neighbours.insert(name("pollux"), BTreeSet::from([(lan.clone(), learned)]));
    let plan = plan(&config, &name("castor"), &view);
    let written = Mac([0x52, 0x54, 0, 0, 0, 0x0b]);
    assert_eq!(plan.guarded.peers, BTreeSet::from([(lan.clone(), learned), (lan.clone(), written)]));
    assert_eq!(plan.guarded.services, BTreeSet::from([(ip("192.168.0.239"), Protocol::Tcp, 8898)]));

    let macs = BTreeSet::from([learned, written]);
    let rules = &plan.state.rules;
    let from_pollux = Rule::when([Condition::SourceMac(macs.clone())]);
    assert_eq!(chain(rules, "origin").rules[0], from_pollux.then(Verdict::Jump("forwarded")));
    let itself = [Condition::SourceMac(macs), Condition::Source([Cidr::host(ip("192.168.0.238"))].into())];
    let jump = |chain| Rule::when([]).then(Verdict::Jump(chain));
    let forwarded = [Rule::when(itself).then(Verdict::Return), jump("detour"), jump("lastword")];
    assert_eq!(chain(rules, "forwarded").rules, forwarded);
    for (name, counter, verdict) in [
        ("detour", CounterName::Delivered, Verdict::Accept),
        ("lastword", CounterName::Dropped, Verdict::Drop),
    ] {
        let ends = chain(rules, name).rules.iter().map(|rule| (rule.counter, rule.verdict));
        assert_eq!(Vec::from_iter(ends), [(Some(counter), Some(verdict)); 2], "{name}");
    }
}

/// Solicitations of neighbours come to the virtual address itself, from addresses that no document names.
#[test]
fn the_last_word_is_about_what_ipvs_forwards_and_nothing_else() {
    let rules = plan(&pair(), &name("castor"), &View::default()).state.rules;
    let vips = Condition::Destination([Cidr::host(ip("192.168.0.239"))].into());
    let dropped: Vec<_> = chain(&rules, "lastword").rules.iter().map(|rule| &rule.conditions[..]).collect();
    let transports = [vips.clone(), Condition::Protocol([6, 17, 132].into())];
    assert_eq!(dropped, [&transports[..], &[vips, Condition::Icmp([3, 11].into())]]);
}

/// It forwards nothing, so what a director sends to it must reach its sockets.
#[test]
fn a_member_that_directs_nothing_has_no_guard() {
    let real_server = PAIR
        .replace(
            "name = \"pollux\"\nroles = [\"director\", \"real-server\"]",
            "name = \"pollux\"\nroles = [\"real-server\"]",
        )
        .replace("\npriority = 99", "");
    let config = check(&real_server).expect("right");
    let rules = plan(&config, &name("pollux"), &View::default()).state.rules;
    assert!(rules.chains.iter().all(|chain| chain.name == "input"), "{rules:?}");
}

#[test]
fn what_a_fellow_forwarded_goes_past_ipvs_under_the_boxs_own_address_and_comes_back_behind_it() {
    let (_, service) = PAIR.split_at(PAIR.find("[[service]]").expect("the example has a service"));
    let (service, _) = service.split_at(service.find("[observe]").expect("and an observer"));
    let web = service
        .replace("\"pos\"", "\"web\"")
        .replace("192.168.0.239", "192.168.0.240")
        .replace("8898", "443");
    let two = PAIR
        .replace("[\"192.168.0.239/24\"]", "[\"192.168.0.239/24\", \"192.168.0.240/24\"]")
        .replace("[observe]", &(web + "[observe]"));
    let config = check(&two).expect("right");
    let rules = plan(&config, &name("pollux"), &healthy(&config, VrrpState::Backup)).state.rules;
    let to = |address: &str| Condition::Destination([Cidr::host(ip(address))].into());
    let mut out = Vec::new();
    let mut back = Vec::new();
    for (mark, vip, port) in [(0x200, "192.168.0.239", 8898), (0x201, "192.168.0.240", 443)] {
        let what = vec![to(vip), Condition::Port(Protocol::Tcp, [port].into())];
        let own = ip("192.168.0.238");
        out.push((what, Some(Mark::Is(mark)), Some(Readdress::Destination(own))));
        let errors = || Condition::Icmp([3, 11].into());
        let error = vec![to(vip), errors(), Condition::Quotes(ip(vip))];
        out.push((error, Some(Mark::Is(mark)), Some(Readdress::QuotedSource(own))));
        let marked = || Condition::Marked([mark].into());
        back.push((vec![marked(), to("192.168.0.238")], None, Some(Readdress::Destination(ip(vip)))));
        let error = vec![marked(), errors(), Condition::Quotes(own)];
        back.push((error, None, Some(Readdress::QuotedSource(ip(vip)))));
    }
    let told = |name| {
        let rules = chain(&rules, name).rules.iter();
        rules.map(|r| (r.conditions.clone(), r.mark.clone(), r.readdress)).collect::<Vec<_>>()
    };
    assert_eq!(told("detour"), out);
    assert_eq!(told("delivered"), back);
    let behind = chain(&rules, "delivered").base.expect("it hangs in the packet's way");
    assert!(behind.priority > 99, "IPVS is at 99: {behind:?}");
    let input = chain(&rules, "input");
    assert_eq!(input.rules[0], Rule::when([]).then(Verdict::Jump("origin")), "before anything is refused");
    assert!(input.base.expect("it hangs there, too").priority < 99);
}

fn chain<'r>(rules: &'r Rules, name: &str) -> &'r Chain {
    rules.chains.iter().find(|chain| chain.name == name).expect("the chain is there")
}

#[test]
fn what_one_fellow_asks_for_and_another_forwards_is_the_others_frame() {
    let member = "[[member]]\nname = \"helen\"\nroles = [\"director\", \"real-server\"]\npriority = 98\n\
        [[member.interface]]\nname = \"lan\"\nmac = \"52:54:00:00:00:0c\"\naddresses = [\"192.168.0.240/24\"]\n\n[[vrrp]]";
    let config = check(&PAIR.replace("[[vrrp]]", member)).expect("right");
    let rules = plan(&config, &name("castor"), &healthy(&config, VrrpState::Backup)).state.rules;
    let exempt: Vec<&[Condition]> = chain(&rules, "forwarded")
        .rules
        .iter()
        .filter(|rule| rule.verdict == Some(Verdict::Return))
        .map(|rule| &rule.conditions[..])
        .collect();
    let own = |mac, address| {
        let mac = Mac([0x52, 0x54, 0, 0, 0, mac]);
        vec![Condition::SourceMac([mac].into()), Condition::Source([Cidr::host(ip(address))].into())]
    };
    assert_eq!(exempt, [&own(0x0c, "192.168.0.240")[..], &own(0x0b, "192.168.0.238")[..]]);
}

#[test]
fn the_input_filter_opens_what_the_document_needs_and_nothing_more() {
    let config = pair();
    let plan = plan(&config, &name("castor"), &healthy(&config, VrrpState::Backup));
    let open = reasons(&plan, "input filter: ");
    assert_eq!(
        open,
        [
            "ping",
            "tcp 8898 to 192.168.0.239/32",
            "tcp 8898 from 192.168.0.238/32 to 192.168.0.236/32",
            "tcp 9780 on lan from 192.168.0.0/24 to 192.168.0.236/32",
            "VRRP on lan from 192.168.0.238/32",
            "connection synchronisation on lan from 192.168.0.238/32",
            "udp 9781 on lan from 192.168.0.238/32 to 192.168.0.236/32",
        ]
    );
}

#[test]
fn a_box_that_is_no_member_gets_nothing_but_a_closed_door() {
    let plan = plan(&pair(), &name("helen"), &View::default());
    assert_eq!(reasons(&plan, "input filter: "), ["ping"]);
    let [input] = &plan.state.rules.chains[..] else { panic!("one chain") };
    let base = input.base.expect("it hangs in the packet's way");
    assert_eq!(base.policy, super::rules::Policy::Drop);
    let opened = input.rules.iter().any(|rule| {
        rule.conditions.iter().any(|c| matches!(c, Condition::Port(..) | Condition::Destination(_)))
    });
    assert!(!opened);
    let mut nothing_else = plan.state;
    nothing_else.rules.chains.clear();
    assert_eq!(nothing_else, KernelState::default());
}

/// What the planner's reasons that begin with `kind` are about.
fn reasons(plan: &Plan, kind: &str) -> Vec<String> {
    plan.reasons.iter().filter_map(|r| r.item.strip_prefix(kind)).map(ToOwned::to_owned).collect()
}

#[test]
fn every_item_of_the_state_has_its_reason() {
    let config = pair();
    let plan = plan(&config, &name("castor"), &healthy(&config, VrrpState::Master));
    for item in [
        "address 192.168.0.239/32 on lan",
        "address 192.168.0.239/32 on lo",
        "server castor of pos",
        "mark 7",
    ] {
        assert!(plan.reasons.iter().any(|r| r.item.starts_with(item) && !r.why.is_empty()), "{item}");
    }
}

#[test]
fn a_leaving_box_refuses_its_fellows_checks_and_serves_on() {
    let config = pair();
    let mut view = healthy(&config, VrrpState::Master);
    let before = plan(&config, &name("castor"), &view);
    view.leaving = true;
    let after = plan(&config, &name("castor"), &view);
    assert_eq!(
        reasons(&after, "input filter refuses: "),
        ["tcp 8898 from 192.168.0.238/32 to 192.168.0.236/32"]
    );
    let resets = |plan: &Plan| {
        chain(&plan.state.rules, "input").rules.iter().filter(|r| r.verdict == Some(Verdict::Reset)).count()
    };
    assert_eq!((resets(&before), resets(&after)), (0, 1));
    assert_eq!(after.state.services, before.state.services);
}

/// The example with its virtual router and service in IPv6, and members and gateway as each of `beside` has it.
fn ipv6_pair(beside: [(&str, &str); 3]) -> Config {
    let ipv6 = [("[\"192.168.0.239/24\"]", "[\"fd00::239/64\"]"), ("\"192.168.0.239\"", "\"fd00::239\"")];
    let replaced = |text: String, (written, here): (&str, &str)| text.replace(written, here);
    let document = ipv6.into_iter().chain(beside).fold(PAIR.to_owned(), replaced);
    check(&document).expect("IPv6 is as good")
}

#[test]
fn a_service_over_ipv6_is_planned_as_one_over_ipv4() {
    let config = ipv6_pair([
        ("\"192.168.0.236/24\"", "\"192.168.0.236/24\", \"fd00::236/64\""),
        ("\"192.168.0.238/24\"", "\"192.168.0.238/24\", \"fd00::238/64\""),
        ("gateway = \"192.168.0.1\"", "gateway = [\"192.168.0.1\", \"fe80::1\"]"),
    ]);
    let plan = plan(&config, &name("castor"), &healthy(&config, VrrpState::Master));
    let state = plan.state;
    let service = Virtual::Address { protocol: Protocol::Tcp, address: ip("fd00::239"), port: 8898 };
    let servers: Vec<IpAddr> = state.services[&service].destinations.keys().map(|server| server.0).collect();
    assert_eq!(servers, [ip("fd00::236"), ip("fd00::238")], "a member is reached in the service's family");
    let forwarded = &state.services[&Virtual::Mark { mark: HERE, ipv6: true }].destinations;
    assert_eq!(forwarded[&(ip("fd00::236"), 0)].weight, 100);
    assert_eq!(forwarded[&(ip("fd00::238"), 0)].weight, 0);
    let vip = Cidr::host(ip("fd00::239"));
    assert!(state.addresses.contains(&Address { link: None, cidr: vip, role: AddressRole::Served }));
    assert!(state.addresses.iter().any(|a| a.cidr == vip && a.role == AddressRole::Virtual));
    let routes: Vec<String> =
        state.routes.iter().map(|route| format!("{} via {}", route.to, route.via)).collect();
    assert_eq!(routes, ["0.0.0.0/0 via 192.168.0.1", "::/0 via fe80::1"]);
    let filter: Vec<&str> = plan.reasons.iter().map(|reason| reason.item.as_str()).collect();
    assert!(filter.contains(&"input filter: VRRP on lan from fe80::/10 to ff02::12/128"), "{filter:?}");
    assert!(filter.contains(&"input filter: tcp 8898 to fd00::239/128"), "{filter:?}");
}

#[test]
fn directors_without_an_ipv4_address_do_without_synchronisation() {
    let config = ipv6_pair([
        ("192.168.0.236/24", "fd00::236/64"),
        ("192.168.0.238/24", "fd00::238/64"),
        ("gateway = \"192.168.0.1\"", "gateway = \"fd00::1\""),
    ]);
    let plan = plan(&config, &name("castor"), &healthy(&config, VrrpState::Backup));
    assert!(plan.state.sync.is_empty());
    assert!(plan.reasons.iter().any(|reason| reason.item == "no synchronisation on lan"));
}
