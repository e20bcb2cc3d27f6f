//! The clock's keeper: Debian's `ntp-daemon` (ntpd-rs), which follows the document's time servers. Decides what its
//! configuration says and what its observation means; never touches the clock, and no protocol of ours reads that one.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};

use serde::Deserialize;

use crate::status::Clock;

/// Where the engine and other units leave each other files.
pub const DIRECTORY: &str = "/run/halcyon";
/// The daemon's configuration, which the engine writes and removes.
pub const CONFIGURATION: &str = "/run/halcyon/ntp.toml";
/// Where the daemon tells how it goes: a `SOCK_STREAM` unix socket.
pub const OBSERVATION: &str = "/run/halcyon/ntp/observe";
/// The longest observation that is read, bytes. Eight servers take some four thousand.
pub const LONGEST: u64 = 1 << 16;

/// The port of NTP (RFC 5905 §7.2).
const PORT: u16 = 123;
/// A stratum that says "not synchronised" (RFC 5905 §7.3).
const UNSYNCHRONISED: u8 = 16;
/// After so many polls without an answer a server is unreachable (RFC 5905 §9.2: a shift register of eight).
const SILENT: u32 = 8;

/// The daemon's configuration for these servers, as TOML.
///
/// The first correction may be as large as it has to be: a box with a dead battery wakes up years away, and the document
/// says whom to believe. One server suffices, because many sites have one; of several, those that agree win anyway.
pub fn configuration(servers: &[IpAddr]) -> String {
    let mut text = format!(
        "[observability]\nlog-level = \"warn\"\nansi-colors = false\nobservation-path = \"{OBSERVATION}\"\n\n\
         [synchronization]\nminimum-agreeing-sources = 1\nstartup-step-panic-threshold = \"inf\"\n"
    );
    for server in servers {
        let address = SocketAddr::new(*server, PORT);
        write!(text, "\n[[source]]\nmode = \"server\"\naddress = \"{address}\"\n")
            .expect("a String takes all");
    }
    text
}

/// What the daemon's observation says of the clock; `None`: it is no observation.
///
/// The server named is the one that is known best of those that answer.
pub fn clock(observation: &[u8]) -> Option<Clock> {
    let Observation { system, sources } = serde_json::from_slice(observation).ok()?;
    let answering = sources.iter().filter(|source| source.unanswered_polls < SILENT);
    let best = answering
        .filter(|s| s.uncertainty.is_finite())
        .min_by(|a, b| a.uncertainty.total_cmp(&b.uncertainty));
    let synchronised = system.stratum < UNSYNCHRONISED && best.is_some();
    let best = best.filter(|_| synchronised);
    Some(Clock {
        synchronised,
        server: best.map(|source| match source.address.parse::<SocketAddr>() {
            Ok(address) => address.ip().to_string(),
            Err(_) => source.address.chars().filter(|c| !c.is_control()).take(64).collect(),
        }),
        // A float's cast saturates, and the daemon is no enemy that one has to be told of.
        offset_us: best.map(|source| (source.offset * 1e6) as i64),
    })
}

/// The daemon's own form (ntpd-rs 1.4, `ObservableState`); what is not needed here is left out.
#[derive(Deserialize)]
struct Observation {
    system: System,
    sources: Vec<Source>,
}

#[derive(Deserialize)]
struct System {
    stratum: u8,
}

/// Times in seconds.
#[derive(Deserialize)]
struct Source {
    address: String,
    offset: f64,
    uncertainty: f64,
    unanswered_polls: u32,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn observed(stratum: u8, sources: &[(&str, f64, f64, u32)]) -> String {
        let sources: Vec<_> = sources
            .iter()
            .map(|(address, offset, uncertainty, unanswered)| {
                serde_json::json!({
                    "offset": offset, "uncertainty": uncertainty, "delay": 0.001, "remote_delay": 0.0,
                    "remote_uncertainty": 0.0, "last_update": { "timestamp": 7 }, "unanswered_polls": unanswered,
                    "poll_interval": 4, "nts_cookies": null, "name": address, "address": address, "id": 1
                })
            })
            .collect();
        serde_json::json!({
            "program": { "version": "1.4.0" }, "system": { "stratum": stratum, "leap_indicator": "NoWarning" },
            "sources": sources, "servers": []
        })
        .to_string()
    }

    #[test]
    fn the_configuration_names_every_server_by_address() {
        let text = configuration(&["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]);
        let read: toml::Table = text.parse().unwrap();
        let sources = read["source"].as_array().unwrap();
        let addresses: Vec<&str> = sources.iter().filter_map(|source| source["address"].as_str()).collect();
        assert_eq!(addresses, ["192.0.2.1:123", "[2001:db8::1]:123"]);
        assert_eq!(read["synchronization"]["startup-step-panic-threshold"].as_str(), Some("inf"));
    }

    #[test]
    fn the_best_server_that_answers_is_named() {
        let sources = [
            ("192.0.2.1:123", 0.5, 0.2, 0),
            ("[2001:db8::1]:123", -0.002, 0.1, 0),
            ("192.0.2.3:123", 0.0, 0.01, 8),
        ];
        let clock = clock(observed(3, &sources).as_bytes()).unwrap();
        assert_eq!(
            clock,
            Clock { synchronised: true, server: Some("2001:db8::1".into()), offset_us: Some(-2_000) }
        );
    }

    #[test]
    fn without_a_server_that_answers_nothing_is_synchronised() {
        let no = Clock { synchronised: false, server: None, offset_us: None };
        for (stratum, sources) in
            [(3, &[("192.0.2.1:123", 0.5, 0.2, 8)][..]), (16, &[("192.0.2.1:123", 0.5, 0.2, 0)]), (3, &[])]
        {
            assert_eq!(
                clock(observed(stratum, sources).as_bytes()),
                Some(no.clone()),
                "{stratum} {sources:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn nothing_that_is_read_there_does_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = clock(&bytes);
        }

        #[test]
        fn nor_does_any_number(stratum: u8, offset: f64, uncertainty: f64, unanswered: u32) {
            let text = observed(stratum, &[("192.0.2.1:123", offset, uncertainty, unanswered)]);
            let _ = clock(text.as_bytes());
        }
    }
}
