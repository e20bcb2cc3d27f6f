//! Documents and what is said about them.

use std::time::Duration;

use super::*;
use crate::config::{Fallback, Forward, Port, Probing, Storm, VrrpVersion};

const PAIR: &str = include_str!("../../../../../examples/pair.toml");
const STANDBY: &str = include_str!("../../../../../examples/standby.toml");
const SECOND_NIC: &str = include_str!("../../../../../examples/second-nic.toml");

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

#[test]
fn each_storm_strategy_has_its_example() {
    let second = Duration::from_secs(1);
    let probing = Probing { interval: second, timeout: second / 2, count: 3 };
    assert_eq!(check(PAIR).unwrap().cluster.storm, Storm::Weights);
    let standby = check(STANDBY).unwrap();
    assert_eq!(standby.cluster.storm, Storm::Standby(probing));
    assert!(standby.services.values().flat_map(|s| s.servers.values()).all(|s| s.forward.is_none()));

    let second_nic = check(SECOND_NIC).unwrap();
    let forward = Forward { interface: "back".parse().unwrap(), fallback: Fallback::Lan };
    assert_eq!(second_nic.cluster.storm, Storm::SecondNic(forward));
    let servers = second_nic.services.values().flat_map(|s| s.servers.values());
    let servers: Vec<_> = servers.map(|s| format!("{} or {}", s.forward.unwrap(), s.address)).collect();
    assert_eq!(servers, ["10.88.0.1 or 192.168.0.236", "10.88.0.2 or 192.168.0.238"]);
}

#[test]
fn a_strategy_whose_settings_are_left_out_has_its_defaults() {
    let bare = STANDBY.lines().filter(|line| !line.starts_with("probe")).collect::<Vec<_>>().join("\n");
    assert_eq!(check(&bare), check(STANDBY));
    let hasty = bare.replace("storm = \"standby\"", "storm = \"standby\"\nprobe = { interval = \"200ms\" }");
    let Storm::Standby(probing) = check(&hasty).unwrap().cluster.storm else { panic!("a standby") };
    assert_eq!((probing.timeout.as_millis(), probing.count), (200, 3), "never longer than the interval");
    let bare = SECOND_NIC.lines().filter(|line| !line.starts_with("forward-fallback"));
    let Storm::SecondNic(forward) = check(&bare.collect::<Vec<_>>().join("\n")).unwrap().cluster.storm else {
        panic!("a second network card")
    };
    assert_eq!(forward.fallback, Fallback::Refuse);
}

#[test]
fn every_key_of_this_version_reaches_the_configuration() {
    let config = check(FULL).unwrap();
    let castor = &config.members[&"castor".parse::<MemberName>().unwrap()];
    let back = &castor.interfaces[&"back".parse::<LinkName>().unwrap()];
    assert_eq!(castor.serial.as_deref(), Some("S3X1234"));
    assert_eq!(back.device, Port::Path("0000:01:00.0".to_owned()).into());
    assert_eq!(back.mtu, Some(9000));
    assert_eq!(format!("{:?}", back.routes), "[StaticRoute { to: 10.0.0.0/8, via: 10.9.0.1 }]");
    assert_eq!(config.cluster.sync_interface.as_ref().map(LinkName::as_str), Some("back"));

    let [one, two] = config.vrrp.values().collect::<Vec<_>>()[..] else { panic!("{:?}", config.vrrp) };
    assert_eq!((one.version, one.authentication.as_deref()), (VrrpVersion::V2, Some("1111")));
    assert_eq!((one.preempt, one.preempt_delay), (true, Duration::from_secs(5)));
    assert_eq!((two.version, two.pseudo_header, two.preempt), (VrrpVersion::V3, true, false));
    assert_eq!(two.priorities.values().map(|p| p.get()).collect::<Vec<_>>(), [50, 99], "one is overridden");
    assert_eq!(two.advert_interval, Duration::from_secs(1), "RFC 9568's default");

    let [dns, pos, web] = config.services.values().collect::<Vec<_>>()[..] else {
        panic!("{:?}", config.services)
    };
    assert_eq!((dns.protocol, dns.check.is_none()), (Protocol::Udp, true));
    assert_eq!(pos.persistence, None);
    let check = pos.check.as_ref().unwrap();
    assert_eq!((check.port, check.retries), (Some(9000), 0));
    let servers: Vec<_> =
        pos.servers.values().map(|s| (s.name.0.as_str(), s.member.is_some(), s.weight.0)).collect();
    assert_eq!(servers, [("192.168.0.241", false, 65535), ("castor", true, 0)]);
    let check = web.check.as_ref().expect("a TCP service is checked unless the document says no");
    assert_eq!((check.interval, check.timeout), (Duration::from_secs(6), Duration::from_secs(10)));

    let observe = config.observe.as_ref().unwrap();
    assert_eq!(observe.port, 9780);
    assert_eq!(observe.allow[0].to_string(), "192.168.0.0/24");
}

