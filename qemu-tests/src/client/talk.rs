//! One conversation of a client with a service, from the first packet to its [`Outcome`].
//!
//! The demo application's protocol: after the connect, and again after each line it gets, it sends its box's name as a
//! line; a datagram is answered by one datagram with the name.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use halcyon_core::moment::Moment;
use smoltcp::iface::{Context, SocketHandle, SocketSet};
use smoltcp::socket::{tcp, udp};
use smoltcp::wire::IpEndpoint;

/// How long a socket may linger after its conversation, to bring its FIN home.
const LINGER: Duration = Duration::from_secs(2);

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Connect, read the name, close.
    Name,
    /// Connect, read the name, stay connected; pinged later.
    Hold,
    /// Ask by a datagram.
    Datagram,
    /// `GET` this path by HTTP/1.0 and read to the end.
    Http(String),
}

/// A conversation to be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What.
    pub ask: Ask,
    /// Of whom.
    pub to: SocketAddr,
    /// Give up after this.
    pub patience: Duration,
    /// Time to live of the packets; 64 when `None`.
    pub ttl: Option<u8>,
    /// Source port; the host's next one when `None`.
    pub source_port: Option<u16>,
}

impl Request {
    /// A request with 5 s patience and nothing special.
    pub fn new(ask: Ask, to: impl Into<SocketAddr>) -> Self {
        Self { ask, to: to.into(), patience: Duration::from_secs(5), ttl: None, source_port: None }
    }
}

/// How a conversation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Which conversation: unique in the lab.
    pub ticket: u64,
    /// The client's address.
    pub source: IpAddr,
    /// When it began.
    pub began: Moment,
    /// How long until the answer, or until it had failed.
    pub took: Duration,
    /// The answer (a box's name, or an HTTP response), or why there is none.
    pub result: Result<String, Failure>,
}

impl Outcome {
    /// When the answer or the failure came.
    pub fn ended(&self) -> Moment {
        self.began + self.took
    }
}

/// Why a conversation brought no answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failure {
    /// Reset before it was established.
    Refused,
    /// Reset afterwards.
    Reset,
    /// Closed before the answer.
    Closed,
    /// No connection within the patience.
    NoConnection,
    /// Connected, and no answer within the patience.
    NoAnswer,
    /// A datagram's answer came from another address.
    WrongSource(IpAddr),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused => write!(f, "refused"),
            Self::Reset => write!(f, "reset"),
            Self::Closed => write!(f, "closed without an answer"),
            Self::NoConnection => write!(f, "no connection"),
            Self::NoAnswer => write!(f, "connected, no answer"),
            Self::WrongSource(address) => write!(f, "answered from {address}"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Reading,
    Held,
    Lingering,
}

/// A conversation going on at a host.
#[derive(Debug)]
pub(super) struct Talk {
    pub(super) ticket: u64,
    request: Request,
    socket: SocketHandle,
    source: IpAddr,
    stage: Stage,
    began: Moment,
    deadline: Moment,
    text: Vec<u8>,
}

/// What became of a conversation in one turn.
pub(super) enum Step {
    /// Nothing new.
    Waiting,
    /// It has an outcome; it may linger or stay held afterwards.
    Told(Outcome),
    /// Its socket can go.
    Over,
}

