//! Documents and what is said about them.

use std::time::Duration;

use super::*;

const PAIR: &str = include_str!("../../../../../examples/pair.toml");

#[test]
fn the_example_is_a_configuration() {
    let config = check(PAIR).unwrap();
    let castor: MemberName = "castor".parse().unwrap();
    let service = config.services.values().next().unwrap();
    assert_eq!(config.cluster.revision, 1);
    assert_eq!(config.members[&castor].priority.get(), 100);
    let router = config.vrrp.values().next().unwrap();
    assert_eq!(router.id.to_string(), "lan/51");
    assert_eq!(router.advert_interval, Duration::from_millis(100));
    assert_eq!(router.priorities.values().map(|p| p.get()).collect::<Vec<_>>(), [100, 99]);
    let servers: Vec<String> =
        service.servers.values().map(|s| format!("{}={}:{}", s.name, s.address, s.port)).collect();
    assert_eq!(servers, ["castor=192.168.0.236:8898", "pollux=192.168.0.238:8898"]);
}
