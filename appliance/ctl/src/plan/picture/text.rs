//! The picture of a plan in lines: an item, and why it is there.

use std::fmt;

use super::Picture;

impl fmt::Display for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = |f: &mut fmt::Formatter<'_>, item: &str, why: Option<&str>| match why {
            Some(why) => writeln!(f, "  {item:<64}  {why}"),
            None => writeln!(f, "  {item}"),
        };
        let states: Vec<String> = self.vrrp.iter().map(|(id, state)| format!("{id} {state}")).collect();
        writeln!(f, "{} ({})", self.member, states.join(", "))?;
        writeln!(f, "\nlinks")?;
        for link in &self.links {
            let mtu = link.mtu.map(|mtu| format!(", MTU {mtu}")).unwrap_or_default();
            line(f, &format!("{}{mtu}", link.name), link.why.as_deref())?;
        }
        writeln!(f, "\naddresses")?;
        for address in &self.addresses {
            let item = format!("{} on {} ({})", address.address, address.link, address.role);
            line(f, &item, address.why.as_deref())?;
        }
        writeln!(f, "\nroutes")?;
        for route in &self.routes {
            line(f, &format!("{} via {} on {}", route.to, route.via, route.link), route.why.as_deref())?;
        }
        writeln!(f, "\nsysctls")?;
        for sysctl in &self.sysctls {
            line(f, &format!("{} = {}", sysctl.name, sysctl.value), sysctl.why.as_deref())?;
        }
        writeln!(f, "\npacket rules")?;
        for rule in &self.rules.accept {
            line(f, &format!("accept {}", rule.rule), rule.why.as_deref())?;
        }
        for rule in &self.rules.refuse {
            line(f, &format!("refuse {rule}"), None)?;
        }
        for peer in &self.rules.peers {
            line(f, &format!("guard against {} on {}", peer.mac, peer.link), peer.why.as_deref())?;
        }
        for guarded in &self.rules.guarded {
            line(f, &format!("guard {guarded}"), Some("what a fellow director forwards is served here"))?;
        }
        writeln!(f, "\nIPVS")?;
        for service in &self.services {
            let persistence = match service.persistence {
                0 => String::new(),
                seconds => format!(", persistent {seconds} s"),
            };
            let item = format!("{} {}{persistence}", service.matches, service.scheduler);
            line(f, &item, service.why.as_deref())?;
            for server in &service.servers {
                let item = format!(
                    "  {} ({}:{}) weight {} {}",
                    server.name, server.address, server.port, server.weight, server.forwarding
                );
                line(f, &item, server.why.as_deref())?;
            }
        }
        for daemon in &self.sync {
            let item = format!("synchronisation {} on {}, id {}", daemon.role, daemon.link, daemon.id);
            line(f, &item, daemon.why.as_deref())?;
        }
        writeln!(f, "\nnot there")?;
        for reason in self.reasons.iter().filter(|reason| reason.item.starts_with("no ")) {
            line(f, reason.item.trim_start_matches("no "), Some(&reason.why))?;
        }
        Ok(())
    }
}