#[test]
fn a_member_is_reached_at_its_address_in_the_virtual_address_s_subnet() {
    let document = PAIR.replace("[\"192.168.0.236/24\"]", "[\"10.0.0.1/24\", \"192.168.0.236/24\"]");
    let config = check(&document).unwrap();
    let service = config.services.values().next().unwrap();
    let castor = service.servers.values().next().unwrap();
    assert_eq!(castor.address.to_string(), "192.168.0.236");
}

#[test]
fn every_scheduler_is_known() {
    for name in draft::SCHEDULERS {
        let document = PAIR.replace("scheduler = \"rr\"", &format!("scheduler = \"{name}\""));
        assert_eq!(check(&document).unwrap().services.values().next().unwrap().scheduler, name);
    }
}

#[test]
fn bytes_that_are_no_text_are_refused() {
    let [problem] = &check_bytes(b"schema = 1\nname = \"\xff\"").unwrap_err()[..] else {
        panic!("one problem")
    };
    assert_eq!(problem.to_string(), "line 2: is not UTF-8 text; save the document as plain text in UTF-8");
}

/// A document that leaves nothing out.
const FULL: &str = r#"
schema = 1
cluster = { name = "Filiale Köln", revision = 9223372036854775807, storm = "weights", sync-interface = "back" }

[[member]]
name = "castor"
roles = ["director", "real-server"]
serial = "S3X1234"
[[member.interface]]
name = "lan"
mac = "52-54-00-00-00-0A"
addresses = ["192.168.0.236/24"]
gateway = "192.168.0.1"
[[member.interface]]
name = "back"
path = "0000:01:00.0"
addresses = ["10.9.0.2/24"]
mtu = 9000
routes = [{ to = "10.0.0.0/8", via = "10.9.0.1" }]

[[member]]
name = "pollux"
roles = ["director"]
priority = 99
[[member.interface]]
name = "lan"
mac = "52:54:00:00:00:0b"
addresses = ["192.168.0.238/24"]
[[member.interface]]
name = "back"
mac = "52:54:00:00:00:1b"
addresses = ["10.9.0.3/24"]

[[vrrp]]
id = 51
interface = "lan"
version = 2
advert-interval = "1s"
virtual-addresses = ["192.168.0.239/24"]
preempt-delay = "5s"
authentication = "1111"

[[vrrp]]
id = 52
interface = "lan"
virtual-addresses = ["192.168.0.240/32"]
preempt = false
pseudo-header = true
[vrrp.priority]
castor = 50

[[service]]
name = "pos"
address = "192.168.0.239"
port = 8898
scheduler = "mh"
check = { kind = "tcp", port = 9000, retries = 0 }
server = [{ member = "castor", weight = 0 }, { address = "192.168.0.241", port = 8898, weight = 65535 }]

[[service]]
name = "dns"
address = "192.168.0.240"
port = 53
protocol = "udp"
check = { kind = "none" }
server = [{ member = "castor" }]

[[service]]
name = "web"
address = "192.168.0.240"
port = 53
server = [{ member = "castor" }]

[observe]
interface = "lan"
allow = ["192.168.0.0/24"]
"#;

#[test]
fn a_document_that_is_kept_may_have_keys_of_a_later_version_and_a_fresh_one_may_not() {
    let later = PAIR.replacen("revision = 1", "revision = 1\ncolour = \"blue\"", 1).replacen(
        "[cluster]",
        "[mail]\nto = \"x\"\n\n[cluster]",
        1,
    );
    let (config, unknown) = check_kept(later.as_bytes()).expect("nothing else is wrong");
    assert_eq!(config, check(PAIR).expect("the example"));
    let told: Vec<String> = unknown.iter().map(|p| format!("{}: {}", p.path, p.what)).collect();
    assert_eq!(told, ["mail: not in this version", "cluster.colour: unknown key"]);
    assert_eq!(check(&later), Err(unknown));
    let wrong = later.replacen("revision = 1", "revision = 0", 1);
    let problems = check_kept(wrong.as_bytes()).expect_err("a revision counts from 1");
    assert_eq!(problems.len(), 3, "{problems:?}");
    assert_eq!(check_kept(PAIR.as_bytes()), check(PAIR).map(|config| (config, Vec::new())));
}
