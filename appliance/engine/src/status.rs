//! Puts the box's status together from what the node knows and what the kernel holds. Decides nothing.

use std::collections::BTreeMap;

use halcyon_core::config::types::InstanceId;
use halcyon_core::config::{Fallback, Storm};
use halcyon_core::node::Node;
use halcyon_core::plan::{Health, Plan, VrrpState};
use halcyon_core::status::{Clock, Guard, Instance, Lease, Server, Service, Status, Strategy};
use halcyon_kernel::Counters;

use crate::provision::Document;

/// When and why an instance entered its state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entered {
    /// Uptime in seconds.
    pub since: u64,
    /// For people.
    pub why: String,
}

/// Everything that a status is made of, beside the node.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The document in force and its generation.
    pub document: Option<(&'a Document, u64)>,
    /// Why the box is unconfigured, when it is.
    pub unconfigured: Option<&'a str>,
    /// The plan in force.
    pub plan: &'a Plan,
    /// When and why each instance entered its state.
    pub entered: &'a BTreeMap<InstanceId, Entered>,
    /// The guard's counters.
    pub counters: Counters,
    /// What the plan wants and this box cannot have now.
    pub unmet: &'a [String],
    /// The kernel held the whole plan when it was last compared.
    pub reconciled: bool,
    /// Where the configuration is kept, in words.
    pub store: &'a str,
    /// The document is on trial for so many more seconds.
    pub trial_left: Option<u64>,
    /// What somebody should look after.
    pub alarms: Vec<String>,
    /// How the clock is kept; `None`: it is left alone.
    pub clock: Option<Clock>,
    /// Changes made to the kernel.
    pub kernel_writes: u64,
    /// Seconds since the kernel started.
    pub uptime: u64,
    /// Version of the image, and the slot it was started from.
    pub image: (&'a str, &'a str),
}

/// The box's status.
pub fn status(node: &Node, facts: &Facts<'_>) -> Status {
    let config = node.config();
    let (version, slot) = facts.image;
    Status {
        member: node.me().map(ToString::to_string),
        unconfigured: facts.unconfigured.map(ToOwned::to_owned),
        cluster: config.cluster.name.clone(),
        generation: facts.document.map_or(0, |(_, generation)| generation),
        revision: facts.document.map_or(0, |(document, _)| document.mark.revision),
        sha256: facts.document.map_or_else(String::new, |(document, _)| document.mark.sha256.clone()),
        slot: slot.to_owned(),
        version: version.to_owned(),
        vrrp: instances(node, facts),
        services: services(node),
        strategy: strategy(node),
        guard: Guard {
            delivered: facts.counters.delivered.packets,
            dropped: facts.counters.dropped.packets,
            mine: facts.counters.mine.packets,
            theirs: facts.counters.theirs.packets,
            peers: facts.plan.guarded.peers.iter().map(|(link, mac)| format!("{mac} on {link}")).collect(),
        },
        reconciled: facts.reconciled,
        unmet: facts.unmet.to_vec(),
        store: facts.store.to_owned(),
        on_trial: facts.trial_left.is_some(),
        trial_left: facts.trial_left,
        alarms: facts.alarms.clone(),
        clock: facts.clock.clone(),
        leases: leases(node),
        dns: node.name_servers().iter().map(ToString::to_string).collect(),
        password: config.admin.is_some(),
        kernel_writes: facts.kernel_writes,
        uptime: facts.uptime,
    }
}

/// The strategy, with what its pings or its segment tell.
fn strategy(node: &Node) -> Strategy {
    if node.me().is_none() {
        return Strategy::default();
    }
    let silent = |(address, missed): (_, u8)| match missed {
        0 => format!("{address} answers pings"),
        _ => format!("{address} left {missed} pings in a row without an answer"),
    };
    match &node.config().cluster.storm {
        Storm::Weights => Strategy { name: "weights".into(), notes: Vec::new() },
        Storm::Standby(_) => {
            Strategy { name: "standby".into(), notes: node.pings().into_iter().map(silent).collect() }
        }
        Storm::SecondNic(forward) => {
            let link = &forward.interface;
            let note = match (node.view().forward_down, forward.fallback) {
                (false, _) => format!("forwarding over {link}"),
                (true, Fallback::Lan) => format!("{link} is down: forwarding over the services' own segment"),
                (true, Fallback::Refuse) => format!("{link} is down: this box serves alone"),
            };
            Strategy { name: "second-nic".into(), notes: vec![note] }
        }
    }
}

/// What the interfaces have whose addresses DHCP servers give.
fn leases(node: &Node) -> Vec<Lease> {
    let refused = node.refused_leases();
    let one = |link| {
        let lease = node.view().leases.get(link);
        Lease {
            interface: link.to_string(),
            address: lease.map(|lease| lease.address.to_string()),
            gateway: lease.and_then(|lease| lease.gateway).map(|gateway| gateway.to_string()),
            server: lease.map(|lease| lease.server.to_string()),
            why: refused.get(link).cloned(),
        }
    };
    node.lessees().map(one).collect()
}

fn instances(node: &Node, facts: &Facts<'_>) -> Vec<Instance> {
    let Some(me) = node.me() else { return Vec::new() };
    let ours = node.config().vrrp.values().filter_map(|i| Some((i, i.priorities.get(me)?)));
    ours.map(|(instance, priority)| {
        let entered = facts.entered.get(&instance.id).cloned().unwrap_or_default();
        Instance {
            id: instance.id.vrid.get(),
            interface: instance.id.interface.to_string(),
            state: *node.view().vrrp.get(&instance.id).unwrap_or(&VrrpState::Init),
            priority: priority.get(),
            addresses: instance.addresses.iter().map(|a| a.address().to_string()).collect(),
            why: entered.why,
            since: entered.since,
        }
    })
    .collect()
}

fn services(node: &Node) -> Vec<Service> {
    let services = node.config().services.values();
    services
        .map(|service| Service {
            name: service.name.to_string(),
            address: service.address.to_string(),
            port: service.port,
            protocol: service.protocol.to_string(),
            scheduler: service.scheduler.clone(),
            servers: service
                .servers
                .values()
                .map(|server| {
                    let key = (service.name.clone(), server.name.clone());
                    let health = match service.check {
                        None => Health::Up,
                        Some(_) => *node.view().health.get(&key).unwrap_or(&Health::Unknown),
                    };
                    let healthy = health == Health::Up;
                    Server {
                        name: server.name.to_string(),
                        address: server.address.to_string(),
                        port: server.port,
                        weight: if healthy { server.weight.0 } else { 0 },
                        healthy,
                        health: health.to_string(),
                        why: node.why(&key).filter(|_| !healthy).map(ToOwned::to_owned),
                    }
                })
                .collect(),
        })
        .collect()
}
