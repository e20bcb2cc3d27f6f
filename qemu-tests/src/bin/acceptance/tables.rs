//! The IPVS table of a test box, as Debian's ipvsadm lists it.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use halcyon_qemu_tests::agent::Agent;
use halcyon_qemu_tests::draw::Cluster;

/// ipvsadm with its own loader and libraries: the box has none.
pub(crate) const IPVSADM: [&str; 4] =
    ["/opt/test/lib/ld-linux-x86-64.so.2", "--library-path", "/opt/test/lib", "/opt/test/ipvsadm"];

/// The table in the form of `ipvsadm --restore`.
pub(crate) fn saved(agent: &Agent) -> Result<String> {
    agent.run(&[&IPVSADM[..], &["-S", "-n"]].concat(), "")
}

/// Waits until exactly these members can be given connections to the service.
pub(crate) fn wait_servers(agent: &Agent, cluster: &Cluster, members: &[usize]) -> Result<()> {
    let (vip, port) = (cluster.vip, cluster.port);
    let mut wanted: Vec<_> =
        members.iter().map(|which| cluster.members[*which].address.to_string()).collect();
    wanted.sort();
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let table = saved(agent)?;
        let rows = table.lines().filter(|line| line.starts_with(&format!("-a -t {vip}:{port} ")));
        let usable = rows.filter(|line| !line.ends_with("-w 0"));
        let servers = usable.filter_map(|line| line.split_once(" -r ")?.1.split(':').next());
        let mut servers: Vec<_> = servers.map(str::to_owned).collect();
        servers.sort();
        if servers == wanted {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("waiting for servers {wanted:?} in the table:\n{table}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
