//! The `IPVS` family's messages: operations to bytes, bytes to a table. Pure. Reading is total: an attribute that is
//! missing, short or of another kind makes the item unreadable, never the program.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use halcyon_core::config::{Forwarding, Protocol};
use halcyon_core::plan::state::{Destination, SyncRole, Virtual};
use halcyon_core::reconcile::{DestinationFacts, Op, Scheduling, SyncFacts};

use super::constants::{
    CTRL, CTRL_FAMILY_ID, CTRL_FAMILY_NAME, CTRL_GETFAMILY, DIRECT, FAMILY, HASHED, INET, INET6, PERSISTENT,
    VERSION, attr, cmd, daemon, dest, stats, svc,
};
use super::{Server, Stats};
use crate::netlink::{Writer, attributes, take};

/// Asks the controller for the family's message type.
pub fn get_family(writer: &mut Writer, flags: u16, sequence: u32) {
    writer.message(CTRL, flags, sequence, |w| {
        w.bytes(&[CTRL_GETFAMILY, 2, 0, 0]);
        w.text(CTRL_FAMILY_NAME, FAMILY);
    });
}

/// The family's message type in the controller's answer.
pub fn family(payload: &[u8]) -> Option<u16> {
    value(payload.get(4..)?, CTRL_FAMILY_ID).and_then(|v| take(v, 0)).map(u16::from_ne_bytes)
}

/// A request without arguments: [`cmd::GET_SERVICE`] or [`cmd::GET_DAEMON`] as a dump.
pub fn get(writer: &mut Writer, family: u16, flags: u16, sequence: u32, command: u8) {
    writer.message(family, flags, sequence, |w| header(w, command));
}

/// Asks for the destinations of `service`.
pub fn get_destinations(writer: &mut Writer, family: u16, flags: u16, sequence: u32, service: Virtual) {
    writer.message(family, flags, sequence, |w| {
        header(w, cmd::GET_DEST);
        w.nest(attr::SERVICE, |w| key(w, service));
    });
}

/// Writes `op` as a request; `false` for an operation that is not IPVS's, of which nothing is written.
pub fn operation(writer: &mut Writer, family: u16, flags: u16, sequence: u32, op: &Op) -> bool {
    let mut message = |command: u8, body: &dyn Fn(&mut Writer)| {
        writer.message(family, flags, sequence, |w| {
            header(w, command);
            body(w);
        });
        true
    };
    match op {
        Op::AddService { service, scheduling } => {
            message(cmd::NEW_SERVICE, &|w| full(w, *service, scheduling))
        }
        Op::SetService { service, scheduling } => {
            message(cmd::SET_SERVICE, &|w| full(w, *service, scheduling))
        }
        Op::DelService { service } => {
            message(cmd::DEL_SERVICE, &|w| w.nest(attr::SERVICE, |w| key(w, *service)))
        }
        Op::AddDestination { service, server, destination: d } => {
            message(cmd::NEW_DEST, &|w| destination(w, *service, *server, Some(*d)))
        }
        Op::SetDestination { service, server, destination: d } => {
            message(cmd::SET_DEST, &|w| destination(w, *service, *server, Some(*d)))
        }
        Op::DelDestination { service, server } => {
            message(cmd::DEL_DEST, &|w| destination(w, *service, *server, None))
        }
        Op::StartSync { role, daemon: d } => {
            message(cmd::NEW_DAEMON, &|w| sync(w, *role, d.link.as_str(), d.id))
        }
        Op::StopSync { role, daemon: d } => message(cmd::DEL_DAEMON, &|w| sync(w, *role, &d.link, d.id)),
        _ => false,
    }
}

/// `struct genlmsghdr`.
fn header(w: &mut Writer, command: u8) {
    w.bytes(&[command, VERSION, 0, 0]);
}

