//! Requests byte by byte, answers of every shape.

use std::net::Ipv6Addr;

use halcyon_core::config::{Forwarding, Protocol};
use halcyon_core::plan::state::{Destination, SyncDaemon};
use proptest::prelude::*;

use super::constants::{DIRECT, HASHED, INET, INET6, PERSISTENT, attr, daemon, dest, stats, svc};
use super::*;
use crate::netlink::Writer;

const FAMILY: u16 = 0x21;
const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 100));
const TCP: Virtual = Virtual::Address { protocol: Protocol::Tcp, address: VIP, port: 8898 };
const MARK: Virtual = Virtual::Mark { mark: 7, ipv6: false };

fn bytes(op: &Op) -> Vec<u8> {
    let mut writer = Writer::default();
    assert!(wire::operation(&mut writer, FAMILY, 5, 9, op));
    writer.as_bytes().to_vec()
}

fn scheduling(scheduler: &str, flags: u32, persistence: u32) -> Scheduling {
    Scheduling { scheduler: scheduler.into(), flags, persistence }
}

#[test]
#[rustfmt::skip]
fn adding_a_service_is_exact() {
    let op = Op::AddService { service: TCP, scheduling: scheduling("mh", 0x10, 50) };
    assert_eq!(bytes(&op), [
        104, 0, 0, 0,  0x21, 0, 5, 0,  9, 0, 0, 0,  0, 0, 0, 0,     // nlmsghdr
        1, 1, 0, 0,                                               // NEW_SERVICE, version 1
        84, 0, 1, 0x80,                                           // ATTR_SERVICE, nested
        6, 0, 1, 0,  2, 0, 0, 0,                                  // AF
        6, 0, 2, 0,  6, 0, 0, 0,                                  // PROTOCOL
        20, 0, 3, 0,  192, 0, 2, 100,  0, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
        6, 0, 4, 0,  0x22, 0xc2, 0, 0,                            // PORT, big-endian
        7, 0, 6, 0,  b'm', b'h', 0, 0,                            // SCHED_NAME
        12, 0, 7, 0,  0x11, 0, 0, 0,  0xff, 0xff, 0xff, 0xff,     // FLAGS: PERSISTENT | SCHED2, mask
        8, 0, 8, 0,  50, 0, 0, 0,                                 // TIMEOUT
        8, 0, 9, 0,  0xff, 0xff, 0xff, 0xff,                      // NETMASK
    ]);
}

#[test]
#[rustfmt::skip]
fn destinations_of_a_mark_are_exact() {
    let destination = Destination { weight: 100, forwarding: Forwarding::Direct };
    let server = ([192, 0, 2, 1].into(), 0);
    let key = [20, 0, 1, 0x80,  6, 0, 1, 0,  2, 0, 0, 0,  8, 0, 5, 0,  7, 0, 0, 0];
    let server_key = [
        6, 0, 11, 0,  2, 0, 0, 0,
        20, 0, 1, 0,  192, 0, 2, 1,  0, 0, 0, 0,  0, 0, 0, 0,  0, 0, 0, 0,
        6, 0, 2, 0,  0, 0, 0, 0,
    ];
    let values = [
        8, 0, 3, 0,  3, 0, 0, 0,  8, 0, 4, 0,  100, 0, 0, 0,
        8, 0, 5, 0,  0, 0, 0, 0,  8, 0, 6, 0,  0, 0, 0, 0,
    ];
    let head = |length: u8, command: u8| [length, 0, 0, 0, 0x21, 0, 5, 0, 9, 0, 0, 0, 0, 0, 0, 0, command, 1, 0, 0];
    let full = [&head(112, 5)[..], &key, &[72, 0, 2, 0x80], &server_key, &values].concat();
    let short = [&head(80, 7)[..], &key, &[40, 0, 2, 0x80], &server_key].concat();
    assert_eq!(bytes(&Op::AddDestination { service: MARK, server, destination }), full);
    assert_eq!(bytes(&Op::DelDestination { service: MARK, server }), short);
    let mut set = full;
    set[16] = 6;
    assert_eq!(bytes(&Op::SetDestination { service: MARK, server, destination }), set);
}

