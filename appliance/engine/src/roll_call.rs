//! Carries the roll call out: a task with a UDP socket that says the words, reads what this box has to tell and
//! multicasts it. When to ask and when to leave is the driver's to decide, everything else `halcyon_core::sync`'s.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use halcyon_core::sync::roll_call::{Action, PORT, RollCall, Word};
use halcyon_core::sync::{Connection, Standing, message, own_connections, sockets, templates};
use halcyon_kernel::sync_socket;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::clock;

/// What the driver can order.
#[derive(Debug)]
enum Order {
    /// This is the box's place from now on; `None`: it takes no part.
    Stand(Option<Box<Standing>>),
    /// Ask the fellows; the number says which time it is.
    Ask(u64),
    /// Say farewell.
    Leave,
}

/// The driver's side.
#[derive(Debug)]
pub struct Handle {
    orders: mpsc::UnboundedSender<Order>,
    standing: Option<Standing>,
    asked: u64,
    answered: watch::Receiver<u64>,
}

impl Handle {
    /// Tells the box's place, if it changed.
    pub fn stand(&mut self, standing: Option<Standing>) {
        if self.standing != standing {
            self.standing.clone_from(&standing);
            self.order(Order::Stand(standing.map(Box::new)));
        }
    }

    /// Asks the fellows for their connections.
    pub fn ask(&mut self) {
        self.asked += 1;
        self.order(Order::Ask(self.asked));
    }

    /// Says farewell to the fellows. Returns whether this box has any.
    pub fn leave(&self) -> bool {
        self.order(Order::Leave);
        self.standing.as_ref().is_some_and(|standing| !standing.fellows.is_empty())
    }

    /// Whether they were asked.
    pub fn has_asked(&self) -> bool {
        self.asked > 0
    }

    /// Whether the last question is answered, or was given up.
    pub fn is_complete(&self) -> bool {
        *self.answered.borrow() == self.asked
    }

    /// Wakes whoever waits for [`Handle::is_complete`].
    pub fn answers(&self) -> watch::Receiver<u64> {
        self.answered.clone()
    }

    fn order(&self, order: Order) {
        // The task ends with the engine only.
        let _ = self.orders.send(order);
    }
}

/// Starts the task. It sends the address of a fellow that leaves to `doubted`. Must be called inside a
/// [`LocalSet`](tokio::task::LocalSet).
pub fn spawn(seed: u64, doubted: mpsc::Sender<IpAddr>) -> Handle {
    let (orders, inbox) = mpsc::unbounded_channel();
    let (answered, answers) = watch::channel(0);
    let caller =
        Caller { call: RollCall::new(seed), standing: None, socket: None, asked: 0, answered, doubted };
    tokio::task::spawn_local(caller.run(inbox));
    Handle { orders, standing: None, asked: 0, answered: answers }
}

struct Caller {
    call: RollCall,
    standing: Option<Box<Standing>>,
    socket: Option<UdpSocket>,
    /// Number of the last question.
    asked: u64,
    /// Number of the last question that is answered or was given up.
    answered: watch::Sender<u64>,
    doubted: mpsc::Sender<IpAddr>,
}

impl Caller {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        let mut buffer = [0; Word::LENGTH + 1];
        loop {
            let now = clock::now();
            self.call.handle_timeout(now);
            self.act().await;
            if self.call.complete(now) {
                self.answered.send_if_modified(|last| std::mem::replace(last, self.asked) != self.asked);
            }
            let wake = self.call.poll_timeout(now).map_or(Duration::MAX, |at| at.since(now));
            // Cancelling either wait loses nothing: what was not taken stays where it is.
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order) => self.obey(order),
                    None => return,
                },
                (length, from) = hear(self.socket.as_ref(), &mut buffer) => {
                    self.call.hear(from.ip(), &buffer[..length], clock::now());
                }
                () = sleep(wake) => {}
            }
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Stand(standing) => {
                self.call.configure(standing.as_ref().map(|s| s.fellows.clone()).unwrap_or_default());
                if standing.is_none() {
                    self.socket = None;
                } else if self.socket.is_none() {
                    self.socket = listen();
                }
                self.standing = standing;
            }
            Order::Ask(number) => {
                self.asked = number;
                self.call.ask(clock::now());
            }
            Order::Leave => self.call.leave(clock::now()),
        }
    }

    async fn act(&mut self) {
        while let Some(action) = self.call.poll_action() {
            match action {
                Action::Say(to, word) => self.say(SocketAddr::new(to, PORT), word).await,
                Action::Tell(asked) => {
                    self.tell().await;
                    for (to, word) in asked {
                        self.say(SocketAddr::new(to, PORT), word).await;
                    }
                }
                // Only a driver that has ended does not want to know.
                Action::Doubt(fellow) => drop(self.doubted.send(fellow).await),
            }
        }
    }

    async fn say(&self, to: SocketAddr, word: Word) {
        let Some(socket) = &self.socket else { return };
        // A question that is lost is repeated, and nobody waits long for an answer.
        if let Err(error) = socket.send_to(&word.write(), to).await {
            debug!(%to, %error, "a word of the roll call was not sent");
        }
    }

    /// Multicasts what this box knows. Lists of the kernel's can be long: they are read off the engine's thread.
    async fn tell(&self) {
        let Some(standing) = self.standing.clone() else { return };
        let told = tokio::task::spawn_blocking(move || {
            let connections = known(&standing)?;
            sync_socket::send(standing.address, &message::write(standing.id, &connections))?;
            Ok(connections.len())
        });
        match told.await.map_err(io::Error::from).flatten() {
            Ok(count) => info!(count, "told fellow directors of the connections here"),
            Err(error) => warn!("fellow directors could not be told of the connections here: {error}"),
        }
    }
}

/// The connections of this box's sockets, and the templates of its table.
fn known(standing: &Standing) -> io::Result<Vec<Connection>> {
    let mut held = sockets::parse(&fs::read_to_string("/proc/net/tcp")?);
    held.extend(sockets::parse(&read_if_there("/proc/net/tcp6")?));
    let mut connections = own_connections(&standing.config, &standing.me, &held);
    if standing.config.services.values().any(|service| service.persistence.is_some()) {
        connections.extend(templates::parse(&read_if_there("/proc/net/ip_vs_conn")?));
    }
    Ok(connections)
}

/// A kernel without IPv6, or without IPVS yet, has nothing to say.
fn read_if_there(path: &str) -> io::Result<String> {
    match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

/// On every address: the own one may not be there yet, and the input filter lets fellow directors in and nobody else.
fn listen() -> Option<UdpSocket> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT))
        .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
        .and_then(UdpSocket::from_std);
    socket.inspect_err(|error| warn!("no roll call: UDP port {PORT} cannot be opened: {error}")).ok()
}

/// The next datagram; without a socket there is none.
async fn hear(socket: Option<&UdpSocket>, buffer: &mut [u8]) -> (usize, SocketAddr) {
    let Some(socket) = socket else { return std::future::pending().await };
    loop {
        match socket.recv_from(buffer).await {
            Ok(heard) => return heard,
            // An ICMP error about an earlier word: that fellow is not there, which its silence says as well.
            Err(error) => debug!(%error, "roll call"),
        }
    }
}
