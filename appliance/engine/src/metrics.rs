//! `/metrics`: the status in the Prometheus text format. Decides names and labels only; every value is taken from the
//! one [`Status`] that everything else shows, too.

use halcyon_core::plan::VrrpState;
use halcyon_core::status::Status;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Registry;

type Labels = Vec<(&'static str, String)>;
type Series = Family<Labels, Gauge>;

/// Renders `status`; every name begins with `halcyon_`.
pub fn render(status: &Status) -> String {
    let mut registry = Registry::with_prefix("halcyon");
    let gauge = |registry: &mut Registry, name: &str, help: &str, value: i64| {
        registry.register(name, help, ConstGauge::new(value));
    };
    gauge(
        &mut registry,
        "configured",
        "Whether this box is a member of a cluster",
        i64::from(status.member.is_some()),
    );
    gauge(
        &mut registry,
        "reconciled",
        "Whether the kernel holds what the plan wants",
        i64::from(status.reconciled),
    );
    gauge(&mut registry, "alarms", "What somebody should look after, such as a lost disk", {
        i64::try_from(status.alarms.len()).unwrap_or(i64::MAX)
    });
    gauge(
        &mut registry,
        "config_on_trial",
        "Whether the document in force waits for its confirmation",
        i64::from(status.on_trial),
    );
    gauge(&mut registry, "generation", "Generation of the configuration", signed(status.generation));
    gauge(&mut registry, "revision", "Revision of the cluster document", signed(status.revision));
    gauge(&mut registry, "uptime_seconds", "Seconds since the kernel started", signed(status.uptime));

    let info = Series::default();
    info.get_or_create(&vec![
        ("member", status.member.clone().unwrap_or_default()),
        ("version", status.version.clone()),
        ("slot", status.slot.clone()),
        ("sha256", status.sha256.clone()),
    ])
    .set(1);
    registry.register("info", "Who this box is and what it runs", info);

    let master = Series::default();
    let priority = Series::default();
    for instance in &status.vrrp {
        let labels = vec![("id", instance.id.to_string()), ("interface", instance.interface.clone())];
        master.get_or_create(&labels).set(i64::from(instance.state == VrrpState::Master));
        priority.get_or_create(&labels).set(i64::from(instance.priority));
    }
    registry.register("vrrp_master", "Whether this box is master of the virtual router", master);
    registry.register("vrrp_priority", "This box's priority", priority);

    let healthy = Series::default();
    let weight = Series::default();
    for service in &status.services {
        for server in &service.servers {
            let labels = vec![("service", service.name.clone()), ("server", server.name.clone())];
            healthy.get_or_create(&labels).set(i64::from(server.healthy));
            weight.get_or_create(&labels).set(i64::from(server.weight));
        }
    }
    registry.register("server_healthy", "Whether the real server is in the table", healthy);
    registry.register("server_weight", "Weight of the real server, 0 while it is out", weight);

    let counter = |registry: &mut Registry, name: &str, help: &str, value: u64| {
        registry.register(name, help, ConstCounter::new(value));
    };
    counter(
        &mut registry,
        "guard_delivered",
        "Packets from fellow directors served here",
        status.guard.delivered,
    );
    counter(
        &mut registry,
        "guard_dropped",
        "Packets that would have gone back to a fellow director",
        status.guard.dropped,
    );
    counter(
        &mut registry,
        "guard_mine",
        "Segments of open connections that a socket of this box expected",
        status.guard.mine,
    );
    counter(
        &mut registry,
        "guard_theirs",
        "Segments of open connections that no socket of this box expected",
        status.guard.theirs,
    );
    counter(
        &mut registry,
        "kernel_writes",
        "Changes made to the kernel since the engine started",
        status.kernel_writes,
    );

    let mut text = String::new();
    // Writing into a String cannot fail; an empty page would say so.
    let _ = encode(&mut text, &registry);
    text
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use halcyon_core::status::{Instance, Server, Service};

    use super::*;

    #[test]
    fn the_page_names_masters_servers_and_the_guard() {
        let status = Status {
            member: Some("castor".into()),
            reconciled: true,
            vrrp: vec![Instance {
                id: 7,
                interface: "lan".into(),
                state: VrrpState::Master,
                priority: 100,
                addresses: vec!["192.0.2.9".into()],
                why: String::new(),
                since: 3,
            }],
            services: vec![Service {
                name: "pos".into(),
                address: "192.0.2.9".into(),
                port: 80,
                protocol: "tcp".into(),
                scheduler: "rr".into(),
                servers: vec![Server {
                    name: "a\"b".into(),
                    address: "192.0.2.1".into(),
                    port: 80,
                    weight: 3,
                    healthy: true,
                    health: "up".into(),
                    why: None,
                }],
            }],
            ..Status::default()
        };
        let page = render(&status);
        for line in [
            "halcyon_vrrp_master{id=\"7\",interface=\"lan\"} 1",
            "halcyon_server_weight{service=\"pos\",server=\"a\\\"b\"} 3",
            "halcyon_guard_dropped_total 0",
            "halcyon_guard_theirs_total 0",
            "halcyon_reconciled 1",
            "halcyon_alarms 0",
        ] {
            assert!(page.contains(line), "{line} is not in\n{page}");
        }
        assert!(page.lines().filter(|l| !l.starts_with('#')).all(|l| l.starts_with("halcyon_")));
    }
}
