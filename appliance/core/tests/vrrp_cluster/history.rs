//! What can go wrong, in any order and at any time; and that there is one master afterwards.

use std::time::Duration;

use halcyon_core::vrrp::machine::{Event, Link};
use proptest::prelude::*;

use super::cluster::Cluster;
use super::ways;

/// One thing that goes wrong.
#[derive(Clone, Debug)]
enum Trouble {
    Loss(u8),
    Delay(u16),
    Partition(Vec<u8>),
    Kill(usize),
    Boot(usize),
    Pause(usize, u16),
    Unplug(usize),
    Plug(usize),
    HandOver(usize),
    Stop(usize),
}

fn trouble() -> impl Strategy<Value = Trouble> {
    let node = 0usize..4;
    prop_oneof![
        any::<u8>().prop_map(Trouble::Loss),
        (0u16..400).prop_map(Trouble::Delay),
        prop::collection::vec(0u8..3, 4).prop_map(Trouble::Partition),
        node.clone().prop_map(Trouble::Kill),
        node.clone().prop_map(Trouble::Boot),
        (node.clone(), 1u16..600).prop_map(|(node, percent)| Trouble::Pause(node, percent)),
        node.clone().prop_map(Trouble::Unplug),
        node.clone().prop_map(Trouble::Plug),
        node.clone().prop_map(Trouble::HandOver),
        node.prop_map(Trouble::Stop),
    ]
}

impl Cluster {
    fn befall(&mut self, trouble: &Trouble) {
        let interval = self.nodes[0].instance.settings().interval;
        match *trouble {
            Trouble::Loss(loss) => self.loss = loss,
            Trouble::Delay(percent) => self.delay = interval * u32::from(percent) / 100,
            Trouble::Partition(ref groups) => self.group = groups.iter().copied().enumerate().collect(),
            Trouble::Kill(node) => self.kill(node),
            Trouble::Boot(node) if !self.nodes[node].alive => self.boot(node),
            Trouble::Pause(node, percent) => {
                self.nodes[node].paused_until = self.now + interval * u32::from(percent) / 100;
            }
            Trouble::Unplug(node) if self.nodes[node].alive => self.tell(node, Event::Link(Link::Down)),
            Trouble::Plug(node) if self.nodes[node].alive => self.boot(node),
            Trouble::HandOver(node) if self.nodes[node].alive => self.tell(node, Event::HandOver),
            Trouble::Stop(node) if self.nodes[node].alive => {
                self.tell(node, Event::Stop);
                self.kill(node);
            }
            Trouble::Boot(_)
            | Trouble::Unplug(_)
            | Trouble::Plug(_)
            | Trouble::HandOver(_)
            | Trouble::Stop(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// After any history, once the wire is whole and every box runs: one master within the bound, of the highest
    /// priority (among equals whoever it was: a backup does not preempt its equal), and no change after that.
    #[test]
    fn after_every_history_there_is_one_master(
        seed in any::<u64>(),
        way in 0usize..4,
        priorities in prop::collection::vec(prop_oneof![1u8..=254, 99u8..=101], 4),
        history in prop::collection::vec((0u32..500, trouble()), 0..40),
    ) {
        let (form, interval) = ways()[way];
        let mut cluster = Cluster::new(seed, form, interval, &priorities);
        for (percent, trouble) in &history {
            cluster.befall(trouble);
            cluster.run(interval * *percent / 100);
        }
        // What was delayed may still be on the wire: heal, and let it arrive.
        cluster.loss = 0;
        cluster.group.clear();
        let longest = cluster.delay + interval * 6;
        cluster.delay = Duration::ZERO;
        for node in 0..cluster.nodes.len() {
            cluster.nodes[node].paused_until = cluster.now;
            cluster.boot(node);
            cluster.tell(node, Event::Release);
        }
        cluster.run(longest);
        // A hand-over that was under way may have ended by now, with a hold of its own.
        for node in 0..cluster.nodes.len() {
            cluster.tell(node, Event::Release);
        }
        cluster.run(cluster.bound());
        let masters = cluster.masters();
        prop_assert_eq!(masters.len(), 1);
        prop_assert_eq!(
            cluster.nodes[masters[0]].instance.settings().priority,
            cluster.nodes[cluster.rightful()].instance.settings().priority
        );
        let before = cluster.changes();
        cluster.run(interval * 100);
        prop_assert_eq!(cluster.changes(), before);
    }
}
