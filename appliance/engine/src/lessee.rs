//! A DHCP client at work: its socket, its timer, and what it was lent. What is said when is decided in
//! `halcyon_core::dhcp`.

use std::io;

use halcyon_core::config::types::{LinkName, Mac};
use halcyon_core::dhcp::{Client, Lease};
use halcyon_kernel::dhcp_socket::DhcpSocket;
use tokio::sync::mpsc;
use tokio::time::sleep;
use tracing::warn;

use crate::clock;

/// Asks on the link with this kernel index and tells `told` of every change, until it is dropped or its socket fails.
pub async fn seek(
    link: LinkName,
    index: u32,
    mac: Mac,
    seed: u64,
    told: mpsc::Sender<(LinkName, Option<Lease>)>,
) {
    if let Err(error) = ask(&link, index, mac, seed, &told).await {
        warn!(interface = %link, %error, "no DHCP server can be asked");
        // The driver begins another client at its next look; a socket that fails at once must not keep it busy.
        sleep(std::time::Duration::from_secs(5)).await;
    }
}

async fn ask(
    link: &LinkName,
    index: u32,
    mac: Mac,
    seed: u64,
    told: &mpsc::Sender<(LinkName, Option<Lease>)>,
) -> io::Result<()> {
    let socket = DhcpSocket::open(index)?;
    let mut client = Client::new(mac, seed, clock::now());
    let mut lease = None;
    let mut buffer = [0; 2048];
    loop {
        for frame in client.turn(clock::now()) {
            // A queue that is full loses it, as a wire may; it is said again.
            if let Err(error) = socket.send(&frame)
                && error.kind() != io::ErrorKind::WouldBlock
            {
                return Err(error);
            }
        }
        if client.lease() != lease.as_ref() {
            lease = client.lease().cloned();
            if told.send((link.clone(), lease.clone())).await.is_err() {
                return Ok(());
            }
        }
        let now = clock::now();
        let due = client.poll_timeout(now).map(|due| due.since(now));
        tokio::select! {
            length = socket.receive(&mut buffer) => client.receive(&buffer[..length?]),
            () = sleep(due.unwrap_or_default()), if due.is_some() => {}
        }
    }
}
