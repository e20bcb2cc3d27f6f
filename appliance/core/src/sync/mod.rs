//! Connections that outlive their director: what a box tells its fellows' kernels of its own connections.
//!
//! The kernel synchronises entries only as packets pass: a box that was rebooted, or cut off, knows nothing of the
//! connections that stood idle meanwhile, and a scheduler that guesses resets them. The truth is where the sockets are.
//! Therefore a box that becomes a director again holds a **roll call** before it takes the address: it asks its fellows,
//! and each multicasts, in the kernel's own synchronisation format, the connections that its sockets hold and the
//! persistence templates that it knows. The asking box's kernel takes them in like any other.
//!
//! [`roll_call`] decides who asks and tells when; [`sockets`] and [`templates`] read what there is to tell;
//! [`message`] writes it down. Nothing here touches a socket or a file.

pub mod message;
pub mod roll_call;
pub mod sockets;
pub mod templates;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::config::types::{LinkName, MemberName};
use crate::config::{Config, Member, Protocol};
use crate::plan::state::{KernelState, SyncRole};

/// A box's place in the roll call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The document.
    pub config: Config,
    /// Which member this box is.
    pub me: MemberName,
    /// Where synchronisation runs.
    pub link: LinkName,
    /// The synchronisation daemons' id.
    pub id: u8,
    /// This box's address there.
    pub address: Ipv4Addr,
    /// The other directors' addresses there, one each.
    pub fellows: BTreeSet<IpAddr>,
}

impl Standing {
    /// `None` for a box that does not synchronise. It follows the planned daemon, so both use one link.
    pub fn of(config: &Config, me: &MemberName, planned: &KernelState) -> Option<Self> {
        let daemon = planned.sync.get(&SyncRole::Backup)?;
        let address = |member: &Member| {
            member.interfaces.get(&daemon.link)?.addresses.iter().find_map(|cidr| match cidr.address() {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            })
        };
        let fellows = config.members.values().filter(|m| m.director && m.name != *me);
        Some(Self {
            address: address(config.members.get(me)?)?,
            fellows: fellows.filter_map(address).map(IpAddr::V4).collect(),
            config: config.clone(),
            me: me.clone(),
            link: daemon.link.clone(),
            id: daemon.id,
        })
    }
}

/// One entry of IPVS's connection table, as far as fellows need it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// Transport.
    pub protocol: Protocol,
    /// The client; port 0 in a template.
    pub client: SocketAddr,
    /// Virtual address and port.
    pub service: SocketAddr,
    /// The real server, of the same family.
    pub server: SocketAddr,
    /// What kind of entry it is.
    pub kind: Kind,
    /// How long it lives without a packet; whole seconds count.
    pub timeout: Duration,
}

/// Connection or template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A connection in this state.
    Connection(State),
    /// Which server a client sticks to.
    Template,
}

/// States of a TCP connection as IPVS numbers them (`IP_VS_TCP_S_*`, include/net/ip_vs.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u16)]
pub enum State {
    /// Open.
    Established = 1,
    /// The handshake waits for the client's last segment.
    SynReceived = 3,
    /// The server has closed its half.
    FinWait = 4,
    /// The client has closed its half.
    CloseWait = 7,
    /// Both have closed; the last acknowledgement is awaited.
    LastAck = 8,
}

impl State {
    /// The kernel's default time of the state (`tcp_timeouts`, net/netfilter/ipvs/ip_vs_proto_tcp.c).
    pub fn timeout(self) -> Duration {
        Duration::from_secs(match self {
            Self::Established => 15 * 60,
            Self::SynReceived | Self::CloseWait => 60,
            Self::FinWait => 2 * 60,
            Self::LastAck => 30,
        })
    }
}

/// The connections that sockets of `me` hold and that a director may have to find: those to a virtual service that
/// `me` serves.
pub fn own_connections(config: &Config, me: &MemberName, sockets: &[sockets::Socket]) -> Vec<Connection> {
    let mut connections = Vec::new();
    for service in config.services.values().filter(|s| s.protocol == Protocol::Tcp) {
        let Some(server) = service.servers.values().find(|s| s.member.as_ref() == Some(me)) else { continue };
        let here = SocketAddr::new(service.address, server.port);
        connections.extend(sockets.iter().filter(|socket| socket.local == here).map(|socket| Connection {
            protocol: Protocol::Tcp,
            client: socket.remote,
            service: SocketAddr::new(service.address, service.port),
            server: SocketAddr::new(server.address, server.port),
            kind: Kind::Connection(socket.state),
            timeout: socket.state.timeout(),
        }));
    }
    connections
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::check;
    use crate::plan::{View, plan};

    #[test]
    fn a_box_tells_the_connections_of_its_sockets_to_the_services_that_it_serves() {
        let config = check(include_str!("../../../../examples/pair.toml")).expect("the example is right");
        let socket = |local: &str, remote: &str| sockets::Socket {
            local: local.parse().expect("an endpoint"),
            remote: remote.parse().expect("an endpoint"),
            state: State::Established,
        };
        let held = [
            socket("192.168.0.239:8898", "192.168.0.17:40001"),
            socket("192.168.0.238:8898", "192.168.0.236:40002"),
            socket("192.168.0.239:22", "192.168.0.17:40003"),
        ];
        let told = own_connections(&config, &"pollux".parse().expect("a name"), &held);
        assert_eq!(told.len(), 1, "a check from a fellow and another port are nobody's business: {told:?}");
        assert_eq!(told[0].client, held[0].remote);
        assert_eq!(told[0].server, "192.168.0.238:8898".parse().expect("an endpoint"));
        assert_eq!(told[0].timeout, Duration::from_secs(900));
        assert!(own_connections(&config, &"nobody".parse().expect("a name"), &held).is_empty());
    }

    #[test]
    fn the_roll_call_takes_place_where_the_daemons_run() {
        let config = check(include_str!("../../../../examples/pair.toml")).expect("the example is right");
        let me = "pollux".parse().expect("a name");
        let planned = plan(&config, &me, &View::default()).state;
        let standing = Standing::of(&config, &me, &planned).expect("two directors synchronise");
        assert_eq!(standing.link.as_str(), "lan");
        assert_eq!(standing.id, 51);
        assert_eq!(standing.address, Ipv4Addr::new(192, 168, 0, 238));
        assert_eq!(standing.fellows, BTreeSet::from([[192, 168, 0, 236].into()]));
        assert_eq!(Standing::of(&config, &me, &KernelState::default()), None);
    }
}
