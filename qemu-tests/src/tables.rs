//! The IPVS table of a test box, as Debian's ipvsadm lists it.

use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::draw::{Cluster, Service};
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
    let mut wanted: Vec<_> =
        members.iter().map(|which| cluster.members[*which].address.to_string()).collect();
    wanted.sort();
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let table = saved(agent)?;
        if services.iter().all(|service| usable(&table, cluster, service) == wanted) {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("waiting for servers {wanted:?} in the table:\n{table}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The servers of `service` with a weight, sorted.
fn usable(table: &str, cluster: &Cluster, service: &Service) -> Vec<String> {
    let protocol = if service.udp { 'u' } else { 't' };
    let head = format!("-a -{protocol} {}:{} ", cluster.vip, service.port);
    let rows = table.lines().filter(|line| line.starts_with(&head) && !line.ends_with("-w 0"));
    let servers = rows.filter_map(|line| line.split_once(" -r ")?.1.split(':').next());
    let mut servers: Vec<_> = servers.map(str::to_owned).collect();
    servers.sort();
    servers
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
        let table = format!(
            "-A -t {vip}:{port} -s rr\n-a -t {vip}:{port} -r 10.0.0.2:{port} -g -w 1\n\
             -a -t {vip}:{port} -r 10.0.0.1:{port} -g -w 2\n-a -t {vip}:{port} -r 10.0.0.3:{port} -g -w 0\n\
             -a -u {vip}:{port} -r 10.0.0.4:{port} -g -w 1\n"
        );
        assert_eq!(usable(&table, &cluster, &service), ["10.0.0.1", "10.0.0.2"]);
        assert_eq!(usable(&table, &cluster, &Service { udp: true, ..service }), ["10.0.0.4"]);
    }
}