#[test]
#[rustfmt::skip]
fn daemons_are_exact() {
    let daemon = SyncDaemon { link: "lan".parse().unwrap(), id: 51 };
    assert_eq!(bytes(&Op::StartSync { role: SyncRole::Backup, daemon }), [
        48, 0, 0, 0,  0x21, 0, 5, 0,  9, 0, 0, 0,  0, 0, 0, 0,  9, 1, 0, 0,
        28, 0, 3, 0x80,
        8, 0, 1, 0,  2, 0, 0, 0,
        8, 0, 2, 0,  b'l', b'a', b'n', 0,
        8, 0, 3, 0,  51, 0, 0, 0,
    ]);
}

#[test]
fn only_ipvs_operations_are_taken() {
    let op = Op::LinkUp { index: 1, link: "lo".into() };
    let mut writer = Writer::default();
    assert!(!wire::operation(&mut writer, FAMILY, 0, 0, &op) && !Ipvs::takes(&op));
    assert!(writer.as_bytes().is_empty());
}

/// What a kernel would answer about `service`.
fn service_answer(service: Virtual, scheduling: &Scheduling, connections: u64) -> Vec<u8> {
    let mut w = Writer::default();
    w.bytes(&[cmd::NEW_SERVICE, 1, 0, 0]);
    w.nest(attr::SERVICE, |w| {
        match service {
            Virtual::Address { protocol, address, port } => {
                w.u16(svc::AF, if address.is_ipv6() { INET6 } else { INET });
                w.u16(
                    svc::PROTOCOL,
                    match protocol {
                        Protocol::Tcp => 6,
                        Protocol::Udp => 17,
                        Protocol::Sctp => 132,
                    },
                );
                w.attribute(svc::ADDR, &union(address));
                w.attribute(svc::PORT, &port.to_be_bytes());
            }
            Virtual::Mark { mark, ipv6 } => {
                w.u16(svc::AF, if ipv6 { INET6 } else { INET });
                w.u32(svc::FWMARK, mark);
            }
        }
        w.text(svc::SCHED_NAME, &scheduling.scheduler);
        let persistent = if scheduling.persistence > 0 { PERSISTENT } else { 0 };
        let flags = scheduling.flags | HASHED | persistent;
        w.attribute(svc::FLAGS, &[flags.to_ne_bytes(), [0xff; 4]].concat());
        w.u32(svc::TIMEOUT, scheduling.persistence);
        w.u32(svc::NETMASK, u32::MAX);
        w.nest(svc::STATS64, |w| w.attribute(stats::CONNS, &connections.to_ne_bytes()));
    });
    w.as_bytes().to_vec()
}

fn union(address: IpAddr) -> Vec<u8> {
    let mut bytes = match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    };
    bytes.resize(16, 0);
    bytes
}

#[test]
fn services_are_read() {
    let v6 = Virtual::Address { protocol: Protocol::Udp, address: Ipv6Addr::LOCALHOST.into(), port: 53 };
    for service in [TCP, v6, MARK, Virtual::Mark { mark: 0xffff_ffff, ipv6: true }] {
        for scheduling in [scheduling("rr", 0, 0), scheduling("mh", 0x10, 300)] {
            let answer = service_answer(service, &scheduling, 5);
            let stats = Stats { connections: 5, ..Stats::default() };
            assert_eq!(wire::read_service(&answer), Some((service, scheduling, stats)));
        }
    }
}

