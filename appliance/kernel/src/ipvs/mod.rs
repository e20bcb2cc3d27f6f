//! IPVS over generic netlink: the virtual server table and the connection synchronisation daemons. Runs what
//! [`wire`] writes and collects what it reads; decides nothing.
//!
//! IPVS and its schedulers are modules, which the kernel has loaded when they are asked for; one that is missing is a clear
//! error here. Only what changes something asks: reading a table that cannot be there loads nothing.

pub mod constants;
pub mod wire;

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::Path;

use halcyon_core::plan::state::{SyncRole, Virtual};
use halcyon_core::reconcile::{DestinationFacts, Op, Scheduling, ServiceFacts, SyncFacts};
use nix::errno::Errno;
use nix::sys::socket::SockProtocol;

use crate::Error;
use crate::netlink::{ACK, DUMP, Socket};
use constants::cmd;

/// One virtual service of the kernel's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// What it matches.
    pub service: Virtual,
    /// How it schedules.
    pub scheduling: Scheduling,
    /// What went through it.
    pub stats: Stats,
    /// Its destinations, in the kernel's order.
    pub servers: Vec<Server>,
}

impl From<Service> for (Virtual, ServiceFacts) {
    fn from(entry: Service) -> Self {
        let destinations = entry.servers.iter().map(|s| ((s.address, s.port), s.facts)).collect();
        (entry.service, ServiceFacts { scheduling: entry.scheduling, destinations })
    }
}

/// One destination of a virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Real server's address.
    pub address: IpAddr,
    /// Its port; 0: the packet's own.
    pub port: u16,
    /// Weight and forwarding method.
    pub facts: DestinationFacts,
    /// Connections in a state with traffic.
    pub active: u32,
    /// All others.
    pub inactive: u32,
    /// Persistence templates.
    pub persistent: u32,
    /// What went to it.
    pub stats: Stats,
}

/// Counters of a service or destination since it was added.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients; 0 with direct routing, where they do not pass here.
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
}

/// The kernel's IPVS.
pub struct Ipvs {
    socket: Socket,
    /// The family's message type; unknown while `ip_vs` is not loaded.
    family: Option<u16>,
}

impl Ipvs {
    /// Opens the socket. A kernel without `ip_vs` is no error yet: its table is empty.
    pub fn open() -> Result<Self, Error> {
        let socket =
            Socket::open(SockProtocol::NetlinkGeneric).map_err(|e| Error::refused("open IPVS", e))?;
        Ok(Self { socket, family: None })
    }

    /// Whether `op` is one that [`apply`](Self::apply) takes.
    pub fn takes(op: &Op) -> bool {
        matches!(
            op,
            Op::AddService { .. }
                | Op::SetService { .. }
                | Op::DelService { .. }
                | Op::AddDestination { .. }
                | Op::SetDestination { .. }
                | Op::DelDestination { .. }
                | Op::StartSync { .. }
                | Op::StopSync { .. }
        )
    }

    /// The whole table with its counters; empty while `ip_vs` is not loaded.
    pub fn table(&mut self) -> Result<Vec<Service>, Error> {
        let mut services = self.services()?;
        for service in &mut services {
            self.read_servers(service)?;
        }
        Ok(services)
    }

    /// The services of the table, without their servers.
    pub fn services(&mut self) -> Result<Vec<Service>, Error> {
        let Some(family) = self.present()? else { return Ok(Vec::new()) };
        let mut services = Vec::new();
        self.dump(
            "read IPVS services",
            |w, f, s| wire::get(w, family, f, s, cmd::GET_SERVICE),
            |payload| {
                if let Some((service, scheduling, stats)) = wire::read_service(payload) {
                    services.push(Service { service, scheduling, stats, servers: Vec::new() });
                }
            },
        )?;
        Ok(services)
    }

    /// Reads the servers of `entry` into it: one question to the kernel, there is none for all services at once.
    pub fn read_servers(&mut self, entry: &mut Service) -> Result<(), Error> {
        let Some(family) = self.family()? else { return Ok(()) };
        let service = entry.service;
        let ipv6 = match service {
            Virtual::Address { address, .. } => address.is_ipv6(),
            Virtual::Mark { ipv6, .. } => ipv6,
        };
        entry.servers.clear();
        self.dump(
            "read IPVS servers",
            |w, f, s| wire::get_destinations(w, family, f, s, service),
            |payload| entry.servers.extend(wire::read_destination(payload, ipv6)),
        )
    }

