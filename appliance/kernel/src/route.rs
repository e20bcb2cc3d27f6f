//! Addresses, routes and neighbours over rtnetlink, and what is done to links ([`link`](crate::link) says what they are). Translates between the kernel's messages and the
//! reconciler's facts; picks out what concerns Halcyon and decides nothing more.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use futures_util::TryStreamExt;
use futures_util::stream::Stream;
use halcyon_core::config::types::{Cidr, Mac};
use halcyon_core::plan::state::{Address, AddressRole};
use halcyon_core::reconcile::{LinkFacts, Op, RouteFact};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo,
};
use netlink_packet_route::link::LinkMessage;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState,
};
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteHeader, RouteMessage, RouteProtocol, RouteScope, RouteType,
};
use nix::errno::Errno;
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};

use crate::link::mac;
use crate::{Error, link};

/// The kernel's network configuration.
pub struct Network {
    handle: Handle,
    sys: PathBuf,
}

impl Network {
    /// Connects; `sys` is `/sys`. Needs a tokio runtime, on which the connection's own task then runs.
    pub fn open(sys: impl Into<PathBuf>) -> Result<Self, Error> {
        let (connection, handle, _) =
            rtnetlink::new_connection().map_err(|e| Error::refused("open rtnetlink", e))?;
        tokio::spawn(connection);
        Ok(Self { handle, sys: sys.into() })
    }

    /// All links by index.
    pub async fn links(&self) -> Result<BTreeMap<u32, LinkFacts>, Error> {
        let messages = collect("read links", self.handle.link().get().execute()).await?;
        Ok(messages.iter().map(|m| (m.header.index, link::facts(m, &self.sys))).collect())
    }

    /// All addresses that someone set, by link index, and the kernel's own link-local ones that can be used.
    pub async fn addresses(&self) -> Result<(BTreeSet<(u32, Cidr)>, BTreeMap<u32, Ipv6Addr>), Error> {
        let messages = collect("read addresses", self.handle.address().get().execute()).await?;
        Ok((messages.iter().filter_map(address).collect(), messages.iter().filter_map(link_local).collect()))
    }

    /// Routes of the main table with a next hop, made by hand or by Halcyon.
    pub async fn routes(&self) -> Result<BTreeSet<RouteFact>, Error> {
        let v4 = RouteMessageBuilder::<Ipv4Addr>::new().build();
        let v6 = RouteMessageBuilder::<Ipv6Addr>::new().build();
        let mut routes = BTreeSet::new();
        for family in [v4, v6] {
            let messages = collect("read routes", self.handle.route().get(family).execute()).await?;
            routes.extend(messages.iter().filter_map(route));
        }
        Ok(routes)
    }

    /// Neighbours on the link with `index` whose MAC the kernel knows.
    pub async fn neighbours(&self, index: u32) -> Result<Vec<(IpAddr, Mac)>, Error> {
        let messages = collect("read neighbours", self.handle.neighbours().get().execute()).await?;
        Ok(messages.iter().filter(|m| m.header.ifindex == index).filter_map(neighbour).collect())
    }

