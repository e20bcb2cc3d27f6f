//! The IPVS table of a test box, as Debian's ipvsadm lists it.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::draw::Cluster;
use crate::wording::Service;
use anyhow::{Result, bail};

/// ipvsadm with its own loader and libraries: the box has none.
pub const IPVSADM: [&str; 4] =
    ["/opt/test/lib/ld-linux-x86-64.so.2", "--library-path", "/opt/test/lib", "/opt/test/ipvsadm"];

/// The table in the form of `ipvsadm --restore`.
pub fn saved(agent: &Agent) -> Result<String> {
    agent.run(&[&IPVSADM[..], &["-S", "-n"]].concat(), "")
}

/// Waits until exactly these members can be given what is sent to each of `services`.
pub fn wait_servers(agent: &Agent, cluster: &Cluster, services: &[Service], members: &[usize]) -> Result<()> {
    let wanted: BTreeSet<usize> = members.iter().copied().collect();
    let names: Vec<_> = wanted.iter().map(|which| cluster.members[*which].name.as_str()).collect();
    wait_for(agent, &format!("the servers {}", names.join(" and ")), |table| {
        services.iter().all(|service| usable(table, cluster, service) == wanted)
    })
}

/// Waits until the table, as [`saved`] has it, is as it should be; `what` says how, for the complaint.
pub fn wait_for(agent: &Agent, what: &str, holds: impl Fn(&str) -> bool) -> Result<()> {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let table = saved(agent)?;
        if holds(&table) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("waiting for {what} in the table:\n{table}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The members that have a weight as servers of `service`, by their address on either segment.
fn usable(table: &str, cluster: &Cluster, service: &Service) -> BTreeSet<usize> {
    let protocol = if service.udp { 'u' } else { 't' };
    let head = format!("-a -{protocol} {}:{} ", cluster.vip, service.port);
    let rows = table.lines().filter(|line| line.starts_with(&head) && !line.ends_with("-w 0"));
    let servers =
        rows.filter_map(|line| line.split_once(" -r ")?.1.split(':').next()?.parse::<Ipv4Addr>().ok());
    let member = |server| {
        cluster.members.iter().position(|member| [member.address, member.back_address].contains(&server))
    };
    servers.filter_map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;

    #[test]
    fn only_servers_with_a_weight_are_usable_and_only_those_of_the_service() {
        let cluster = Cluster::draw(&Seed::new(1));
        let (vip, port) = (cluster.vip, cluster.port);
        let service = Service { name: "one".into(), udp: false, port, persistence: None };
        let [first, second] = [0, 1].map(|which| cluster.members[which].address);
        let table = format!(
            "-A -t {vip}:{port} -s rr\n-a -t {vip}:{port} -r {first}:{port} -g -w 1\n\
             -a -t {vip}:{port} -r {second}:{port} -g -w 0\n\
             -a -u {vip}:{port} -r {}:{port} -g -w 2\n-a -u {vip}:{port} -r 198.51.100.1:{port} -g -w 1\n",
            cluster.members[1].back_address
        );
        assert_eq!(usable(&table, &cluster, &service), BTreeSet::from([0]));
        assert_eq!(usable(&table, &cluster, &Service { udp: true, ..service }), BTreeSet::from([1]));
    }
}
