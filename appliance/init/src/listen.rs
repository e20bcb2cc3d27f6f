//! Binds unix sockets to paths below `/run`, in place of whatever lies there.
#![expect(unsafe_code, reason = "units get their sockets from PID 1 as numbers")]

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;

use halcyon_core::supervise::{Socket, SocketKind};
use rustix::net::sockopt;

/// Units' sockets are handed over from this descriptor on.
pub(crate) const FIRST: i32 = 3;

/// The most sockets one unit can have: descriptors from [`FIRST`] to this many are kept free of PID 1's own.
pub(crate) const MOST: i32 = 8;

/// A datagram socket, non-blocking.
pub(crate) fn datagram(path: &str, mode: u32) -> io::Result<UnixDatagram> {
    make_way(path)?;
    let socket = UnixDatagram::bind(path)?;
    socket.set_nonblocking(true)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(socket)
}

/// A listening stream socket, non-blocking.
pub(crate) fn stream(path: &str, mode: u32) -> io::Result<UnixListener> {
    make_way(path)?;
    let socket = UnixListener::bind(path)?;
    socket.set_nonblocking(true)?;
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    Ok(socket)
}

/// A unit's socket; above the descriptors that units get theirs at.
pub(crate) fn for_unit(socket: &Socket) -> io::Result<OwnedFd> {
    let bound: OwnedFd = match socket.kind {
        SocketKind::Datagram => {
            let bound = datagram(&socket.path, socket.mode)?;
            sockopt::set_socket_passcred(&bound, true)?;
            bound.into()
        }
        SocketKind::Stream => stream(&socket.path, socket.mode)?.into(),
    };
    Ok(rustix::io::fcntl_dupfd_cloexec(&bound, FIRST + MOST)?)
}

/// In a unit: the socket that PID 1 gave it under this number, to be taken once.
pub(crate) fn given(number: i32) -> OwnedFd {
    // SAFETY: PID 1 gives a unit its sockets from `FIRST` on, and the caller is the only one to take this one.
    unsafe { OwnedFd::from_raw_fd(number) }
}

fn make_way(path: &str) -> io::Result<()> {
    if let Some(directory) = Path::new(path).parent() {
        fs::create_dir_all(directory)?;
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
