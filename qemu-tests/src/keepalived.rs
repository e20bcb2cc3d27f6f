//! A hand-made box in a station's place: Debian 12's keepalived, the virtual address on the loopback, and the demo
//! application. As VRRP router alone it is the other side of the interoperability tests; as director it is what the
//! storm bench shows beside this product.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};

use crate::draw::Cluster;
use crate::image::Image;
use crate::vm::hardware::{Access, Bus, Disk, Hardware, Start};
use crate::wording::{Service, Wording};

/// Makes `hardware` such a box: the cluster's member `which`, with this priority.
pub fn replace(
    hardware: &mut Hardware,
    image: &Image,
    cluster: &Cluster,
    which: usize,
    wording: &Wording,
    extent: Extent,
    directory: &Path,
) -> Result<()> {
    let file = directory.join(format!("{which}.settings"));
    let mut text = settings(cluster, which, wording, extent);
    // A disk is made of whole sectors.
    text.extend(std::iter::repeat_n('\0', 4096 - text.len() % 512));
    std::fs::write(&file, text).context("writing the peer's settings")?;
    hardware.start = Start::Direct {
        kernel: image.kernel.clone(),
        initramfs: image.peer.clone(),
        parameters: "console=ttyS0 quiet panic=1".into(),
    };
    hardware.disks = vec![Disk { file, bus: Bus::Virtio, access: Access::Read }];
    Ok(())
}

/// How a keepalived box differs from the plain one of the interoperability tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// It is a director, too: keepalived checks the real servers and keeps the IPVS table.
    pub director: bool,
    /// Its VRRP priority, the member's own when `None`.
    pub priority: Option<u8>,
}

/// A line of settings for the peer's start script, then keepalived's configuration.
fn settings(cluster: &Cluster, which: usize, wording: &Wording, extent: Extent) -> String {
    let Cluster { vip, prefix, .. } = cluster;
    let member = &cluster.members[which];
    let ports: Vec<_> = cluster.services(wording).iter().map(|service| service.port.to_string()).collect();
    format!(
        "name={} address={}/{prefix} vip={vip} ports='{}' parts={}\n{}",
        member.name,
        member.address,
        ports.join(" "),
        if extent.director { "" } else { "-P" },
        configuration(cluster, which, wording, extent)
    )
}

/// `keepalived.conf` of the cluster's member `which`.
pub fn configuration(cluster: &Cluster, which: usize, wording: &Wording, extent: Extent) -> String {
    let Cluster { vip, prefix, vrid, .. } = cluster;
    let priority = extent.priority.unwrap_or(cluster.members[which].priority);
    let password = wording.password.as_ref().map_or(String::new(), |password| {
        format!("    authentication {{\n        auth_type PASS\n        auth_pass {password}\n    }}\n")
    });
    let mut text = format!(
        "global_defs {{\n    vrrp_version {}\n}}\n\
         vrrp_instance peer {{\n    state BACKUP\n    interface eth0\n    virtual_router_id {vrid}\n    \
         priority {priority}\n    advert_int {}\n{password}    virtual_ipaddress {{\n        {vip}/{prefix}\n    }}\n}}\n",
        wording.version,
        wording.interval.as_secs_f64(),
    );
    if extent.director {
        cluster
            .services(wording)
            .iter()
            .for_each(|service| virtual_server(&mut text, cluster, service, wording));
    }
    text
}

/// The service as keepalived has it: direct routing in turns, each real server checked by a TCP connection.
fn virtual_server(text: &mut String, cluster: &Cluster, service: &Service, wording: &Wording) {
    let port = service.port;
    let protocol = if service.udp { "UDP" } else { "TCP" };
    let _ = write!(
        text,
        "virtual_server {} {port} {{\n    delay_loop {}\n    lb_algo rr\n    lb_kind DR\n    protocol {protocol}\n",
        cluster.vip,
        wording.check_interval.as_secs().max(1),
    );
    if let Some(persistence) = service.persistence {
        let _ = writeln!(text, "    persistence_timeout {}", persistence.as_secs());
    }
    for member in &cluster.members {
        let _ = write!(
            text,
            "    real_server {} {port} {{\n        weight {}\n        TCP_CHECK {{\n            connect_port {port}\n            \
             connect_timeout {}\n            retry 3\n            delay_before_retry 3\n        }}\n    }}\n",
            member.address,
            wording.weight,
            wording.check_timeout.as_secs().max(1),
        );
    }
    text.push_str("}\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seed::Seed;
    use std::time::Duration;

    #[test]
    fn both_sides_are_told_the_same() {
        let cluster = Cluster::draw(&Seed::new(1));
        let wording = Wording {
            version: 2,
            interval: Duration::from_secs(1),
            password: Some("geheim".into()),
            ..Wording::default()
        };
        let text = settings(&cluster, 1, &wording, Extent { director: false, priority: None });
        assert!(!text.contains("virtual_server"), "{text}");
        let member = &cluster.members[1];
        for part in [
            format!("virtual_router_id {}", cluster.vrid),
            format!("priority {}", member.priority),
            "vrrp_version 2".into(),
            "advert_int 1\n".into(),
            "auth_pass geheim".into(),
        ] {
            assert!(text.contains(&part), "{part} in {text}");
        }
    }

    #[test]
    fn a_director_has_every_service_with_every_server() {
        let seed = Seed::new(2);
        let cluster = Cluster::draw(&seed);
        let wording = crate::storm::quartet::worded(&seed, Wording::default());
        let text = configuration(&cluster, 0, &wording, Extent { director: true, priority: Some(1) });
        assert_eq!(text.matches("virtual_server").count(), 4);
        assert_eq!(text.matches("protocol UDP").count(), 2);
        assert_eq!(text.matches("persistence_timeout 50").count(), 2);
        assert_eq!(text.matches(&format!("real_server {} ", cluster.members[1].address)).count(), 4);
        assert!(text.contains("priority 1\n"), "{text}");
    }
}