    /// Runs `op`, which is one of links, addresses or routes.
    pub async fn apply(&self, op: &Op) -> Result<(), Error> {
        let result = match op {
            Op::NameLink { index, to, .. } => {
                self.set(LinkUnspec::new_with_index(*index).name(to).build()).await
            }
            Op::SetMtu { index, mtu, .. } => {
                self.set(LinkUnspec::new_with_index(*index).mtu(*mtu).build()).await
            }
            Op::LinkUp { index, .. } => self.set(LinkUnspec::new_with_index(*index).up().build()).await,
            Op::MakeVlan { index, link, parent, id, .. } => {
                self.handle.link().add(link::vlan(*index, link, *parent, *id)).execute().await
            }
            Op::MakeBond { index, link, mode, mac } => {
                self.handle.link().add(link::bond(*index, link, *mode, *mac)).execute().await
            }
            Op::DelLink { index, .. } => self.handle.link().del(*index).execute().await,
            Op::JoinBond { index, bond, .. } => {
                let port = || LinkUnspec::new_with_index(*index);
                match self.set(port().down().build()).await {
                    Ok(()) => self.set(port().controller(*bond).build()).await,
                    refused => refused,
                }
            }
            Op::LeaveBond { index, .. } => {
                self.set(LinkUnspec::new_with_index(*index).nocontroller().build()).await
            }
            Op::AddAddress { index, address } => self.add_address(*index, address).await,
            Op::DelAddress { index, cidr, .. } => {
                let mut message = AddressMessage::default();
                message.header.index = *index;
                message.header.prefix_len = cidr.prefix();
                message.header.family = family(cidr.address());
                message.attributes.push(AddressAttribute::Local(cidr.address()));
                self.handle.address().del(message).execute().await
            }
            Op::AddRoute { route, .. } => {
                self.handle.route().add(route_message(route)).replace().execute().await
            }
            Op::DelRoute { route, .. } => {
                let mut message = route_message(route);
                // Whoever made it: the kernel compares what is stated (`fib_table_delete`, net/ipv4/fib_trie.c).
                message.header.protocol = RouteProtocol::Unspec;
                message.header.scope = RouteScope::NoWhere;
                self.handle.route().del(message).execute().await
            }
            _ => return Err(Error::refused(op.to_string(), io::Error::from(io::ErrorKind::Unsupported))),
        };
        outcome(op, result)
    }

    async fn set(&self, message: LinkMessage) -> Result<(), rtnetlink::Error> {
        self.handle.link().set(message).execute().await
    }

    async fn add_address(&self, index: u32, address: &Address) -> Result<(), rtnetlink::Error> {
        let (ip, prefix) = (address.cidr.address(), address.cidr.prefix());
        let mut request = self.handle.address().add(index, ip, prefix);
        if ip.is_ipv6() {
            // A virtual address moves between boxes; waiting for duplicate detection would be an outage (RFC 4862 §5.4).
            // An own one is the document's word, as in IPv4: a stranger who answers the question could keep the box out.
            let attributes = &mut request.message_mut().attributes;
            attributes.push(AddressAttribute::Flags(AddressFlags::Nodad));
            if address.role != AddressRole::Own {
                // Deprecated from the start (RFC 6724 §5 rule 3): the box never speaks from a virtual address of its own
                // accord, as it would from IPv6's newest address otherwise. Answers keep the address they were asked at.
                let mut lifetimes = CacheInfo::default();
                (lifetimes.ifa_preferred, lifetimes.ifa_valid) = (0, u32::MAX);
                attributes.push(AddressAttribute::CacheInfo(lifetimes));
            }
        }
        request.execute().await
    }
}

async fn collect<T>(
    what: &str,
    stream: impl Stream<Item = Result<T, rtnetlink::Error>>,
) -> Result<Vec<T>, Error> {
    stream.try_collect().await.map_err(|e| Error::refused(what, cause(e)))
}

/// What the kernel's answer means for `op`: work that is done already counts as done.
fn outcome(op: &Op, result: Result<(), rtnetlink::Error>) -> Result<(), Error> {
    let Err(error) = result else { return Ok(()) };
    let error = cause(error);
    match (op, Errno::from_raw(error.raw_os_error().unwrap_or(0))) {
        (Op::AddAddress { .. }, Errno::EEXIST)
        // A VLAN goes with what carried it.
        | (Op::DelLink { .. }, Errno::ENODEV)
        | (Op::DelAddress { .. }, Errno::EADDRNOTAVAIL | Errno::ENODEV)
        | (Op::DelRoute { .. }, Errno::ESRCH | Errno::ENODEV) => Ok(()),
        (Op::MakeVlan { .. }, Errno::EOPNOTSUPP) => Err(missing(op, "8021q")),
        (Op::MakeBond { .. }, Errno::EOPNOTSUPP) => Err(missing(op, "bonding")),
        _ => Err(Error::refused(op.to_string(), error)),
    }
}

fn missing(op: &Op, module: &str) -> Error {
    Error::Missing { what: op.to_string(), module: module.to_owned() }
}