/// What identifies a service (`ip_vs_genl_parse_service`, net/netfilter/ipvs/ip_vs_ctl.c).
fn key(w: &mut Writer, service: Virtual) {
    match service {
        Virtual::Address { protocol, address, port } => {
            w.u16(svc::AF, family_of(address));
            w.u16(svc::PROTOCOL, protocol.number().into());
            w.attribute(svc::ADDR, &union(address));
            w.attribute(svc::PORT, &port.to_be_bytes());
        }
        Virtual::Mark { mark, ipv6 } => {
            w.u16(svc::AF, if ipv6 { INET6 } else { INET });
            w.u32(svc::FWMARK, mark);
        }
    }
}

/// A service with everything that adding or changing it needs.
fn full(w: &mut Writer, service: Virtual, scheduling: &Scheduling) {
    w.nest(attr::SERVICE, |w| {
        key(w, service);
        w.text(svc::SCHED_NAME, &scheduling.scheduler);
        let persistent = if scheduling.persistence > 0 { PERSISTENT } else { 0 };
        let mut flags = (scheduling.flags | persistent).to_ne_bytes().to_vec();
        flags.extend(u32::MAX.to_ne_bytes());
        w.attribute(svc::FLAGS, &flags);
        w.u32(svc::TIMEOUT, scheduling.persistence);
        // Persistence is per client address: a netmask for IPv4, the length of a prefix for IPv6.
        w.u32(svc::NETMASK, if is_ipv6(service) { 128 } else { u32::MAX });
    });
}

fn destination(w: &mut Writer, service: Virtual, (address, port): (IpAddr, u16), full: Option<Destination>) {
    w.nest(attr::SERVICE, |w| key(w, service));
    w.nest(attr::DEST, |w| {
        w.u16(dest::ADDR_FAMILY, family_of(address));
        w.attribute(dest::ADDR, &union(address));
        w.attribute(dest::PORT, &port.to_be_bytes());
        if let Some(Destination { weight, forwarding: Forwarding::Direct }) = full {
            w.u32(dest::FWD_METHOD, DIRECT);
            w.u32(dest::WEIGHT, weight.into());
            w.u32(dest::U_THRESH, 0);
            w.u32(dest::L_THRESH, 0);
        }
    });
}

fn sync(w: &mut Writer, role: SyncRole, link: &str, id: u8) {
    w.nest(attr::DAEMON, |w| {
        w.u32(
            daemon::STATE,
            match role {
                SyncRole::Master => daemon::MASTER,
                SyncRole::Backup => daemon::BACKUP,
            },
        );
        w.text(daemon::MCAST_IFN, link);
        w.u32(daemon::SYNC_ID, id.into());
    });
}

/// One service of a `GET_SERVICE` dump, without its destinations.
pub fn read_service(payload: &[u8]) -> Option<(Virtual, Scheduling, Stats)> {
    let service = value(payload.get(4..)?, attr::SERVICE)?;
    let af = value(service, svc::AF).and_then(ne_u16)?;
    let key = match value(service, svc::FWMARK).and_then(ne_u32) {
        Some(mark) if mark != 0 => Virtual::Mark { mark, ipv6: af == INET6 },
        _ => Virtual::Address {
            protocol: protocol(value(service, svc::PROTOCOL).and_then(ne_u16)?)?,
            address: address(af, value(service, svc::ADDR)?)?,
            port: value(service, svc::PORT).and_then(be_u16)?,
        },
    };
    let flags = value(service, svc::FLAGS).and_then(ne_u32)?;
    let timeout = value(service, svc::TIMEOUT).and_then(ne_u32)?;
    let scheduling = Scheduling {
        scheduler: text(value(service, svc::SCHED_NAME)?)?,
        flags: flags & !(PERSISTENT | HASHED),
        persistence: if flags & PERSISTENT == 0 { 0 } else { timeout },
    };
    Some((key, scheduling, read_stats(value(service, svc::STATS64))))
}

