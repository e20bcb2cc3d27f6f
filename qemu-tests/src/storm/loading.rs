//! Puts a state into the kernel of a box whose engine stands still: addresses by `ip`, the IPVS table by `ipvsadm`, rules
//! by `nft`. Decides nothing about the state.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use halcyon_core::config::Protocol;
use halcyon_core::plan::state::{KernelState, Virtual, VirtualService};

use super::halcyon;
use crate::agent::{Agent, BUSYBOX};
use crate::draw::Cluster;
use crate::pair::Pair;
use crate::tables::IPVSADM;

const NFT: &str = "/usr/sbin/nft";

/// The rules as the engine loaded them, kept on the box.
const KEPT: &str = "/run/halcyon-rules.nft";

/// Stops the engine, which would put right what is loaded; keeps the rules as it made them, empties the IPVS table and
/// stops its synchronisation, so that entries come of packets alone.
pub(super) fn begin(pair: &mut Pair, which: usize, agent: &Agent) -> Result<()> {
    const SIGSTOP: i32 = 19;
    let engine = halcyon::process(pair, which, "engine")?;
    agent.kill(engine, SIGSTOP).context("stopping the engine")?;
    let ipvsadm = IPVSADM.join(" ");
    let script = format!(
        "(echo flush ruleset; {NFT} -s list ruleset) >{KEPT}; {ipvsadm} -C; \
         {ipvsadm} --stop-daemon master; {ipvsadm} --stop-daemon backup; true"
    );
    agent.shell(&script, "").context("keeping the rules").map(drop)
}

/// Brings the box from the state `before` to `after`, with all rules but those of the chains `without`, and
/// without the jumps to them.
pub(super) fn load(
    agent: &Agent,
    cluster: &Cluster,
    before: &KernelState,
    after: &KernelState,
    without: &[&str],
) -> Result<()> {
    let (ipvsadm, vip, link) = (IPVSADM.join(" "), cluster.vip, &cluster.link);
    let held = after.addresses.iter().any(|a| a.link.is_some() && a.cidr.address() == IpAddr::from(vip));
    let change = if held { "add" } else { "del" };
    let away = |chain: &&str| {
        let chain = format!("chain inet halcyon {chain}");
        format!("echo flush {chain}; echo delete {chain};")
    };
    let away: String = without.iter().map(away).collect();
    let kept: String = without.iter().map(|chain| format!(" -e '/jump {chain}$/d'")).collect();
    let script = format!(
        "{BUSYBOX} ip addr {change} {vip}/32 dev {link} 2>/dev/null; \
         ({BUSYBOX} sed -e ''{kept} {KEPT}; {away}) | {NFT} -f - && {ipvsadm} -R"
    );
    agent.shell(&script, &table_changes(before, after)).context("loading a state").map(drop)
}

/// The lines that `ipvsadm -R` needs. Deleting everything and adding it again would be shorter, and would end the
/// connections of destinations that stay (`expire_nodest_conn`).
fn table_changes(before: &KernelState, after: &KernelState) -> String {
    let mut lines = String::new();
    let none = BTreeMap::new();
    for (service, was) in &before.services {
        let name = name(*service);
        let kept = after.services.get(service).map_or(&none, |now| &now.destinations);
        for server in was.destinations.keys().filter(|server| !kept.contains_key(server)) {
            let _ = writeln!(lines, "-d {name} -r {}", SocketAddr::from(*server));
        }
        if !after.services.contains_key(service) {
            let _ = writeln!(lines, "-D {name}");
        }
    }
    for (service, now) in &after.services {
        let name = name(*service);
        let was = before.services.get(service);
        if was.is_none() {
            let VirtualService { scheduler, .. } = now;
            let _ = writeln!(lines, "-A {name} -s {scheduler}");
        }
        let had = was.map_or(&none, |was| &was.destinations);
        for (server, to) in now.destinations.iter().filter(|(server, to)| had.get(server) != Some(to)) {
            let verb = if had.contains_key(server) { 'e' } else { 'a' };
            let _ = writeln!(lines, "-{verb} {name} -r {} -g -w {}", SocketAddr::from(*server), to.weight);
        }
    }
    lines
}

fn name(service: Virtual) -> String {
    match service {
        Virtual::Address { protocol, address, port } => {
            let letter = if protocol == Protocol::Udp { 'u' } else { 't' };
            format!("-{letter} {}", SocketAddr::new(address, port))
        }
        Virtual::Mark { mark, .. } => format!("-f {mark}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use halcyon_core::config::Forwarding;
    use halcyon_core::plan::state::Destination;

    fn state(servers: &[(u8, u16)]) -> KernelState {
        let server = |(last, weight): &(u8, u16)| {
            let address = IpAddr::from([10, 0, 0, *last]);
            ((address, 80), Destination { weight: *weight, forwarding: Forwarding::Direct })
        };
        let service = Virtual::Address { protocol: Protocol::Udp, address: [10, 0, 0, 9].into(), port: 80 };
        let table = VirtualService {
            scheduler: "rr".into(),
            scheduler_flags: 0,
            persistence: 0,
            destinations: servers.iter().map(server).collect(),
        };
        KernelState { services: BTreeMap::from([(service, table)]), ..KernelState::default() }
    }

    #[test]
    fn what_stays_is_not_touched() {
        let changes = table_changes(&state(&[(1, 1), (2, 1)]), &state(&[(2, 1), (3, 5)]));
        assert_eq!(changes, "-d -u 10.0.0.9:80 -r 10.0.0.1:80\n-a -u 10.0.0.9:80 -r 10.0.0.3:80 -g -w 5\n");
        let gone = table_changes(&state(&[(1, 1)]), &KernelState::default());
        assert_eq!(gone, "-d -u 10.0.0.9:80 -r 10.0.0.1:80\n-D -u 10.0.0.9:80\n");
        assert_eq!(table_changes(&state(&[(1, 1)]), &state(&[(1, 1)])), "");
        assert!(table_changes(&state(&[(1, 1)]), &state(&[(1, 2)])).starts_with("-e -u"));
    }
}
