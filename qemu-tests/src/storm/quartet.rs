//! Four services behind one virtual address: TCP and UDP, each without persistence and with 50 s of it. Pure.

use std::time::Duration;

use crate::seed::Seed;
use crate::wording::{Service, Wording};

/// The persistence of the services that have one.
pub const PERSISTENCE: Duration = Duration::from_secs(50);

/// Names of the four columns, in the order of [`crate::draw::Cluster::services`].
pub const COLUMNS: [&str; 4] = ["TCP", "UDP", "TCP 50 s", "UDP 50 s"];

/// Whether a column's service has persistence.
pub fn is_sticky(column: &str) -> bool {
    column == COLUMNS[2] || column == COLUMNS[3]
}

/// `wording` with three services beside the cluster's own, which is TCP without persistence.
pub fn worded(seed: &Seed, wording: Wording) -> Wording {
    let mut seed = seed.fork("services");
    let first = seed.between(9_001, 20_000) as u16;
    // Apart from each other, from a cluster's own port and from the source ports of clients.
    let step = seed.between(1, 900) as u16;
    let service = |number: u16, name: &str, udp, persistence| Service {
        name: name.into(),
        udp,
        port: first + number * step,
        persistence,
    };
    let services = vec![
        service(0, "datagrams", true, None),
        service(1, "sticky", false, Some(PERSISTENCE)),
        service(2, "sticky-datagrams", true, Some(PERSISTENCE)),
    ];
    Wording { persistence: None, services, ..wording }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Cluster;
    use std::collections::BTreeSet;

    #[test]
    fn the_columns_are_the_services() {
        for number in 0..100 {
            let seed = Seed::new(number);
            let cluster = Cluster::draw(&seed);
            let services = cluster.services(&worded(&seed, Wording::default()));
            let ports: BTreeSet<_> = services.iter().map(|service| service.port).collect();
            assert_eq!(ports.len(), 4, "seed {number}");
            for (service, column) in services.iter().zip(COLUMNS) {
                let protocol = if service.udp { "UDP" } else { "TCP" };
                let sticky = if service.persistence == Some(PERSISTENCE) { " 50 s" } else { "" };
                assert_eq!(format!("{protocol}{sticky}"), column);
                assert_eq!(is_sticky(column), service.persistence.is_some());
            }
        }
    }
}
