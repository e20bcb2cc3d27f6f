//! The IPVS table of a test box, as Debian's ipvsadm lists it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
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

/// The members that have a weight as servers of `service`, by their address on either segment
/// or of either family.
fn usable(table: &str, cluster: &Cluster, service: &Service) -> BTreeSet<usize> {
    let protocol = if service.udp { "-u" } else { "-t" };
    let vips = [cluster.vip.into(), IpAddr::from(cluster.ipv6(cluster.vip))];
    let server = |line: &str| {
        let ["-a", kind, at, "-r", server, ..] = line.split(' ').collect::<Vec<_>>()[..] else { return None };
        let at: SocketAddr = at.parse().ok()?;
        let asked = kind == protocol && vips.contains(&at.ip()) && at.port() == service.port;
        let usable = asked && !line.ends_with("-w 0");
        server.parse::<SocketAddr>().ok().filter(|_| usable).map(|server| server.ip())
    };
    let member = |server: IpAddr| {
        cluster.members.iter().position(|member| {
            [member.address.into(), member.back_address.into(), cluster.ipv6(member.address).into()]
                .contains(&server)
        })
    };
    table.lines().filter_map(server).filter_map(member).collect()
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
        let datagrams = Service { udp: true, ..service };
        assert_eq!(usable(&table, &cluster, &datagrams), BTreeSet::from([1]));
        let table =
            format!("-a -u [{}]:{port} -r [{}]:{port} -g -w 1\n", cluster.ipv6(vip), cluster.ipv6(first));
        assert_eq!(usable(&table, &cluster, &datagrams), BTreeSet::from([0]));
    }
}
