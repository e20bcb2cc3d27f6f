//! Asks the clock's keeper how it goes, every few seconds, for the status. The engine never needs the answer: whatever the
//! clock says, VRRP and health checks go by another.

use std::io;
use std::time::Duration;

use halcyon_core::ntp::{self, LONGEST, OBSERVATION};
use halcyon_core::status::Clock;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Time between two questions.
const EVERY: Duration = Duration::from_secs(2);
/// The daemon answers at once, or something is wrong with it.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks for ever. A daemon that does not answer keeps no clock.
pub async fn watch(told: watch::Sender<Clock>) {
    loop {
        let clock = match timeout(PATIENCE, observation()).await {
            Ok(Ok(bytes)) => ntp::clock(&bytes).unwrap_or_default(),
            Ok(Err(_)) | Err(_) => Clock::default(),
        };
        told.send_replace(clock);
        sleep(EVERY).await;
    }
}

/// What the daemon says: a length of eight octets, most significant first, and JSON.
async fn observation() -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(OBSERVATION).await?;
    let length = stream.read_u64().await?;
    if length > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    stream.take(length).read_to_end(&mut bytes).await?;
    Ok(bytes)
}