    /// The running synchronisation daemons.
    pub fn daemons(&mut self) -> Result<BTreeMap<SyncRole, SyncFacts>, Error> {
        let Some(family) = self.present()? else { return Ok(BTreeMap::new()) };
        let mut daemons = BTreeMap::new();
        self.dump(
            "read IPVS daemons",
            |w, f, s| wire::get(w, family, f, s, cmd::GET_DAEMON),
            |payload| {
                daemons.extend(wire::read_daemon(payload));
            },
        )?;
        Ok(daemons)
    }

    /// Runs `ops`, all of which are IPVS's, in one go; one outcome each.
    pub fn apply(&mut self, ops: &[Op]) -> Vec<Result<(), Error>> {
        let family = match self.family() {
            Ok(Some(family)) => family,
            Ok(None) => return ops.iter().map(|op| Err(missing(op, "ip_vs"))).collect(),
            Err(error) => {
                let text = error.to_string();
                return ops
                    .iter()
                    .map(|op| Err(Error::refused(op.to_string(), io::Error::other(&*text))))
                    .collect();
            }
        };
        let results = self.socket.pipeline(ops.len(), |w, i, flags, sequence| {
            let written = wire::operation(w, family, flags, sequence, &ops[i]);
            debug_assert!(written, "{} is not IPVS's", ops[i]);
        });
        match results {
            Ok(results) => ops.iter().zip(results).map(|(op, result)| outcome(op, result)).collect(),
            // An answer was lost: what was done is not known, and the next look at the kernel tells.
            Err(error) => ops
                .iter()
                .map(|op| {
                    Err(Error::refused(op.to_string(), io::Error::new(error.kind(), error.to_string())))
                })
                .collect(),
        }
    }

    /// The family if `ip_vs` is loaded. To ask for it is to have it loaded, for which the first look at a kernel that
    /// starts has no time; the file is there as long as the module is (`ip_vs_control_net_init`).
    fn present(&mut self) -> Result<Option<u16>, Error> {
        if self.family.is_none() && !Path::new("/proc/net/ip_vs").exists() {
            return Ok(None);
        }
        self.family()
    }

    fn family(&mut self) -> Result<Option<u16>, Error> {
        if self.family.is_none() {
            let mut found = None;
            let result = self.socket.request(ACK, wire::get_family, |payload| found = wire::family(payload));

            match result {
                Ok(()) => self.family = found,
                Err(error) if errno(&error) == Errno::ENOENT => {}
                Err(error) => return Err(Error::refused("find the kernel's IPVS", error)),
            }
        }
        Ok(self.family)
    }

    fn dump(
        &mut self,
        what: &str,
        write: impl FnOnce(&mut crate::netlink::Writer, u16, u32),
        each: impl FnMut(&[u8]),
    ) -> Result<(), Error> {
        self.socket.request(DUMP, write, each).map_err(|e| Error::refused(what, e))
    }
}

/// What an answer means for `op`: work that is done already counts as done, and the kernel's terse codes get words
/// (`ip_vs_genl_set_cmd`, net/netfilter/ipvs/ip_vs_ctl.c).
fn outcome(op: &Op, result: io::Result<()>) -> Result<(), Error> {
    let Err(error) = result else { return Ok(()) };
    match (op, errno(&error)) {
        (Op::AddService { .. } | Op::AddDestination { .. } | Op::StartSync { .. }, Errno::EEXIST)
        | (
            Op::DelService { .. } | Op::DelDestination { .. } | Op::StopSync { .. },
            Errno::ENOENT | Errno::ESRCH,
        ) => Ok(()),
        (Op::AddService { scheduling, .. } | Op::SetService { scheduling, .. }, Errno::ENOENT) => {
            Err(missing(op, &format!("ip_vs_{}", scheduling.scheduler)))
        }
        _ => Err(Error::refused(op.to_string(), error)),
    }
}

fn missing(op: &Op, module: &str) -> Error {
    Error::Missing { what: op.to_string(), module: module.to_owned() }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or(0))
}

#[cfg(test)]
mod tests;
