//! The kernel's news about devices: `NETLINK_KOBJECT_UEVENT` (`lib/kobject_uevent.c`).

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SocketFlags, SocketType, bind, netlink, recv, socket_with, sockopt,
};

/// Bytes; a burst of hotplug must not overflow it.
const RECEIVE_BUFFER: usize = 1 << 20;

/// One event: what happened to which device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uevent {
    fields: BTreeMap<String, String>,
}

impl Uevent {
    /// The kernel's message: `ACTION@DEVPATH`, then `KEY=value`, each ended by NUL. Other senders' messages (they begin
    /// with `libudev`) are none.
    pub(crate) fn parse(message: &[u8]) -> Option<Self> {
        let mut parts = message.split(|b| *b == 0);
        parts.next().filter(|header| header.contains(&b'@'))?;
        let fields: BTreeMap<String, String> = parts
            .filter_map(|part| std::str::from_utf8(part).ok()?.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        fields.contains_key("ACTION").then_some(Self { fields })
    }

    /// A device that is there already, as its `uevent` file in sysfs tells it: the same keys, a line each.
    pub(crate) fn of_present(subsystem: &str, text: &str) -> Self {
        let lines = text.lines().filter_map(|line| line.split_once('='));
        let known = [("ACTION", "add"), ("SUBSYSTEM", subsystem)];
        let fields = lines.chain(known).map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self { fields: fields.collect() }
    }

    /// The value of a key, e.g. `SUBSYSTEM`.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str)
    }

    /// The modalias of a device that came.
    pub(crate) fn wanted_module(&self) -> Option<&str> {
        let came = matches!(self.get("ACTION"), Some("add" | "bind" | "change"));
        if came { self.get("MODALIAS") } else { None }
    }
}

/// A subscription to the kernel's events.
#[derive(Debug)]
pub(crate) struct Uevents {
    socket: OwnedFd,
}

impl Uevents {
    /// Subscribes; reading never blocks.
    pub(crate) fn subscribe() -> io::Result<Self> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let protocol = Some(netlink::KOBJECT_UEVENT);
        let socket = socket_with(AddressFamily::NETLINK, SocketType::DGRAM, flags, protocol)?;
        // More than net.core.rmem_max needs a privilege that the device loader does not have; less is no failure.
        let _ = sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER)
            .or_else(|_| sockopt::set_socket_recv_buffer_size(&socket, RECEIVE_BUFFER));
        bind(&socket, &netlink::SocketAddrNetlink::new(0, 1))?;
        Ok(Self { socket })
    }

    /// The next event; `None` when there is none now. `Lost` when the kernel had to drop some.
    pub(crate) fn next(&self) -> Option<News> {
        let mut buffer = [0; 8192];
        loop {
            match recv(&self.socket, &mut buffer[..], RecvFlags::empty()) {
                Ok((length, _)) => match Uevent::parse(&buffer[..length]) {
                    Some(event) => return Some(News::Event(event)),
                    None => continue,
                },
                Err(Errno::NOBUFS) => return Some(News::Lost),
                Err(Errno::INTR) => continue,
                Err(_) => return None,
            }
        }
    }
}

/// What the subscription brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// An event.
    Event(Uevent),
    /// Events came faster than they were read: look at everything again.
    Lost,
}

impl AsFd for Uevents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_message_is_read_and_others_are_not() {
        let message =
            b"add@/devices/pci0/0000:00:03.0\0ACTION=add\0SUBSYSTEM=pci\0MODALIAS=pci:v1\0SEQNUM=7\0";
        let event = Uevent::parse(message).unwrap();
        assert_eq!(event.get("SUBSYSTEM"), Some("pci"));
        assert_eq!(event.wanted_module(), Some("pci:v1"));
        assert_eq!(Uevent::parse(b"libudev\0\xfe\xed\xca\xfe"), None);
        assert_eq!(Uevent::parse(b""), None);
    }

    #[test]
    fn a_device_that_is_there_reads_like_one_that_comes() {
        let text = "MAJOR=8\nMINOR=4\nDEVNAME=sda4\nDEVTYPE=partition\nPARTN=4\nPARTNAME=config\n";
        let event = Uevent::of_present("block", text);
        assert_eq!((event.get("ACTION"), event.get("SUBSYSTEM")), (Some("add"), Some("block")));
        assert_eq!((event.get("DEVNAME"), event.get("PARTNAME")), (Some("sda4"), Some("config")));
    }

    #[test]
    fn a_device_that_left_wants_nothing() {
        let event = Uevent::parse(b"remove@/d\0ACTION=remove\0MODALIAS=pci:v1\0").unwrap();
        assert_eq!(event.wanted_module(), None);
    }
}