fn cause(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    }
}

/// The link-local address that the kernel made for a link by itself, once it can be used.
fn link_local(message: &AddressMessage) -> Option<(u32, Ipv6Addr)> {
    let (mut made_by_kernel, mut usable, mut address) = (false, true, None);
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Protocol(protocol) => made_by_kernel = *protocol == AddressProtocol::LinkLocal,
            AddressAttribute::Flags(flags) => {
                usable = !flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed);
            }
            AddressAttribute::Address(IpAddr::V6(a)) => address = Some(*a),
            _ => {}
        }
    }
    (made_by_kernel && usable).then_some((message.header.index, address?))
}

/// `None` for what the kernel makes by itself and would make again: link-local addresses, and those from router
/// advertisements.
fn address(message: &AddressMessage) -> Option<(u32, Cidr)> {
    let (mut local, mut other) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            // On a point-to-point link `Address` is the far end's.
            AddressAttribute::Local(a) => local = Some(*a),
            AddressAttribute::Address(a) => other = Some(*a),
            AddressAttribute::Protocol(AddressProtocol::RouterAnnouncement | AddressProtocol::LinkLocal) => {
                return None;
            }
            // A temporary address (RFC 8981), made by the kernel; in IPv4 the same bit only means "not the first".
            AddressAttribute::Flags(flags)
                if flags.contains(AddressFlags::Secondary)
                    && message.header.family == AddressFamily::Inet6 =>
            {
                return None;
            }
            _ => {}
        }
    }
    Some((message.header.index, Cidr::new(local.or(other)?, message.header.prefix_len)?))
}

fn route(message: &RouteMessage) -> Option<RouteFact> {
    let header = &message.header;
    let (mut to, mut via, mut index, mut table) = (None, None, None, u32::from(header.table));
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Destination(a) => to = ip(a),
            RouteAttribute::Gateway(a) => via = ip(a),
            RouteAttribute::Oif(i) => index = Some(*i),
            RouteAttribute::Table(t) => table = *t,
            _ => {}
        }
    }
    let ours = table == u32::from(RouteHeader::RT_TABLE_MAIN)
        && header.kind == RouteType::Unicast
        && matches!(header.protocol, RouteProtocol::Static | RouteProtocol::Boot);
    let via = via?;
    let anywhere: IpAddr = if via.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let to = Cidr::new(to.unwrap_or(anywhere), header.destination_prefix_length)?;
    ours.then_some(RouteFact { to, via, index: index? })
}

fn ip(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(a) => Some((*a).into()),
        RouteAddress::Inet6(a) => Some((*a).into()),
        _ => None,
    }
}

fn route_message(route: &RouteFact) -> RouteMessage {
    match (route.to.network().address(), route.via) {
        (IpAddr::V4(to), IpAddr::V4(via)) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(to, route.to.prefix())
            .gateway(via)
            .output_interface(route.index)
            .build(),
        (IpAddr::V6(to), IpAddr::V6(via)) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(to, route.to.prefix())
            .gateway(via)
            .output_interface(route.index)
            .build(),
        (IpAddr::V4(to), IpAddr::V6(via)) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(to, route.to.prefix())
            .via(via)
            .output_interface(route.index)
            .build(),
        // The kernel has no such thing and says so.
        (IpAddr::V6(to), IpAddr::V4(_)) => {
            RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(to, route.to.prefix()).build()
        }
    }
}

fn neighbour(message: &NeighbourMessage) -> Option<(IpAddr, Mac)> {
    if matches!(
        message.header.state,
        NeighbourState::Incomplete | NeighbourState::Failed | NeighbourState::Noarp | NeighbourState::None
    ) {
        return None;
    }
    let (mut address, mut hardware) = (None, None);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(a)) => address = Some(IpAddr::from(*a)),
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(a)) => address = Some(IpAddr::from(*a)),
            NeighbourAttribute::LinkLayerAddress(bytes) => hardware = mac(bytes),
            _ => {}
        }
    }
    Some((address?, hardware?))
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}
