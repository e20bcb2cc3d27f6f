//! Protections, each taken out of what a kernel does: the proof that the explorations would see its absence.

use std::collections::BTreeSet;

use halcyon_core::plan::rules::{Chain, Condition, Readdress, Rule, Verdict};
use halcyon_core::plan::state::{KernelState, Virtual};

/// One protection that is not there.
pub(crate) struct Mutation {
    /// Which.
    pub(crate) name: &'static str,
    /// Takes it out of what the kernel of one box holds.
    pub(crate) apply: fn(&mut KernelState),
}

/// All of them.
pub(crate) const ALL: [Mutation; 11] = [
    Mutation { name: "the mark of forwarded frames", apply: no_mark },
    Mutation { name: "the service of the mark", apply: no_mark_service },
    Mutation { name: "weight 0 for the others", apply: equal_weights },
    Mutation { name: "the way past IPVS", apply: no_way_past },
    Mutation { name: "the way back behind it", apply: no_way_back },
    Mutation { name: "the way past IPVS of errors", apply: no_way_past_for_errors },
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

/// Chains write no address that a condition on a MAC leads to.
fn no_way_past(state: &mut KernelState) {
    for rule in behind_mac(state) {
        rule.readdress = None;
    }
}

fn no_way_past_for_errors(state: &mut KernelState) {
    for rule in behind_mac(state).filter(|rule| matches!(rule.readdress, Some(Readdress::QuotedSource(_)))) {
        rule.readdress = None;
    }
}

/// Nothing is readdressed behind IPVS, which is at 99 in local input.
fn no_way_back(state: &mut KernelState) {
    for chain in &mut state.rules.chains {
        if chain.base.is_some_and(|base| base.priority > 99) {
            chain.rules.iter_mut().for_each(|rule| rule.readdress = None);
        }
    }
}

fn no_last_word(state: &mut KernelState) {
    for rule in behind_mac(state).filter(|rule| rule.verdict == Some(Verdict::Drop)) {
        rule.verdict = None;
    }
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

/// The rules of the chains that conditions on MACs lead to, at once or by way of others.
fn behind_mac(state: &mut KernelState) -> impl Iterator<Item = &mut Rule> {
    let chains = &state.rules.chains;
    let jump = |rule: &Rule| match rule.verdict {
        Some(Verdict::Jump(target)) => Some(target),
        _ => None,
    };
    let asks = |rule: &&Rule| rule.conditions.iter().any(|c| matches!(c, Condition::SourceMac(_)));
    let mut behind: BTreeSet<&str> =
        chains.iter().flat_map(|chain| &chain.rules).filter(asks).filter_map(jump).collect();
    // A jump leads to a chain that stands later.
    for Chain { name, rules, .. } in chains {
        if behind.contains(name) {
            behind.extend(rules.iter().filter_map(jump));
        }
    }
    let chains = state.rules.chains.iter_mut().filter(move |chain| behind.contains(chain.name));
    chains.flat_map(|chain| &mut chain.rules)
}
