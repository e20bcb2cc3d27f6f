//! Asks PID 1 to take the box down.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use halcyon_core::supervise::control::{Request, Response, SOCKET};

/// Asks; PID 1 answers before it begins.
pub(super) fn ask(request: &Request) -> Result<(), String> {
    let said = |error: std::io::Error| format!("PID 1 does not answer: {error}");
    let mut stream = UnixStream::connect(SOCKET).map_err(said)?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).map_err(said)?;
    let request = serde_json::to_string(request).expect("a request has string keys");
    stream.write_all(format!("{request}\n").as_bytes()).map_err(said)?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).map_err(said)?;
    match serde_json::from_str(&line) {
        Ok(Response::Done(_)) => Ok(()),
        Ok(Response::Refused(why)) => Err(why),
        _ => Err("PID 1 answers what is not understood".to_owned()),
    }
}
