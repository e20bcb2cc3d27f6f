//! The thread's loop: what arrived, what was commanded, what is due; then sleep until the next of them.
//!
//! Packets come before timers: after a pause of the whole box, what the others said meanwhile is heard before anything
//! is concluded from silence.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::mpsc::TryRecvError;
use std::time::Duration;

use halcyon_core::config::types::{Family, InstanceId, LinkName};
use halcyon_core::moment::Moment;
use halcyon_core::vrrp::machine::{Action, Event as Input, Link, Start};
use halcyon_core::vrrp::routers::Routers;
use halcyon_core::vrrp::wire::{Advert, LEAVING, MAX_MESSAGE};
use halcyon_kernel::vrrp_socket::VrrpSocket;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::last_advert::LastAdverts;
use super::realtime::{self, now};
use super::{Assignment, Command, Ends, Event};

/// Packets taken from a socket before timers get their turn: a flood must not cost an advertisement.
const BURST: usize = 256;
/// Pause before a socket that could not be opened is tried again.
const RETRY: Duration = Duration::from_millis(250);
/// Room for any advertisement behind the longest IP header.
const DATAGRAM: usize = 60 + MAX_MESSAGE;

/// Runs until it is told to stop, or until nobody can tell it anything any more.
pub(super) fn run(ends: Ends, directory: PathBuf) {
    let mut thread = Thread {
        ends,
        routers: Routers::default(),
        ports: BTreeMap::new(),
        mute: BTreeSet::new(),
        begun: false,
        last_adverts: LastAdverts::new(directory),
    };
    if let Err(error) = realtime::enter() {
        thread.tell(Event::Weakened { what: format!("no real-time priority for VRRP: {error}") });
    }
    while thread.turn() == Next::GoOn {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    GoOn,
    End,
}

struct Thread {
    ends: Ends,
    routers: Routers,
    ports: BTreeMap<(LinkName, Family), Port>,
    /// Those whose last advertisement could not be sent.
    mute: BTreeSet<InstanceId>,
    last_adverts: LastAdverts,
    /// This box takes part: virtual routers hear of links whose sockets are open.
    begun: bool,
}

/// An interface as the engine knows it in one family, with its socket.
struct Port {
    index: u32,
    /// `None`: down, or without an address.
    primary: Option<IpAddr>,
    socket: Socket,
}

enum Socket {
    /// No virtual router needs one, or the interface cannot have one.
    Closed,
    Open(VrrpSocket),
    Failed {
        error: String,
        again: Moment,
    },
}

impl Thread {
    /// One turn of the loop; its only place to wait is `sleep`.
    fn turn(&mut self) -> Next {
        self.sleep();
        self.receive();
        let next = self.take_commands();
        if next == Next::GoOn {
            self.open_sockets();
            self.routers.expire(now());
        }
        self.act();
        next
    }

    fn sleep(&self) {
        let retry = self.ports.values().filter_map(|port| match port.socket {
            Socket::Failed { again, .. } => Some(again),
            Socket::Closed | Socket::Open(_) => None,
        });
        let wake = self.routers.poll_timeout().into_iter().chain(retry).min();
        let timeout = wake.map(|wake| TimeSpec::from_duration(wake.since(now())));
        let sockets = self.ports.values().filter_map(Port::open).map(AsFd::as_fd);
        let mut descriptors: Vec<_> = std::iter::once(self.ends.waker.as_fd())
            .chain(sockets)
            .map(|descriptor| PollFd::new(descriptor, PollFlags::POLLIN))
            .collect();
        // A signal or a lack of memory is no reason to end; the turn that follows finds nothing and comes back.
        let _ = ppoll(&mut descriptors, timeout, None);
    }

    fn receive(&mut self) {
        let mut buffer = [0; DATAGRAM];
        for ((interface, _), port) in &self.ports {
            let Some(socket) = port.open() else { continue };
            // Errors of the link (ENETDOWN) are the engine's to tell; here they end the burst like silence does.
            for _ in 0..BURST {
                let Ok(packet) = socket.receive(&mut buffer) else { break };
                self.routers.receive(interface, packet, now());
            }
        }
    }

    fn take_commands(&mut self) -> Next {
        while matches!((&self.ends.waker).read(&mut [0; 64]), Ok(1..)) {}
        loop {
            let now = now();
            match self.ends.commands.try_recv() {
                Ok(Command::Configure(all)) => self.configure(all, now),
                Ok(Command::Link { interface, family, index, primary }) => {
                    self.link((interface, family), index, primary, now);
                }
                Ok(Command::Begin) => self.begin(now),
                Ok(Command::HandOver) => self.routers.tell_all(&Input::HandOver, now),
                Ok(Command::Answering(who)) => self.routers.answering(who, now),
                Ok(Command::Release) => self.routers.tell_all(&Input::Release, now),
                Ok(Command::Report(reply)) => {
                    // Who asked may have given up.
                    let _ = reply.send(self.routers.report());
                }
                Ok(Command::Stop) => {
                    self.routers.tell_all(&Input::Stop, now);
                    return Next::End;
                }
                Err(TryRecvError::Empty) => return Next::GoOn,
                // The engine is gone without a word. Its successor goes on where it was.
                Err(TryRecvError::Disconnected) => return Next::End,
            }
        }
    }

    fn begin(&mut self, now: Moment) {
        self.begun = true;
        for ((interface, family), port) in &self.ports {
            if let (Socket::Open(_), Some(primary)) = (&port.socket, port.primary) {
                self.routers.link(interface, *family, Link::Up { primary }, now);
            }
        }
    }

    fn configure(&mut self, all: Vec<Assignment>, now: Moment) {
        let mut resume = BTreeMap::new();
        for Assignment { settings, addresses_up } in &all {
            if let Err(error) = self.last_adverts.open(&settings.id) {
                let what = format!("{} cannot be resumed after a crash: {error}", settings.id);
                self.tell(Event::Weakened { what });
            }
            if let Some(last_advert) = self.last_adverts.read(&settings.id).filter(|_| *addresses_up) {
                resume.insert(settings.id.clone(), Start::Resume { last_advert });
            }
        }
        let start = |id: &InstanceId| resume.get(id).copied().unwrap_or(Start::Fresh);
        self.routers.configure(all.into_iter().map(|one| one.settings).collect(), start, now);
        // Those that are gone say so before their socket may close.
        self.act();
    }

    fn link(&mut self, at: (LinkName, Family), index: u32, primary: Option<IpAddr>, now: Moment) {
        let unchanged = |port: &Port| port.index == index && port.primary == primary;
        if !self.ports.get(&at).is_some_and(unchanged) {
            // The old socket is tied to the old index and address.
            self.ports.insert(at.clone(), Port { index, primary, socket: Socket::Closed });
        }
        // An interface that is up counts once its socket is open.
        if primary.is_none() {
            self.routers.link(&at.0, at.1, Link::Down, now);
        }
    }

    /// Opens what virtual routers need and closes what none does.
    fn open_sockets(&mut self) {
        let wanted = self.routers.interfaces();
        let at = now();
        let mut events = Vec::new();
        for (key, port) in &mut self.ports {
            let (name, family) = (&key.0, key.1);
            let Some(primary) = port.primary.filter(|_| wanted.contains(key)) else {
                port.socket = Socket::Closed;
                self.routers.link(name, family, Link::Down, at);
                continue;
            };
            let before = match &port.socket {
                Socket::Open(_) => continue,
                Socket::Failed { again, .. } if *again > at => continue,
                Socket::Failed { error, .. } => Some(error.clone()),
                Socket::Closed => None,
            };
            match VrrpSocket::open(name.as_str(), port.index, primary) {
                Ok(socket) => {
                    port.socket = Socket::Open(socket);
                    if self.begun {
                        self.routers.link(name, family, Link::Up { primary }, at);
                    }
                    events.push(Event::SocketOpen { interface: name.clone(), family, at });
                }
                Err(failure) => {
                    let error = format!("{failure}: {}", failure.source);
                    self.routers.link(name, family, Link::Down, at);
                    if before.as_ref() != Some(&error) {
                        events.push(Event::SocketFailed { interface: name.clone(), error: error.clone() });
                    }
                    port.socket = Socket::Failed { error, again: at + RETRY };
                }
            }
        }
        events.into_iter().for_each(|event| self.tell(event));
    }

    /// Carries out what the core wants.
    fn act(&mut self) {
        while let Some((id, action)) = self.routers.poll_action() {
            let at = now();
            match action {
                Action::Send(advert) => self.send(id, &advert, at),
                Action::Changed { from, to, why, silent } => {
                    self.tell(Event::StateChanged { id, from, to, why, silent, at });
                }
                Action::Overslept { slept, .. } => self.tell(Event::Overslept { id, slept, at }),
                Action::Healed { other } => self.tell(Event::Healed { id, other, at }),
                Action::Withheld { master, silence } => self.tell(Event::Withheld { id, master, silence }),
                Action::NoHeir => self.tell(Event::NoHeir { id }),
                Action::Misfit { source, misfit } => self.tell(Event::Misfit { id, source, misfit }),
            }
        }
    }

    fn send(&mut self, id: InstanceId, advert: &Advert, at: Moment) {
        let port = self.ports.get(&(id.interface.clone(), advert.addresses.family()));
        let sent = match port.and_then(|port| Some((port.open()?, port.primary?))) {
            Some((socket, primary)) => socket.send(&advert.emit(primary)),
            None => Err(io::ErrorKind::NotConnected.into()),
        };
        match sent {
            Ok(()) => {
                self.last_adverts.note(&id, (advert.priority != LEAVING).then_some(at));
                self.mute.remove(&id);
            }
            Err(error) if self.mute.insert(id.clone()) => {
                self.tell(Event::SendFailed { id, error: error.to_string() });
            }
            Err(_) => {}
        }
    }

    /// The engine may be gone; then the next turn ends.
    fn tell(&self, event: Event) {
        let _ = self.ends.events.send(event);
    }
}

impl Port {
    fn open(&self) -> Option<&VrrpSocket> {
        match &self.socket {
            Socket::Open(socket) => Some(socket),
            Socket::Closed | Socket::Failed { .. } => None,
        }
    }
}
