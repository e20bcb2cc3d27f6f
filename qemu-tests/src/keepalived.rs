//! A hand-made box in a station's place: Debian 12's keepalived for VRRP, the virtual address on the loopback, and the
//! demo application. The other side of the interoperability tests.

use std::path::Path;

use anyhow::{Context, Result};

use crate::draw::{Cluster, Wording};
use crate::image::Image;
use crate::vm::hardware::{Access, Bus, Disk, Hardware, Start};

/// Makes `hardware` such a box: the cluster's member `which`, with this priority.
pub fn replace(
    hardware: &mut Hardware,
    image: &Image,
    cluster: &Cluster,
    which: usize,
    wording: &Wording,
    directory: &Path,
) -> Result<()> {
    let file = directory.join(format!("{which}.settings"));
    let mut text = settings(cluster, which, wording);
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

/// A line of settings for the peer's start script, then keepalived's configuration.
fn settings(cluster: &Cluster, which: usize, wording: &Wording) -> String {
    let Cluster { vip, prefix, port, vrid, .. } = cluster;
    let member = &cluster.members[which];
    let (name, address, priority) = (&member.name, member.address, member.priority);
    let password = wording.password.as_ref().map_or(String::new(), |password| {
        format!("    authentication {{\n        auth_type PASS\n        auth_pass {password}\n    }}\n")
    });
    format!(
        "name={name} address={address}/{prefix} vip={vip} port={port}\n\
         global_defs {{\n    vrrp_version {}\n}}\n\
         vrrp_instance peer {{\n    state BACKUP\n    interface eth0\n    virtual_router_id {vrid}\n    \
         priority {priority}\n    advert_int {}\n{password}    virtual_ipaddress {{\n        {vip}/{prefix}\n    }}\n}}\n",
        wording.version,
        wording.interval.as_secs_f64(),
    )
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
        let text = settings(&cluster, 1, &wording);
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
}
