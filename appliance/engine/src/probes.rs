//! Carries health checks out: opens a TCP connection, closes it again, and says how it went. When to check and what the
//! outcome means is `halcyon_core::health`'s to decide.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// Opens and closes a TCP connection within `limit`; the error is a sentence for the log and the status.
pub async fn tcp(target: SocketAddr, limit: Duration) -> Result<(), String> {
    match timeout(limit, TcpStream::connect(target)).await {
        Ok(Ok(_connection)) => Ok(()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            Err(format!("{target} refuses connections"))
        }
        Ok(Err(error)) => Err(format!("{target}: {error}")),
        Err(_) => Err(format!("{target} does not answer within {} ms", limit.as_millis())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_listener_passes_and_a_closed_port_fails_with_its_reason() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let target = listener.local_addr().unwrap();
        assert_eq!(tcp(target, Duration::from_secs(5)).await, Ok(()));
        drop(listener);
        assert!(tcp(target, Duration::from_secs(5)).await.unwrap_err().contains("refuses"));
    }
}
