//! A simulated cluster of the real core: VRRP instances, nodes, planner and reconciler over kernels in memory that take
//! one operation at a time, on a wire with loss, delay and partitions, under power cuts, reboots, engine crashes and
//! stalls, dying applications, failing operations, hand-overs and documents of different generations on different boxes.
//! Clients' packets walk through what the kernels hold at that moment and leave entries behind, which are synchronised,
//! lost, late or stale. After every change the promises are judged for every conversation, entering anywhere.
//!
//! All from a seed; a violation tells it, the events before it and the packet's way. `HALCYON_EVENTS` sets the number
//! of events (default two million).

mod faults;
mod machine;
mod traffic;
mod world;

use crate::mutations;
use world::{Violation, World};

/// Events that are spent on each seed.
const PER_SEED: u64 = 20_000;

fn events() -> u64 {
    option_env!("HALCYON_EVENTS").and_then(|text| text.parse().ok()).unwrap_or(2_000_000)
}

fn tell(violation: &Violation) -> String {
    let Violation { seed, at, events, finding, history } = violation;
    format!("seed {seed}, event {events}, {at}:\n{}\n{finding}", history.join("\n"))
}

#[test]
fn under_any_faults_the_promises_hold() {
    let (mut spent, mut judged) = (0, 0);
    let mut seed = 1;
    while spent < events() {
        let mut world = World::new(seed, if seed % 4 == 0 { 3 } else { 2 }, None);
        world.run(PER_SEED);
        if let Some(violation) = &world.violation {
            panic!("{}", tell(violation));
        }
        spent += world.events;
        judged += world.judgements;
        seed += 1;
    }
    println!("{spent} events of {} seeds, {judged} judgements", seed - 1);
}

/// The violation that a mutation leads to first, among a few seeds.
pub(crate) fn find(mutation: &'static mutations::Mutation) -> Option<String> {
    (1..8).find_map(|seed| {
        let mut world = World::new(seed, 2, Some(mutation));
        world.run(PER_SEED);
        let violation = world.violation?;
        Some(format!("seed {}, event {}: {}", violation.seed, violation.events, violation.finding))
    })
}
