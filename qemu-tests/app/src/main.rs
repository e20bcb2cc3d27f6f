//! The demo application: answers on TCP and UDP with the name of the box it runs on.
//!
//! TCP: the name as a line after the connect and again after each line received, until the client closes. UDP: a datagram
//! with the name for each datagram, from the address that was asked (with a virtual IP on the loopback the kernel's own
//! choice would be another one).
//!
//! One thread and one poll loop; no state beside the open connections.

mod datagrams;
mod listening;
mod options;
mod streams;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::fd::AsFd;

use anyhow::{Context, Result};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::options::Options;
use crate::streams::Connection;

/// Connections beyond this are closed at once: the unit has a limit of open files.
const MOST_CONNECTIONS: usize = 900;

fn main() -> Result<()> {
    let options = Options::read()?;
    let mut listeners = Vec::new();
    let mut sockets = Vec::new();
    for (bind, port) in
        options.bind.iter().flat_map(|bind| options.ports.iter().map(move |port| (bind, port)))
    {
        let address = SocketAddr::from((*bind, *port));
        listeners.push(listening::stream(address).with_context(|| format!("listening on TCP {address}"))?);
        let socket = listening::datagrams(address).with_context(|| format!("listening on UDP {address}"))?;
        datagrams::prepare(&socket)?;
        sockets.push(socket);
    }
    println!("answering on {:?} ports {:?}", options.bind, options.ports);
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        wait(&listeners, &sockets, &connections)?;
        // Read anew each time: the name comes with the configuration, which may come after us.
        let name = nix::unistd::gethostname().context("the host name")?.to_string_lossy().into_owned();
        for listener in &listeners {
            while let Ok((stream, _)) = listener.accept() {
                if connections.len() < MOST_CONNECTIONS {
                    connections.extend(Connection::open(stream, &name));
                }
            }
        }
        for socket in &sockets {
            while datagrams::answer(socket, &name) {}
        }
        connections.retain_mut(|connection| connection.turn(&name));
    }
}

/// Sleeps until one of them has something to read.
fn wait(listeners: &[TcpListener], sockets: &[UdpSocket], connections: &[Connection]) -> Result<()> {
    let listeners = listeners.iter().map(AsFd::as_fd);
    let fds =
        listeners.chain(sockets.iter().map(AsFd::as_fd)).chain(connections.iter().map(Connection::as_fd));
    let mut fds: Vec<_> = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error).context("waiting for clients"),
    }
}
