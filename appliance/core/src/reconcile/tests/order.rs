//! In which order a box is brought up, takes over and lets go, and what waits when a step before it fails.

use super::*;

#[test]
fn a_booted_box_becomes_master_in_the_safe_order() {
    let difference = diff(&master(), &booted());
    assert_eq!(
        sentences(&difference.ops),
        [
            "set sysctl net.ipv4.conf.all.arp_ignore = 1",
            "set sysctl net.ipv4.conf.all.promote_secondaries = 1",
            "set packet rules (1 in 1 chains)",
            "rename link eth0 to lan",
            "set link lan up",
            "add address 192.0.2.1/24 on lan",
            "add route 0.0.0.0/0 via 192.0.2.254 on lan",
            "add service mark 7, rr",
            "add server 192.0.2.1:0 to mark 7, weight 100",
            "add server 192.0.2.2:0 to mark 7, weight 0",
            "add service tcp 192.0.2.100:80, rr",
            "add server 192.0.2.1:80 to tcp 192.0.2.100:80, weight 1",
            "add server 192.0.2.2:80 to tcp 192.0.2.100:80, weight 1",
            "add served address 192.0.2.100/32 on lo",
            "start sync master 51 on lan",
            "start sync backup 51 on lan",
            "add virtual address 192.0.2.100/32 on lan",
        ]
    );
    assert_eq!(difference.unmet, []);
}

#[test]
fn a_booted_box_is_on_the_wire_before_its_rules_and_one_that_balances_or_shares_is_not() {
    let early = groundwork(&master(), &booted());
    assert!(early.iter().any(|op| matches!(op, Op::AddAddress { .. })));
    for op in &early {
        assert!(!matches!(op, Op::SetRules(_)), "{op}");
        assert!(
            !matches!(op, Op::AddAddress { address, .. } if address.role != AddressRole::Own),
            "{op} draws traffic"
        );
    }
    let later = diff(&master(), &after(&booted(), &early)).ops;
    assert!(matches!(later[0], Op::SetRules(_)), "{}", later[0]);

    let mut balancing = booted();
    balancing.services.insert(service(80), ServiceFacts::default());
    let mut sharing = booted();
    sharing.addresses.insert((2, cidr(VIP, 24)));
    for state in [balancing, sharing] {
        assert_eq!(groundwork(&master(), &state), []);
    }
}

#[test]
fn a_takeover_purges_the_dead_server_before_it_claims_the_address() {
    let mut backup = master();
    backup.addresses.retain(|a| a.role != AddressRole::Virtual);
    let running = after(&booted(), &diff(&backup, &booted()).ops);

    let mut alone = master();
    alone.services.insert(MARK, scheduled([(1, 0, 100)]));
    alone.services.insert(service(80), scheduled([(1, 80, 1)]));
    assert_eq!(
        sentences(&diff(&alone, &running).ops),
        [
            "delete server 192.0.2.2:80 of tcp 192.0.2.100:80",
            "delete server 192.0.2.2:0 of mark 7",
            "add virtual address 192.0.2.100/32 on lan",
        ]
    );
}

#[test]
fn a_demotion_lets_go_of_the_address_first() {
    let running = after(&booted(), &diff(&master(), &booted()).ops);
    let mut gone = master();
    gone.addresses.retain(|a| a.role != AddressRole::Virtual);
    gone.services.remove(&service(80));
    gone.services.remove(&MARK);
    gone.rules = Rules::default();
    assert_eq!(
        sentences(&diff(&gone, &running).ops),
        [
            "delete address 192.0.2.100/32 on lan",
            "delete service tcp 192.0.2.100:80",
            "set packet rules (0 in 0 chains)",
            "delete service mark 7",
        ]
    );
}

#[test]
fn what_draws_traffic_waits_for_its_guard() {
    let ops = diff(&master(), &booted()).ops;
    let held_up_by = |failed: &str| -> Vec<String> {
        let failed = ops.iter().find(|op| op.to_string().starts_with(failed)).unwrap();
        ops.iter().filter(|op| op.depends_on(failed)).map(ToString::to_string).collect()
    };
    let service = "add service tcp 192.0.2.100:80, rr";
    let served = "add served address 192.0.2.100/32 on lo";
    let claim = "add virtual address 192.0.2.100/32 on lan";
    assert_eq!(held_up_by("set packet rules"), [service, served, claim]);
    assert_eq!(held_up_by("add service mark 7"), [service, claim]);
    assert_eq!(held_up_by("add server 192.0.2.1:0 to mark 7"), [service, claim]);
    assert_eq!(held_up_by("set sysctl net.ipv4.conf.all.arp_ignore"), [served]);
    assert_eq!(held_up_by("start sync master"), [""; 0]);
    assert_eq!(held_up_by("add service tcp"), [""; 0]);
}
