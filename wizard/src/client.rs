//! Asks the engine from a thread of its own, so that the screen waits for nobody: what the box does and has every second, and
//! what a person wants when he wants it. Says by a byte on a socket that there is news.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use halcyon_core::config::types::{PasswordHash, SALT};
use halcyon_core::control::{Request, Response, SOCKET};
use halcyon_core::supervise::control::SOCKET as INIT;
use serde::Serialize;

use crate::model::{Ask, Intent, Seen};

/// Between two looks at the box: a cable that is plugged in shows within twice this.
const GLANCE: Duration = Duration::from_secs(1);
/// The longest answer that is read, in bytes.
const LONGEST: u64 = 16 << 20;
/// The engine answers within ten seconds, if only that it is busy.
const PATIENCE: Duration = Duration::from_secs(12);

/// The program's end.
#[derive(Debug)]
pub(crate) struct Client {
    requests: Sender<Ask>,
    news: Receiver<Intent>,
    /// Can be read when there is news.
    pub(crate) bell: UnixStream,
    /// The thread has ended, which it never should.
    pub(crate) gone: bool,
}

impl Client {
    /// Begins to ask.
    ///
    /// # Errors
    /// When the kernel gives no socket or no thread.
    pub(crate) fn start() -> std::io::Result<Self> {
        let (bell, ringer) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ringer.set_nonblocking(true)?;
        let (requests, orders) = channel();
        let (tell, news) = channel();
        thread::Builder::new().name("client".into()).spawn(move || run(&orders, &tell, &ringer))?;
        Ok(Self { requests, news, bell, gone: false })
    }

    /// Asks for something; the answer is news.
    pub(crate) fn ask(&self, ask: Ask) {
        // The thread ends with the program only.
        let _ = self.requests.send(ask);
    }

    /// What was learned, if anything.
    pub(crate) fn news(&mut self) -> Vec<Intent> {
        loop {
            match self.bell.read(&mut [0; 64]) {
                Ok(0) => break self.gone = true,
                Ok(_) => {}
                Err(_) => break,
            }
        }
        self.news.try_iter().collect()
    }
}

fn run(orders: &Receiver<Ask>, tell: &Sender<Intent>, mut ringer: &UnixStream) {
    let mut patience = Duration::ZERO;
    loop {
        let intent = match orders.recv_timeout(patience) {
            Ok(ask) => {
                patience = Duration::ZERO;
                answered(&ask)
            }
            Err(RecvTimeoutError::Timeout) => {
                patience = GLANCE;
                Intent::Seen(look())
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if tell.send(intent).is_err() {
            return;
        }
        // A full socket has rung already.
        let _ = ringer.write(&[0]);
    }
}

fn answered(ask: &Ask) -> Intent {
    let told =
        |answer: std::io::Result<Response>| Intent::Answered(answer.map_err(|error| error.to_string()));
    match ask {
        Ask::Engine(request) => told(exchange(SOCKET, request)),
        // Its answers to these have the engine's form.
        Ask::Power(request) => told(exchange(INIT, request)),
        Ask::Hash(typed) => {
            let mut salt = [0; SALT];
            let filled = rustix::rand::getrandom(&mut salt, rustix::rand::GetRandomFlags::empty());
            let hash = (filled == Ok(SALT)).then(|| PasswordHash::make(&typed.0, &salt)).flatten();
            Intent::Hashed(hash.map(|hash| hash.to_string()))
        }
    }
}

fn look() -> Option<Box<Seen>> {
    let Ok(Response::Status(status)) = exchange(SOCKET, &Request::Status) else { return None };
    let ports = match exchange(SOCKET, &Request::Ports) {
        Ok(Response::Ports(ports)) => ports,
        _ => Vec::new(),
    };
    Some(Box::new(Seen { status: *status, ports }))
}

/// One question and its answer.
fn exchange(socket: &str, request: &impl Serialize) -> std::io::Result<Response> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    stream.write_all(line.as_bytes())?;
    line.clear();
    BufReader::new(stream.take(LONGEST)).read_line(&mut line)?;
    Ok(serde_json::from_str(&line)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_ended_is_noticed() {
        let (bell, ringer) = UnixStream::pair().unwrap();
        bell.set_nonblocking(true).unwrap();
        let (requests, _) = channel();
        let (tell, news) = channel();
        let mut client = Client { requests, news, bell, gone: false };
        tell.send(Intent::Seen(None)).unwrap();
        (&ringer).write_all(&[0]).unwrap();
        assert_eq!((client.news().len(), client.gone), (1, false));
        drop(ringer);
        assert_eq!((client.news().len(), client.gone), (0, true));
    }
}
