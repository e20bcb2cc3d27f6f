//! Boxes on a virtual wire with loss, delay and partitions, all from a seed: whatever happened, once the wire is whole
//! again there is one master, the right one, within the time that the protocol promises.

#![expect(clippy::unwrap_used, reason = "helpers of tests; a test that cannot go on fails")]

mod cluster;
mod history;

use std::time::Duration;

use cluster::{Cluster, WIRE};
use halcyon_core::plan::VrrpState;
use halcyon_core::vrrp::machine::Event;
use halcyon_core::vrrp::why::Why;
use halcyon_core::vrrp::wire::{Authentication, Coverage, Form};

const V3: Form = Form::V3 { checksum: Coverage::Message };
const SECOND: Duration = Duration::from_secs(1);

fn v2() -> Form {
    Form::V2 { authentication: Authentication::password("1111") }
}

/// The ways a pair is run: version and interval.
fn ways() -> [(Form, Duration); 4] {
    [(v2(), SECOND), (V3, SECOND / 10), (V3, SECOND / 100), (V3, SECOND * 40)]
}

#[test]
fn boxes_that_start_together_agree_on_the_highest_priority() {
    for (form, interval) in ways() {
        for priorities in [&[100, 99][..], &[1, 254], &[50, 50, 50], &[10, 200, 100, 99, 98]] {
            let mut cluster = Cluster::settled(1, form, interval, priorities);
            assert_eq!(cluster.masters(), [cluster.rightful()], "{priorities:?} {interval:?}");
            let before = cluster.changes();
            cluster.run(interval * 1000);
            assert_eq!(before, cluster.changes(), "and nothing changes after that");
        }
    }
}

#[test]
fn a_dead_master_is_replaced_within_master_down_interval() {
    for (form, interval) in ways() {
        for seed in 1..50 {
            let mut cluster = Cluster::settled(seed, form, interval, &[100, 99, 50]);
            let pause = cluster.chance(u64::try_from(interval.as_micros()).unwrap());
            cluster.run(Duration::from_micros(pause));
            cluster.kill(0);
            let killed = cluster.now;
            cluster.run(cluster.down());
            assert_eq!(cluster.masters(), [1]);
            let (at, state, why, silent) = cluster.nodes[1].changes.last().unwrap();
            assert_eq!((*state, *silent), (VrrpState::Master, Some(cluster.nodes[0].address)));
            assert!(matches!(why, Why::Silent { .. }), "{why:?}");
            let waits = cluster.nodes[1].instance.settings().master_down(interval);
            assert!(at.since(killed) <= waits + WIRE, "{interval:?}: {:?}", at.since(killed));
            // The old master returns and is master again, with nobody suspected.
            cluster.boot(0);
            cluster.run(cluster.bound());
            assert_eq!(cluster.masters(), [0]);
            assert_eq!(cluster.nodes[0].changes.last().unwrap().3, None);
        }
    }
}

#[test]
fn a_master_that_stops_in_order_is_replaced_in_skew_time() {
    for (form, interval) in ways() {
        let mut cluster = Cluster::settled(1, form, interval, &[100, 99, 50]);
        let stopped = cluster.now;
        cluster.tell(0, Event::Stop);
        cluster.nodes[0].alive = false;
        cluster.run(cluster.down());
        assert_eq!(cluster.masters(), [1]);
        let (at, _, why, silent) = cluster.nodes[1].changes.last().unwrap();
        assert!(at.since(stopped) <= cluster.nodes[1].instance.settings().skew(interval) + WIRE);
        assert_eq!((*why, *silent), (Why::Left { master: cluster.nodes[0].address }, None));
    }
}

#[test]
fn a_hand_over_leaves_no_moment_without_a_master_and_lasts() {
    for (form, interval) in ways() {
        let mut cluster = Cluster::settled(1, form, interval, &[100, 99]);
        cluster.tell(0, Event::HandOver);
        let end = cluster.now + cluster.down();
        while cluster.step(end) {
            assert!(!cluster.masters().is_empty());
        }
        assert_eq!(cluster.masters(), [1]);
        cluster.run(interval * 1000);
        assert_eq!(cluster.masters(), [1], "the higher priority does not come back");
        // Until its heir dies.
        cluster.kill(1);
        cluster.run(cluster.down() + WIRE);
        assert_eq!(cluster.masters(), [0]);
    }
}

#[test]
fn after_a_masters_pause_one_interval_settles_who_is_master() {
    for (form, interval) in ways() {
        for (paused, heir) in [(0, 1), (1, 0)] {
            // The higher priority pauses and takes its addresses back at once; or the lower one, which was master only
            // because the higher one came up late, hears of that before it speaks.
            let mut cluster = Cluster::settled(1, form, interval, &[100, 99]);
            cluster.nodes[0].paused_until = cluster.now + cluster.down() * 3;
            cluster.run(cluster.down() * 3 - WIRE);
            assert_eq!(cluster.nodes[1].instance.state(), VrrpState::Master);
            if paused == 1 {
                cluster.nodes[1].paused_until = cluster.now + cluster.down() * 3;
                cluster.run(cluster.down() * 3 - WIRE);
                assert_eq!(cluster.nodes[heir].instance.state(), VrrpState::Master);
            }
            cluster.run(interval + WIRE * 4);
            assert_eq!(cluster.masters(), [0]);
        }
    }
}
