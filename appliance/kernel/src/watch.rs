#![expect(unsafe_code, reason = "tokio takes a descriptor that is not its own only on our word")]
//! News of the kernel's own: rtnetlink's multicast groups for links, IPv4 addresses, routes and neighbours. Says only
//! that something of a kind changed; what, the next look at the kernel tells. There is no such thing for IPVS, sysctls
//! and packet rules: a timer looks at those.

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
    /// An IPv4 address came or went.
    Address,
    /// An IPv4 route came or went.
    Route,
    /// A neighbour was learnt, lost or changed.
    Neighbour,
}

/// `RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE` (`include/uapi/linux/rtnetlink.h`).
const GROUPS: u32 = 0x1 | 0x4 | 0x10 | 0x40;

/// A subscription to the kernel's changes.
pub struct Changes {
    fd: AsyncFd<OwnedFd>,
}

impl Changes {
    /// Subscribes. Needs a tokio runtime.
    pub fn open() -> io::Result<Self> {
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let fd = socket(AddressFamily::Netlink, SockType::Raw, flags, SockProtocol::NetlinkRoute)?;
        bind(fd.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
        // SAFETY: `fd` is open, and `AsyncFd` owns it from here on: nothing closes or replaces it meanwhile.
        let fd = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }?;
        Ok(Self { fd })
    }

    /// Waits for changes and returns the kinds of all that are there. When the kernel had more to tell than the socket
    /// could hold, every kind counts as changed. Cancelling it loses nothing.
    pub async fn next(&mut self) -> io::Result<BTreeSet<Change>> {
        loop {
            let mut guard = self.fd.readable_mut().await?;
            let mut changes = BTreeSet::new();
            match guard.try_io(|fd| drain(fd.get_ref(), &mut changes)) {
                Ok(result) => result?,
                Err(_) if changes.is_empty() => continue,
                Err(_) => {}
            }
            if !changes.is_empty() {
                return Ok(changes);
            }
        }
    }
}

/// Reads until the socket is empty, which it reports as `WouldBlock`.
fn drain(fd: &OwnedFd, changes: &mut BTreeSet<Change>) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    loop {
        match recv(fd.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
            Ok(length) => changes.extend(messages(&buffer[..length]).filter_map(|m| kind(m.kind))),
            Err(Errno::ENOBUFS) => {
                changes.extend([Change::Link, Change::Address, Change::Route, Change::Neighbour]);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// `RTM_*` (`include/uapi/linux/rtnetlink.h`).
fn kind(message: u16) -> Option<Change> {
    match message {
        16 | 17 => Some(Change::Link),
        20 | 21 => Some(Change::Address),
        24 | 25 => Some(Change::Route),
        28 | 29 => Some(Change::Neighbour),
        _ => None,
    }
}
