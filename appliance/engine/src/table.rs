//! The IPVS table as text, in the form that `ipvsadm -L -n` made familiar. Decides nothing.

use std::fmt::Write;
use std::net::SocketAddr;

use halcyon_kernel::ipvs::Service;

/// One block per service, one line per real server.
pub fn render(services: &[Service]) -> String {
    if services.is_empty() {
        return "the IPVS table is empty".into();
    }
    let mut text =
        String::from("service scheduler flags\n  -> server                 weight  active  inactive\n");
    for service in services {
        let _ = write!(text, "{} {}", service.service, service.scheduling.scheduler);
        if service.scheduling.persistence > 0 {
            let _ = write!(text, " persistent {} s", service.scheduling.persistence);
        }
        text.push('\n');
        for server in &service.servers {
            let address = SocketAddr::new(server.address, server.port).to_string();
            let _ = writeln!(
                text,
                "  -> {address:<22} {:>6} {:>7} {:>9}",
                server.facts.weight, server.active, server.inactive
            );
        }
    }
    text.truncate(text.trim_end().len());
    text
}