/// One destination of a `GET_DEST` dump; `ipv6` is its service's family, which kernels before 3.18 leave out.
pub fn read_destination(payload: &[u8], ipv6: bool) -> Option<Server> {
    let destination = value(payload.get(4..)?, attr::DEST)?;
    let default = if ipv6 { INET6 } else { INET };
    let af = value(destination, dest::ADDR_FAMILY).and_then(ne_u16).unwrap_or(default);
    let number = |kind| value(destination, kind).and_then(ne_u32);
    Some(Server {
        address: address(af, value(destination, dest::ADDR)?)?,
        port: value(destination, dest::PORT).and_then(be_u16)?,
        facts: DestinationFacts {
            weight: number(dest::WEIGHT)?,
            forwarding: (number(dest::FWD_METHOD)? == DIRECT).then_some(Forwarding::Direct),
        },
        active: number(dest::ACTIVE_CONNS).unwrap_or(0),
        inactive: number(dest::INACT_CONNS).unwrap_or(0),
        persistent: number(dest::PERSIST_CONNS).unwrap_or(0),
        stats: read_stats(value(destination, dest::STATS64)),
    })
}

/// One daemon of a `GET_DAEMON` dump.
pub fn read_daemon(payload: &[u8]) -> Option<(SyncRole, SyncFacts)> {
    let found = value(payload.get(4..)?, attr::DAEMON)?;
    let role = match value(found, daemon::STATE).and_then(ne_u32)? {
        daemon::MASTER => SyncRole::Master,
        daemon::BACKUP => SyncRole::Backup,
        _ => return None,
    };
    let link = text(value(found, daemon::MCAST_IFN)?)?;
    let id = u8::try_from(value(found, daemon::SYNC_ID).and_then(ne_u32)?).ok()?;
    Some((role, SyncFacts { link, id }))
}

/// Counters that are missing are 0.
fn read_stats(found: Option<&[u8]>) -> Stats {
    let number =
        |kind| found.and_then(|s| value(s, kind)).and_then(|v| take(v, 0)).map_or(0, u64::from_ne_bytes);
    Stats {
        connections: number(stats::CONNS),
        packets_in: number(stats::INPKTS),
        packets_out: number(stats::OUTPKTS),
        bytes_in: number(stats::INBYTES),
        bytes_out: number(stats::OUTBYTES),
    }
}

fn value(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(k, _)| *k == kind).map(|(_, v)| v)
}

fn ne_u16(value: &[u8]) -> Option<u16> {
    take(value, 0).map(u16::from_ne_bytes)
}

fn ne_u32(value: &[u8]) -> Option<u32> {
    take(value, 0).map(u32::from_ne_bytes)
}

fn be_u16(value: &[u8]) -> Option<u16> {
    take(value, 0).map(u16::from_be_bytes)
}

fn text(value: &[u8]) -> Option<String> {
    let end = value.iter().position(|b| *b == 0).unwrap_or(value.len());
    std::str::from_utf8(&value[..end]).ok().map(str::to_owned)
}

/// `union nf_inet_addr`: 16 bytes, of which IPv4 uses the first four.
fn union(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(a) => {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&a.octets());
            bytes
        }
        IpAddr::V6(a) => a.octets(),
    }
}

fn address(af: u16, value: &[u8]) -> Option<IpAddr> {
    match af {
        INET => take(value, 0).map(|b: [u8; 4]| Ipv4Addr::from(b).into()),
        INET6 => take(value, 0).map(|b: [u8; 16]| Ipv6Addr::from(b).into()),
        _ => None,
    }
}

fn family_of(address: IpAddr) -> u16 {
    if address.is_ipv6() { INET6 } else { INET }
}

fn is_ipv6(service: Virtual) -> bool {
    match service {
        Virtual::Address { address, .. } => address.is_ipv6(),
        Virtual::Mark { ipv6, .. } => ipv6,
    }
}

fn protocol(number: u16) -> Option<Protocol> {
    match number {
        6 => Some(Protocol::Tcp),
        17 => Some(Protocol::Udp),
        132 => Some(Protocol::Sctp),
        _ => None,
    }
}
