#![expect(unsafe_code, reason = "tokio takes a descriptor that is not its own only on our word")]
//! News of the kernel's own: rtnetlink's multicast groups for links, addresses, routes and neighbours, and nftables'
//! group. Says only that something of a kind changed; what, the next look at the kernel tells. There is no such thing
//! for IPVS and sysctls: a timer looks at those.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::netlink::messages;

/// What kind of thing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// A link came, went, or changed its name, state or carrier.
    Link,
    /// An address came or went, or can be used now.
    Address,
    /// A route came or went.
    Route,
    /// A neighbour was learnt, lost or changed.
    Neighbour,
    /// The packet rules were changed, by whomever.
    Rules,
}

/// `RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE`
/// (`include/uapi/linux/rtnetlink.h`).
const GROUPS: u32 = 0x1 | 0x4 | 0x10 | 0x40 | 0x100 | 0x400;

/// `NFNLGRP_NFTABLES` as a bit (`include/uapi/linux/netfilter/nfnetlink.h`).
const RULES: u32 = 1 << (7 - 1);

/// A subscription to the kernel's changes.
pub struct Changes {
    routes: AsyncFd<OwnedFd>,
    rules: AsyncFd<OwnedFd>,
}

impl Changes {
    /// Subscribes. Needs a tokio runtime.
    pub fn open() -> io::Result<Self> {
        let routes = subscribe(SockProtocol::NetlinkRoute, GROUPS)?;
        let rules = subscribe(SockProtocol::NetlinkNetFilter, RULES)?;
        Ok(Self { routes, rules })
    }

    /// Waits for changes and returns the kinds of all that are there. When the kernel had more to tell than a socket
    /// could hold, every kind that it tells of counts as changed. Cancelling it loses nothing.
    pub async fn next(&mut self) -> io::Result<BTreeSet<Change>> {
        let anything = [Change::Link, Change::Address, Change::Route, Change::Neighbour];
        tokio::select! {
            changes = news(&mut self.routes, route, &anything) => changes,
            changes = news(&mut self.rules, |_| Some(Change::Rules), &[Change::Rules]) => changes,
        }
    }
}

fn subscribe(protocol: SockProtocol, groups: u32) -> io::Result<AsyncFd<OwnedFd>> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, protocol)?;
    bind(fd.as_raw_fd(), &NetlinkAddr::new(0, groups))?;
    // SAFETY: `fd` is open, and `AsyncFd` owns it from here on: nothing closes or replaces it meanwhile.
    Ok(unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?)
}

/// Waits until `fd` tells something that `kind` knows; `anything` when it could not tell it all.
async fn news(
    fd: &mut AsyncFd<OwnedFd>,
    kind: impl Fn(u16) -> Option<Change>,
    anything: &[Change],
) -> io::Result<BTreeSet<Change>> {
    loop {
        let mut guard = fd.readable_mut().await?;
        let mut changes = BTreeSet::new();
        match guard.try_io(|fd| drain(fd.get_ref(), &kind, anything, &mut changes)) {
            Ok(result) => result?,
            Err(_) if changes.is_empty() => continue,
            Err(_) => {}
        }
        if !changes.is_empty() {
            return Ok(changes);
        }
    }
}

/// Reads until the socket is empty, which it reports as `WouldBlock`.
fn drain(
    fd: &OwnedFd,
    kind: impl Fn(u16) -> Option<Change>,
    anything: &[Change],
    changes: &mut BTreeSet<Change>,
) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => changes.extend(messages(&buffer[..length]).filter_map(|m| kind(m.kind))),
            Err(Errno::ENOBUFS) => changes.extend(anything),
            Err(error) => return Err(error.into()),
        }
    }
}

/// `RTM_*` (`include/uapi/linux/rtnetlink.h`).
fn route(message: u16) -> Option<Change> {
    match message {
        16 | 17 => Some(Change::Link),
        20 | 21 => Some(Change::Address),
        24 | 25 => Some(Change::Route),
        28 | 29 => Some(Change::Neighbour),
        _ => None,
    }
}