impl Talk {
    /// Opens the socket and begins.
    pub(super) fn open(
        ticket: u64,
        request: Request,
        source: (IpAddr, u16),
        sockets: &mut SocketSet<'static>,
        context: &mut Context,
        now: Moment,
    ) -> Self {
        let remote = IpEndpoint::from(request.to);
        let socket = if request.ask == Ask::Datagram {
            let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 4], vec![0; 512]);
            let mut socket = udp::Socket::new(buffer(), buffer());
            socket.set_hop_limit(request.ttl);
            socket.bind(source.1).expect("the port is not zero and the socket is new");
            socket.send_slice(b"?\n", remote).expect("the buffer is empty");
            sockets.add(socket)
        } else {
            let mut socket =
                tcp::Socket::new(tcp::SocketBuffer::new(vec![0; 8192]), tcp::SocketBuffer::new(vec![0; 512]));
            socket.set_hop_limit(request.ttl);
            socket.set_ack_delay(None);
            socket.connect(context, remote, source.1).expect("the ports are not zero and the socket is new");
            sockets.add(socket)
        };
        let deadline = now + request.patience;
        let stage = if request.ask == Ask::Datagram { Stage::Reading } else { Stage::Connecting };
        Self { ticket, request, socket, source: source.0, stage, began: now, deadline, text: Vec::new() }
    }

    /// When it wants a turn at the latest.
    pub(super) fn deadline(&self) -> Option<Moment> {
        (self.stage != Stage::Held).then_some(self.deadline)
    }

    /// Looks at the socket and goes on.
    pub(super) fn turn(&mut self, sockets: &mut SocketSet<'static>, now: Moment) -> Step {
        let step = if self.request.ask == Ask::Datagram {
            self.datagram(sockets, now)
        } else {
            self.stream(sockets, now)
        };
        if matches!(step, Step::Over) {
            sockets.remove(self.socket);
        }
        step
    }

    /// Asks a held connection for the name again. The outcome comes by [`Talk::turn`].
    pub(super) fn ping(&mut self, sockets: &mut SocketSet<'static>, patience: Duration, now: Moment) {
        self.began = now;
        self.deadline = now + patience;
        self.stage = Stage::Reading;
        self.text.clear();
        // A connection that is gone is found out by the next turn.
        let _ = sockets.get_mut::<tcp::Socket<'_>>(self.socket).send_slice(b"?\n");
    }

    /// Ends a held connection in order.
    pub(super) fn release(&mut self, sockets: &mut SocketSet<'static>, now: Moment) {
        sockets.get_mut::<tcp::Socket<'_>>(self.socket).close();
        self.linger(now);
    }

    fn stream(&mut self, sockets: &mut SocketSet<'static>, now: Moment) -> Step {
        let socket = sockets.get_mut::<tcp::Socket<'_>>(self.socket);
        let state = socket.state();
        if self.stage == Stage::Lingering {
            let over = matches!(state, tcp::State::Closed | tcp::State::TimeWait) || now >= self.deadline;
            return if over { Step::Over } else { Step::Waiting };
        }
        if self.stage == Stage::Held {
            return Step::Waiting;
        }
        if self.stage == Stage::Connecting && socket.may_send() {
            self.stage = Stage::Reading;
            if let Ask::Http(path) = &self.request.ask {
                let head = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n\r\n", self.request.to);
                socket.send_slice(head.as_bytes()).expect("the connection takes data");
            }
        }
        while socket.can_recv() {
            let text = &mut self.text;
            let read = socket.recv(|bytes| {
                text.extend_from_slice(bytes);
                (bytes.len(), bytes.len())
            });
            if read.is_err() {
                break;
            }
        }
        let whole = matches!(self.request.ask, Ask::Http(_));
        let ended = !socket.may_recv() && self.stage == Stage::Reading;
        let answer = if whole {
            (ended && state != tcp::State::Closed && !self.text.is_empty()).then_some(self.text.as_slice())
        } else {
            self.text.iter().position(|byte| *byte == b'\n').map(|end| &self.text[..end])
        };
        if let Some(answer) = answer {
            let answer = String::from_utf8_lossy(answer).trim_end().to_owned();
            if self.request.ask == Ask::Hold {
                self.stage = Stage::Held;
                return self.tell(Ok(answer), now);
            }
            socket.close();
            let told = self.tell(Ok(answer), now);
            self.linger(now);
            return told;
        }
        let failure = match (self.stage, state) {
            (Stage::Connecting, tcp::State::Closed) => Failure::Refused,
            (_, tcp::State::Closed) => Failure::Reset,
            _ if ended => Failure::Closed,
            _ if now < self.deadline => return Step::Waiting,
            (Stage::Connecting, _) => Failure::NoConnection,
            _ => Failure::NoAnswer,
        };
        socket.abort();
        let told = self.tell(Err(failure), now);
        self.linger(now);
        // Closed already; one more turn lets the stack send its reset.
        self.deadline = now + Duration::from_millis(1);
        told
    }

    fn datagram(&mut self, sockets: &mut SocketSet<'static>, now: Moment) -> Step {
        if self.stage == Stage::Lingering {
            return Step::Over;
        }
        let socket = sockets.get_mut::<udp::Socket<'_>>(self.socket);
        let result = match socket.recv() {
            Ok((bytes, from)) if from.endpoint == IpEndpoint::from(self.request.to) => {
                Ok(String::from_utf8_lossy(bytes).trim_end().to_owned())
            }
            Ok((_, from)) => Err(Failure::WrongSource(from.endpoint.addr.into())),
            Err(_) if now < self.deadline => return Step::Waiting,
            Err(_) => Err(Failure::NoAnswer),
        };
        let told = self.tell(result, now);
        self.linger(now);
        told
    }

    fn linger(&mut self, now: Moment) {
        self.stage = Stage::Lingering;
        self.deadline = now + LINGER;
    }

    fn tell(&self, result: Result<String, Failure>, now: Moment) -> Step {
        let took = now.since(self.began);
        Step::Told(Outcome { ticket: self.ticket, source: self.source, began: self.began, took, result })
    }
}
