//! An IPv4 address from a DHCP server (RFC 2131): smoltcp's client, between frames that come in and frames that leave.
//!
//! Decides which frames the client gets to see, how long it waits, and what of a server's word can be a lease. It owns no
//! socket; whether a lease fits into the cluster is [`Node`](crate::node::Node)'s to decide. Nothing outlives the process: a
//! server gives the same address again to who asks with the same MAC.

mod card;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::dhcpv4::{self, Event, RetryConfig};
use smoltcp::time::{Duration, Instant};
use smoltcp::wire::{HardwareAddress, IpCidr};

use crate::config::address::{is_broadcast, is_network};
use crate::config::types::{Cidr, Mac};
use crate::moment::Moment;
use card::Card;

/// First pause before a question is asked again (RFC 2131 §4.1: 4 s on Ethernet).
const PAUSE: Duration = Duration::from_secs(4);

/// What a server lent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The address with its subnet's prefix.
    pub address: Cidr,
    /// The router, if one was named that lies in the subnet.
    pub gateway: Option<IpAddr>,
    /// Name servers, in the server's order.
    pub dns: Vec<IpAddr>,
    /// Who lent it.
    pub server: IpAddr,
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, lent by {}", self.address, self.server)
    }
}

/// A client on one link.
pub struct Client {
    interface: Interface,
    sockets: SocketSet<'static>,
    socket: SocketHandle,
    card: Card,
    lease: Option<Lease>,
}

impl Client {
    /// A client without a lease, which asks for one at its first [`turn`](Self::turn). `seed` draws its transaction ids.
    pub fn new(mac: Mac, seed: u64, now: Moment) -> Self {
        let mut config = Config::new(HardwareAddress::Ethernet(card::ethernet(mac)));
        config.random_seed = seed;
        let mut card = Card::new(mac);
        let interface = Interface::new(config, &mut card, instant(now));
        let mut client = dhcpv4::Socket::new();
        let mut pauses = RetryConfig::default();
        (pauses.discover_timeout, pauses.initial_request_timeout) = (PAUSE, PAUSE);
        client.set_retry_config(pauses);
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(client);
        Self { interface, sockets, socket, card, lease: None }
    }

    /// Takes in what came from the link, an Ethernet frame; what is no answer of a DHCP server is passed over.
    pub fn receive(&mut self, frame: &[u8]) {
        self.card.receive(frame);
    }

    /// Lets the client go on: the frames that it sends. [`Client::lease`] may say something else afterwards.
    pub fn turn(&mut self, now: Moment) -> Vec<Vec<u8>> {
        loop {
            self.interface.poll(instant(now), &mut self.card, &mut self.sockets);
            let lease = match self.sockets.get_mut::<dhcpv4::Socket<'_>>(self.socket).poll() {
                None if self.card.is_empty() => return self.card.take_sent(),
                None => continue,
                Some(Event::Deconfigured) => None,
                Some(Event::Configured(told)) => lease(&told),
            };
            // With a prefix of no bits every server is a neighbour: it is sent to by the way that its answer came.
            let own = lease.as_ref().and_then(|lease| match lease.address.address() {
                IpAddr::V4(own) => Some(IpCidr::new(own.into(), 0)),
                IpAddr::V6(_) => None,
            });
            self.interface.update_ip_addrs(|all| {
                all.clear();
                all.extend(own);
            });
            self.lease = lease;
        }
    }

    /// What was lent and is in force.
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// When the client wants its next turn, unless a frame comes first.
    pub fn poll_timeout(&mut self, now: Moment) -> Option<Moment> {
        let at = self.interface.poll_at(instant(now), &self.sockets)?;
        Some(Moment::from_boot(std::time::Duration::from_micros(
            u64::try_from(at.total_micros()).unwrap_or(0),
        )))
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("lease", &self.lease).finish_non_exhaustive()
    }
}

/// What the server told, if a host can hold it.
fn lease(told: &dhcpv4::Config<'_>) -> Option<Lease> {
    let own = IpAddr::from(told.address.address());
    let address = Cidr::new(own, told.address.prefix_len()).filter(|cidr| holdable(*cidr))?;
    let gateway = told.router.map(IpAddr::from);
    let gateway =
        gateway.filter(|router| *router != own && address.contains(*router) && !is_edge(address, *router));
    Some(Lease {
        address,
        gateway,
        dns: told.dns_servers.iter().copied().map(IpAddr::from).collect(),
        server: told.server.address.into(),
    })
}

/// A host's address in a subnet that is one.
fn holdable(cidr: Cidr) -> bool {
    let IpAddr::V4(address) = cidr.address() else { return false };
    let special = address.is_loopback() || address.is_multicast() || address.octets()[0] == 0;
    cidr.prefix() >= 8 && !special && !is_edge(cidr, cidr.address())
}

fn is_edge(subnet: Cidr, address: IpAddr) -> bool {
    is_network(subnet, address) || is_broadcast(subnet, address)
}

fn instant(moment: Moment) -> Instant {
    Instant::from_micros(i64::try_from(moment.since_boot().as_micros()).unwrap_or(i64::MAX))
}