#[test]
fn destinations_and_daemons_are_read() {
    let answer = |method: u32, af: Option<u16>| {
        let mut w = Writer::default();
        w.bytes(&[cmd::NEW_DEST, 1, 0, 0]);
        w.nest(attr::DEST, |w| {
            w.attribute(dest::ADDR, &union(VIP));
            w.attribute(dest::PORT, &80_u16.to_be_bytes());
            w.u32(dest::FWD_METHOD, method);
            w.u32(dest::WEIGHT, 70_000);
            w.u32(dest::ACTIVE_CONNS, 3);
            af.into_iter().for_each(|af| w.u16(dest::ADDR_FAMILY, af));
        });
        w.as_bytes().to_vec()
    };
    for (method, forwarding) in [(DIRECT, Some(Forwarding::Direct)), (0, None), (2, None)] {
        let server = wire::read_destination(&answer(method, Some(INET)), true).unwrap();
        assert_eq!((server.address, server.port, server.active), (VIP, 80, 3));
        assert_eq!(server.facts, DestinationFacts { weight: 70_000, forwarding });
        assert_eq!(wire::read_destination(&answer(method, None), false).unwrap().address, VIP);
    }
    assert_eq!(wire::read_destination(&answer(DIRECT, Some(99)), false), None);

    let mut w = Writer::default();
    w.bytes(&[cmd::NEW_DAEMON, 1, 0, 0]);
    w.nest(attr::DAEMON, |w| {
        w.u32(daemon::STATE, daemon::MASTER);
        w.text(daemon::MCAST_IFN, "lan");
        w.u32(daemon::SYNC_ID, 51);
    });
    let facts = SyncFacts { link: "lan".into(), id: 51 };
    assert_eq!(wire::read_daemon(w.as_bytes()), Some((SyncRole::Master, facts)));
}

#[test]
fn the_kernels_codes_get_words() {
    let refuse = |op: &Op, errno: Errno| outcome(op, Err(io::Error::from_raw_os_error(errno as i32)));
    let add = Op::AddService { service: TCP, scheduling: scheduling("wrr", 0, 0) };
    let server = (VIP, 80);
    let del = Op::DelDestination { service: TCP, server };
    assert!(refuse(&add, Errno::EEXIST).is_ok());
    assert!(refuse(&del, Errno::ENOENT).is_ok());
    assert!(refuse(&del, Errno::ESRCH).is_ok());
    assert!(refuse(&del, Errno::EPERM).is_err());
    assert!(
        refuse(&Op::SetService { service: TCP, scheduling: scheduling("rr", 0, 0) }, Errno::EEXIST).is_err()
    );
    assert_eq!(
        refuse(&add, Errno::ENOENT).unwrap_err().to_string(),
        "add service tcp 192.0.2.100:8898, wrr: the kernel does not have it; load the module ip_vs_wrr"
    );
}

/// Every reader of this crate, on bytes of anyone's making. Total, or the caller sees the panic.
fn read_everything(bytes: &[u8]) {
    let inside = crate::netlink::messages(bytes).map(|message| message.payload);
    for payload in inside.chain([bytes]) {
        let _ = wire::family(payload);
        let _ = wire::read_service(payload);
        let _ = wire::read_destination(payload, true);
        let _ = wire::read_daemon(payload);
        let _ = crate::nft::wire::generation(payload);
        let _ = crate::nft::wire::counter(payload);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn no_answer_breaks_a_reader(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        read_everything(&bytes);
    }

    /// Bytes that look like an answer, with some of them changed and the rest cut off: they reach every branch.
    #[test]
    fn no_damaged_answer_breaks_a_reader(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut w = Writer::default();
        w.message(FAMILY, 0, 1, |w| w.bytes(&service_answer(TCP, &scheduling("rr", 0, 0), 1)));
        w.message(FAMILY, 0, 1, |w| w.bytes(&service_answer(MARK, &scheduling("mh", 16, 9), 1)));
        let mut bytes = w.as_bytes().to_vec();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        read_everything(&bytes);
        bytes.truncate(keep.index(bytes.len()));
        read_everything(&bytes);
    }
}
