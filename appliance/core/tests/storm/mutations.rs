//! Protections, each taken out of what a kernel does: the proof that the explorations would see its absence.

use halcyon_core::plan::rules::{Condition, Hook, Rule, Verdict};
use halcyon_core::plan::state::{KernelState, Virtual};

/// One protection that is not there.
pub(crate) struct Mutation {
    /// Which.
    pub(crate) name: &'static str,
    /// Takes it out of what the kernel of one box holds.
    pub(crate) apply: fn(&mut KernelState),
}

/// All of them.
pub(crate) const ALL: [Mutation; 10] = [
    Mutation { name: "the mark of forwarded frames", apply: no_mark },
    Mutation { name: "the service of the mark", apply: no_mark_service },
    Mutation { name: "weight 0 for the others", apply: equal_weights },
    Mutation { name: "the way past IPVS", apply: no_way_past },
    Mutation { name: "the way back behind it", apply: no_way_back },
    Mutation { name: "the last word", apply: no_last_word },
    Mutation { name: "the fellows' MACs", apply: no_macs },
    Mutation { name: "all packet rules", apply: |state| state.rules.chains.clear() },
    Mutation { name: "expire_nodest_conn", apply: |state| sysctl(state, "expire_nodest_conn", "0") },
    Mutation { name: "backup_only off", apply: |state| sysctl(state, "backup_only", "1") },
];

fn sysctl(state: &mut KernelState, name: &str, value: &str) {
    state.sysctls.insert(format!("net/ipv4/vs/{name}"), value.into());
}

fn mark_services(state: &KernelState) -> Vec<Virtual> {
    state.services.keys().filter(|s| matches!(s, Virtual::Mark { .. })).copied().collect()
}

fn no_mark_service(state: &mut KernelState) {
    for service in mark_services(state) {
        state.services.remove(&service);
    }
}

fn equal_weights(state: &mut KernelState) {
    for service in mark_services(state) {
        let destinations = &mut state.services.get_mut(&service).expect("it was just seen").destinations;
        destinations.values_mut().for_each(|d| d.weight = 100);
    }
}

/// The marks that come with a MAC: those of the chains that a condition on it leads to.
fn no_mark(state: &mut KernelState) {
    for rule in behind_mac(state) {
        rule.mark = None;
    }
}

/// Chains write no destination that a condition on a MAC leads to.
fn no_way_past(state: &mut KernelState) {
    for rule in behind_mac(state) {
        rule.destination = None;
    }
}

/// Nothing is readdressed behind IPVS, which is at 99 in local input.
fn no_way_back(state: &mut KernelState) {
    for chain in &mut state.rules.chains {
        if chain.base.is_some_and(|base| base.hook == Hook::Input && base.priority > 99) {
            chain.rules.iter_mut().for_each(|rule| rule.destination = None);
        }
    }
}

fn no_last_word(state: &mut KernelState) {
    let on_output = |c: &halcyon_core::plan::rules::Chain| c.base.is_some_and(|b| b.hook == Hook::Output);
    state.rules.chains.retain(|chain| !on_output(chain));
}

fn no_macs(state: &mut KernelState) {
    for rule in state.rules.chains.iter_mut().flat_map(|chain| &mut chain.rules) {
        for condition in &mut rule.conditions {
            if let Condition::SourceMac(macs) = condition {
                macs.clear();
            }
        }
    }
}

/// The rules of the chains that conditions on MACs lead to.
fn behind_mac(state: &mut KernelState) -> impl Iterator<Item = &mut Rule> {
    let macs = |condition: &Condition| matches!(condition, Condition::SourceMac(_));
    let rules = state.rules.chains.iter().flat_map(|chain| &chain.rules);
    let behind: Vec<&str> = rules
        .filter(|rule| rule.conditions.iter().any(macs))
        .filter_map(|rule| match rule.verdict {
            Some(Verdict::Jump(target)) => Some(target),
            _ => None,
        })
        .collect();
    let chains = state.rules.chains.iter_mut().filter(move |chain| behind.contains(&chain.name));
    chains.flat_map(|chain| &mut chain.rules)
}
