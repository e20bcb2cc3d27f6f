//! What a box at work shows of itself. Decides the order: what somebody must look after comes first.

use halcyon_core::plan::VrrpState;
use halcyon_core::status::{Instance, Service, Status};

use super::page::{Tone, Writer};

impl Writer<'_> {
    /// The dashboard.
    pub(super) fn dashboard(&mut self) {
        let Some(seen) = &self.wizard.seen else { return };
        let status = &seen.status;
        let title = match &status.member {
            Some(member) => {
                self.texts.with("dashboard-title", &[("member", member), ("cluster", &status.cluster)])
            }
            None => self.texts.say("dashboard-unbound-title"),
        };
        let menu = self.wizard.has_password() || self.wizard.full;
        self.title(title, if menu { "keys-dashboard-menu" } else { "keys-dashboard" });
        self.state();
        self.gap();
        self.buttons();
    }

    /// What the box is and does.
    pub(super) fn state(&mut self) {
        let Some(seen) = &self.wizard.seen else { return };
        let (status, ports) = (&seen.status, &seen.ports);
        self.line(
            "dashboard-document",
            &[
                ("revision", &status.revision.to_string()),
                ("generation", &status.generation.to_string()),
                ("slot", &status.slot),
                ("uptime", &time(status.uptime)),
            ],
        );
        self.text(&status.store, 0, Tone::Faint);
        self.alarms(status);
        if !status.vrrp.is_empty() {
            self.prose("dashboard-vrrp", Tone::Strong);
            status.vrrp.iter().for_each(|instance| self.instance(instance, status.uptime));
        }
        if !status.services.is_empty() {
            self.prose("dashboard-services", Tone::Strong);
            status.services.iter().for_each(|service| self.service(service));
        }
        if !status.guard.peers.is_empty() {
            self.prose("dashboard-guard", Tone::Strong);
            self.line(
                "dashboard-guard-row",
                &[
                    ("delivered", &status.guard.delivered.to_string()),
                    ("dropped", &status.guard.dropped.to_string()),
                ],
            );
        }
        if !ports.is_empty() {
            self.prose("dashboard-links", Tone::Strong);
            for port in ports {
                let tone = if port.carrier { Tone::Plain } else { Tone::Bad };
                let text = self.port_line(port);
                self.row(&[(if port.carrier { "  " } else { "! " }, tone), (&text, tone)]);
            }
        }
    }

    fn alarms(&mut self, status: &Status) {
        let unbound = status.unconfigured.as_ref().filter(|_| status.revision > 0);
        let alarms = unbound.into_iter().chain(&status.alarms).chain(&status.unmet);
        for alarm in alarms {
            self.text(&format!("! {alarm}"), 0, Tone::Bad);
        }
        if !status.reconciled {
            self.prose("dashboard-kernel-differs", Tone::Bad);
        }
    }

    fn instance(&mut self, instance: &Instance, uptime: u64) {
        let (word, tone) = match instance.state {
            VrrpState::Init => ("init", Tone::Plain),
            VrrpState::Backup => ("backup", Tone::Plain),
            VrrpState::Master => ("MASTER", Tone::Good),
            VrrpState::Fault => ("FAULT", Tone::Bad),
        };
        let text = self.texts.with(
            "dashboard-vrrp-row",
            &[
                ("state", word),
                ("id", &instance.id.to_string()),
                ("interface", &instance.interface),
                ("priority", &instance.priority.to_string()),
                ("since", &time(uptime.saturating_sub(instance.since))),
            ],
        );
        self.row(&[
            ("  ", Tone::Plain),
            (&instance.addresses.join(", "), Tone::Strong),
            (" ", Tone::Plain),
            (&text, tone),
        ]);
        if !instance.why.is_empty() {
            self.text(&instance.why, 4, Tone::Faint);
        }
    }

    fn service(&mut self, service: &Service) {
        self.line(
            "dashboard-service-row",
            &[
                ("name", &service.name),
                ("protocol", &service.protocol),
                ("endpoint", &endpoint(&service.address, service.port)),
                ("scheduler", &service.scheduler),
            ],
        );
        for server in &service.servers {
            let text = self.texts.with(
                "dashboard-server-row",
                &[
                    ("name", &server.name),
                    ("endpoint", &endpoint(&server.address, server.port)),
                    ("weight", &server.weight.to_string()),
                    ("health", &server.health),
                ],
            );
            let (mark, tone) = if server.healthy { ("  + ", Tone::Good) } else { ("  ! ", Tone::Bad) };
            self.row(&[(mark, tone), (&text, tone)]);
            if let Some(why) = &server.why {
                self.text(why, 6, Tone::Faint);
            }
        }
    }

    fn line(&mut self, name: &str, values: &[(&str, &str)]) {
        let text = self.texts.with(name, values);
        self.text(&text, if name == "dashboard-document" { 0 } else { 2 }, Tone::Plain);
    }
}

/// An IPv6 address stands in brackets before its port (RFC 3986 §3.2.2).
fn endpoint(address: &str, port: u16) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// Two units are enough for a glance, and a screen that changes once a minute costs a serial line nothing.
fn time(seconds: u64) -> String {
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds} s"),
        (0, 0, minutes, seconds) => format!("{minutes} min {seconds} s"),
        (0, hours, minutes, _) => format!("{hours} h {minutes} min"),
        (days, hours, _, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_two_units() {
        for (seconds, told) in [(0, "0 s"), (61, "1 min 1 s"), (3_660, "1 h 1 min"), (90_000, "1 d 1 h")] {
            assert_eq!(time(seconds), told);
        }
    }
}
