//! `status`: what this box is and does, for people; with `--json`, the same document that `/status` serves.

use std::io::Write;

use anyhow::Result;
use halcyon_core::control::{Request, Response};
use halcyon_core::plan::VrrpState;
use halcyon_core::status::Status;

use crate::engine::{ask, refusal};
use crate::terminal::clean;

pub(crate) fn run(json: bool, out: &mut dyn Write) -> Result<()> {
    let status = match ask(&Request::Status)? {
        Response::Status(status) => *status,
        other => return Err(refusal(other)),
    };
    if json {
        writeln!(out, "{}", serde_json::to_string(&status)?)?;
    } else {
        for line in lines(&status) {
            writeln!(out, "{}", clean(&line))?;
        }
    }
    Ok(())
}

/// One line about who the box is.
pub(crate) fn headline(status: &Status) -> String {
    match (&status.member, &status.unconfigured) {
        (Some(member), _) => format!("{member} of {}, Halcyon {}", status.cluster, status.version),
        (None, Some(why)) => format!("not configured: {why} (Halcyon {})", status.version),
        (None, None) => format!("not configured (Halcyon {})", status.version),
    }
}

fn lines(status: &Status) -> Vec<String> {
    let mut lines = vec![headline(status)];
    if status.member.is_some() {
        let digest = status.sha256.get(..12).unwrap_or(&status.sha256);
        lines.push(format!(
            "document: revision {}, generation {}, sha256 {digest}…; slot {}; up {} s",
            status.revision, status.generation, status.slot, status.uptime
        ));
    }
    if status.on_trial {
        lines.push("on trial: type config confirm to keep it".to_owned());
    }
    if !status.store.is_empty() {
        lines.push(format!("configuration: {}", status.store));
    }
    lines.extend(status.alarms.iter().map(|alarm| format!("ALARM: {alarm}")));
    lines.extend(status.clock.as_ref().map(|clock| match (&clock.server, clock.offset_us) {
        (Some(server), Some(offset)) => format!("clock: {:.1} ms from {server}'s", offset as f64 / 1e3),
        _ => "clock: not synchronised yet".to_owned(),
    }));
    lines.extend(status.leases.iter().map(|lease| match (&lease.address, &lease.server, &lease.why) {
        (Some(address), Some(server), _) => format!("{}: {address}, lent by {server}", lease.interface),
        (_, _, Some(why)) => format!("{}: no address: {why}", lease.interface),
        _ => format!("{}: no address: no DHCP server has lent one", lease.interface),
    }));
    if !status.dns.is_empty() {
        lines.push(format!("name servers: {}", status.dns.join(", ")));
    }
    for instance in &status.vrrp {
        lines.push(format!(
            "vrrp {}/{}: {}, priority {}, for {} s: {} ({})",
            instance.interface,
            instance.id,
            word(instance.state),
            instance.priority,
            status.uptime.saturating_sub(instance.since),
            instance.addresses.join(", "),
            instance.why,
        ));
    }
    for service in &status.services {
        lines.push(format!(
            "service {}: {} {}, {}",
            service.name,
            service.protocol,
            endpoint(&service.address, service.port),
            service.scheduler
        ));
        for server in &service.servers {
            let why = server.why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            lines.push(format!(
                "  {} at {}, weight {}, {}{why}",
                server.name,
                endpoint(&server.address, server.port),
                server.weight,
                server.health
            ));
        }
    }
    if !status.strategy.notes.is_empty() {
        lines.push(format!("{}: {}", status.strategy.name, status.strategy.notes.join("; ")));
    }
    if !status.guard.peers.is_empty() {
        lines.push(format!(
            "guard: {} packets of fellow directors served here, {} stopped from going back; against {}",
            status.guard.delivered,
            status.guard.dropped,
            status.guard.peers.join(", ")
        ));
    }
    lines.push(if status.reconciled {
        "the kernel holds what the plan wants".to_owned()
    } else {
        "the kernel does not hold yet what the plan wants".to_owned()
    });
    lines.extend(status.unmet.iter().map(|sentence| format!("  {sentence}")));
    lines
}

/// Address and port as they are written together: an IPv6 address in brackets (RFC 3986 §3.2.2).
fn endpoint(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

fn word(state: VrrpState) -> &'static str {
    match state {
        VrrpState::Init => "init",
        VrrpState::Backup => "backup",
        VrrpState::Master => "MASTER",
        VrrpState::Fault => "FAULT",
    }
}

#[cfg(test)]
mod tests {
    use halcyon_core::status::{Guard, Instance, Server, Service};

    use super::*;

    #[test]
    fn a_box_at_work_is_told_line_by_line() {
        let status = Status {
            member: Some("castor".into()),
            cluster: "store-0417".into(),
            generation: 3,
            revision: 7,
            sha256: "0123456789abcdef".into(),
            slot: "A".into(),
            version: "0.1.0".into(),
            vrrp: vec![Instance {
                id: 51,
                interface: "lan".into(),
                state: VrrpState::Master,
                priority: 100,
                addresses: vec!["192.0.2.9/24".into()],
                why: "its master fell silent".into(),
                since: 40,
            }],
            services: vec![Service {
                name: "pos".into(),
                address: "192.0.2.9".into(),
                port: 8898,
                protocol: "tcp".into(),
                scheduler: "rr".into(),
                servers: vec![Server {
                    name: "pollux".into(),
                    address: "192.0.2.2".into(),
                    port: 8898,
                    weight: 0,
                    healthy: false,
                    health: "down".into(),
                    why: Some("refused".into()),
                }],
            }],
            guard: Guard {
                delivered: 5,
                dropped: 0,
                mine: 6,
                theirs: 7,
                peers: vec!["02:00:00:00:00:01 on lan".into()],
            },
            reconciled: false,
            unmet: vec!["no link with the MAC 02:00:00:00:00:02".into()],
            uptime: 100,
            ..Status::default()
        };
        assert_eq!(
            lines(&status).join("\n"),
            "castor of store-0417, Halcyon 0.1.0\n\
             document: revision 7, generation 3, sha256 0123456789ab…; slot A; up 100 s\n\
             vrrp lan/51: MASTER, priority 100, for 60 s: 192.0.2.9/24 (its master fell silent)\n\
             service pos: tcp 192.0.2.9:8898, rr\n  \
             pollux at 192.0.2.2:8898, weight 0, down: refused\n\
             guard: 5 packets of fellow directors served here, 0 stopped from going back; against \
             02:00:00:00:00:01 on lan\n\
             the kernel does not hold yet what the plan wants\n  \
             no link with the MAC 02:00:00:00:00:02"
        );
    }

    #[test]
    fn an_unconfigured_box_says_why() {
        let status =
            Status { unconfigured: Some("no document".into()), version: "1".into(), ..Status::default() };
        assert_eq!(headline(&status), "not configured: no document (Halcyon 1)");
    }
}
