//! The edge against the kernel that runs the tests, each test in a network namespace of its own. Where that cannot be
//! had, a test says so and passes.
#![expect(clippy::unwrap_used, reason = "a test that cannot set up its world has failed")]

mod world;
mod guard;

use std::collections::BTreeSet;
use std::time::Duration;

use halcyon_core::config::Port;
use halcyon_core::config::types::Mac;
use halcyon_core::plan::state::{KernelState, Link};
use halcyon_core::reconcile::Difference;
use halcyon_kernel::watch::{Change, Changes};
use halcyon_kernel::{Kernel, announce};

use world::{MINE, THEIRS, VIP, desired, in_namespace, kernel, name, reconcile, sh};

#[test]
fn a_bare_box_is_brought_to_the_plan_and_an_idle_look_writes_nothing() {
    in_namespace(async || {
        let (mut kernel, desired) = (kernel(), desired());
        assert!(!reconcile(&mut kernel, &desired).await.ops.is_empty());
        let writes = kernel.writes();
        assert!(writes > 0);

        assert_eq!(reconcile(&mut kernel, &desired).await, Difference::default());
        assert_eq!(kernel.writes(), writes);

        let addresses = sh("ip -o address show dev lan; ip -o address show dev lo; ip route show default");
        for part in [
            "inet 192.0.2.1/24 brd 192.0.2.255",
            "inet 192.0.2.100/32 scope",
            "2001:db8::100/128",
            "via 192.0.2.254",
        ] {
            assert!(addresses.contains(part), "{part} is not in\n{addresses}");
        }
        assert!(sh("ip link show lan").contains("mtu 1400"));
    });
}

#[test]
fn whatever_someone_changes_is_put_back() {
    in_namespace(async || {
        let (mut kernel, desired) = (kernel(), desired());
        reconcile(&mut kernel, &desired).await;
        for (vandal, repair) in [
            ("ip address del 192.0.2.100/32 dev lan", "add virtual address 192.0.2.100/32 on lan"),
            ("ip address add 203.0.113.1/24 dev lan", "delete address 203.0.113.1/24 on lan"),
            ("ip address add 203.0.113.2/32 dev lo", "delete address 203.0.113.2/32 on lo"),
            ("ip -6 address del 2001:db8::100/128 dev lo", "add served address 2001:db8::100/128 on lo"),
            ("ip route del default", "add route 0.0.0.0/0 via 192.0.2.254 on lan"),
            ("ip route replace default via 192.0.2.7", "add route 0.0.0.0/0 via 192.0.2.254 on lan"),
            ("ip route add 10.0.0.0/8 via 192.0.2.8", "delete route 10.0.0.0/8 via 192.0.2.8 on lan"),
            ("echo 0 >/proc/sys/net/ipv4/conf/all/arp_ignore", "set sysctl net.ipv4.conf.all.arp_ignore = 1"),
            ("ip link set lan mtu 1300", "set MTU of lan to 1400"),
            ("ip link set lan name eth7", "rename link eth7 to lan"),
            ("nft flush ruleset", &format!("set packet rules ({})", desired.rules)),
            ("nft add rule inet halcyon input accept", &format!("set packet rules ({})", desired.rules)),
        ] {
            sh(vandal);
            let ops: Vec<_> =
                reconcile(&mut kernel, &desired).await.ops.iter().map(ToString::to_string).collect();
            assert_eq!(ops, [repair], "after {vandal}");
            assert_eq!(reconcile(&mut kernel, &desired).await.ops, [], "after {vandal}");
        }
        // All of a link's routes go when it goes down, and with its last address.
        for vandal in ["ip link set lan down", "ip address flush dev lan"] {
            sh(vandal);
            reconcile(&mut kernel, &desired).await;
            reconcile(&mut kernel, &desired).await;
            assert_eq!(reconcile(&mut kernel, &desired).await, Difference::default(), "after {vandal}");
        }
    });
}

#[test]
fn two_ports_that_are_up_swap_their_names() {
    in_namespace(async || {
        sh(
            "ip link set eth0 name back up && ip link add lan address 02:00:00:00:00:0c up type veth peer name far",
        );
        let mut desired = KernelState::default();
        desired.links.insert(name("lan"), Link { device: Port::Mac(MINE).into(), mtu: None });
        desired
            .links
            .insert(name("back"), Link { device: Port::Mac(Mac([2, 0, 0, 0, 0, 0x0c])).into(), mtu: None });
        let mut kernel = kernel();
        reconcile(&mut kernel, &desired).await;
        assert!(sh("ip link show lan").contains("02:00:00:00:00:0a"));
        assert!(sh("ip link show back").contains("02:00:00:00:00:0c"));
        assert_eq!(reconcile(&mut kernel, &desired).await, Difference::default());
    });
}

#[test]
fn a_restarted_engine_adopts_the_rules_and_their_counters() {
    in_namespace(async || {
        let desired = desired();
        reconcile(&mut kernel(), &desired).await;
        let mut restarted = kernel();
        assert_eq!(reconcile(&mut restarted, &desired).await, Difference::default());

        let mut changed = desired.clone();
        changed.rules.chains[0].rules.pop();
        let mut once_more = kernel();
        assert_eq!(reconcile(&mut once_more, &changed).await.ops.len(), 1, "other rules are not adopted");
        sh("nft add table inet other");
        assert_eq!(reconcile(&mut kernel(), &changed).await.ops.len(), 1, "touched rules are not adopted");
    });
}

#[test]
fn an_announcement_moves_the_address_in_a_neighbours_table() {
    in_namespace(async || {
        sh("ip link set eth0 up");
        // Otherwise the peer's kernel holds on to a fresh entry for a second (arp(7)).
        sh("ip netns exec peer sh -c 'echo 0 >/proc/sys/net/ipv4/neigh/eth0/locktime'");
        sh("ip -n peer neighbour add 192.0.2.100 lladdr 02:00:00:00:00:99 dev eth0 nud reachable");
        let index: u32 = sh("ip -o link show eth0 | cut -d: -f1").trim().parse().unwrap();
        announce::send(index, MINE, &[VIP.into()]).unwrap();
        let neighbour = sh("ip -n peer neighbour show 192.0.2.100");
        assert!(neighbour.contains("02:00:00:00:00:0a"), "{neighbour}");
        assert!(announce::send(4711, MINE, &[VIP.into()]).is_err());
    });
}

#[test]
fn changes_and_neighbours_are_told() {
    in_namespace(async || {
        let mut changes = Changes::open().unwrap();
        sh("ip link set eth0 name lan up && ip address add 192.0.2.1/24 dev lan");
        sh("ip neighbour add 192.0.2.2 lladdr 02:00:00:00:00:0b dev lan nud reachable");
        let mut told = BTreeSet::new();
        let all = BTreeSet::from([Change::Link, Change::Address, Change::Route, Change::Neighbour]);
        while told != all {
            told.extend(tokio::time::timeout(Duration::from_secs(5), changes.next()).await.unwrap().unwrap());
        }
        let mut kernel = kernel();
        let neighbours = kernel.neighbours(&name("lan")).await.unwrap();
        assert!(neighbours.contains(&([192, 0, 2, 2].into(), THEIRS)), "{neighbours:?}");
        assert_eq!(kernel.neighbours(&name("none")).await.unwrap(), []);
    });
}
