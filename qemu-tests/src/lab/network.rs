//! What the network thread runs: frames from plugs and hosts through the taps and the switch to where they go, requests
//! as loads make them due, outcomes to who waits for them.
//!
//! It never blocks but in [`Network::run`]'s poll, and knows nothing of what the frames are for.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::Read;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use halcyon_core::moment::Moment;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Clock;
use crate::client::host::Host;
use crate::client::load::{Load, Running};
use crate::client::talk::{Outcome, Request};
use crate::plug::Plug;
use crate::seed::Seed;
use crate::servant::Servant;
use crate::switch::frame::Mac;
use crate::switch::{PortId, Role, Segment, Switch, tag};

/// The thread wakes at least this often.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// Work that a test has the thread do.
pub(super) type Command = Box<dyn FnOnce(&mut Network) + Send>;

/// A frame that a fault holds back: until when, in which order, for which port.
type Late = (Moment, u64, usize, Arc<[u8]>);

/// What is at a port.
enum End {
    Machine(Plug),
    Host(usize),
    Servant(Box<Servant>),
}

/// Sees every frame a machine sends before the switch does; takes it away by returning true.
pub type Tap = Box<dyn FnMut(PortId, &[u8]) -> bool + Send>;

/// The network, as its thread sees it.
pub struct Network {
    /// The switch and its books.
    pub switch: Switch,
    ends: Vec<End>,
    /// Ports that carry the switch's frames with a tag of this VLAN.
    tagged: BTreeMap<PortId, u16>,
    hosts: Vec<(Host, PortId)>,
    loads: BTreeMap<u64, (Running, mpsc::Sender<Outcome>)>,
    singles: BTreeMap<u64, mpsc::Sender<Outcome>>,
    late: BinaryHeap<Reverse<Late>>,
    taps: Vec<Tap>,
    next_ticket: u64,
    clock: Clock,
    seed: Seed,
}

impl Network {
    /// Without ports; faults and clients draw from `seed`.
    pub(super) fn new(seed: &Seed, clock: Clock) -> Self {
        Self {
            switch: Switch::new(seed.fork("faults")),
            ends: Vec::new(),
            tagged: BTreeMap::new(),
            loads: BTreeMap::new(),
            singles: BTreeMap::new(),
            hosts: Vec::new(),
            late: BinaryHeap::new(),
            taps: Vec::new(),
            next_ticket: 0,
            clock,
            seed: seed.fork("clients"),
        }
    }

    /// Adds a tap.
    pub fn tap(&mut self, tap: Tap) {
        self.taps.push(tap);
    }

    /// From now on the port is a trunk: what leaves there has a tag of this VLAN, and what comes in without is dropped.
    pub fn tag(&mut self, port: PortId, id: u16) {
        self.tagged.insert(port, id);
    }

    /// Hands a frame to the machine at `port`, past the switch and its faults.
    pub fn inject(&mut self, port: PortId, frame: &[u8]) {
        if let End::Machine(plug) = &mut self.ends[port.0] {
            plug.send(frame);
        }
    }

    /// Whether a machine is connected at `port`.
    pub fn is_connected(&self, port: PortId) -> bool {
        matches!(&self.ends[port.0], End::Machine(plug) if plug.is_connected())
    }

    /// Adds a port of `segment` for the machine that connects to `plug`.
    pub(super) fn add_machine(&mut self, segment: Segment, plug: Plug) -> PortId {
        self.add(Role::Box, segment, End::Machine(plug))
    }

    /// Adds a client machine on a port of its own.
    pub(super) fn add_host(&mut self, mac: Mac, address: Ipv4Addr, prefix: u8) {
        let host = Host::new(mac, address, prefix, &mut self.seed);
        let end = End::Host(self.hosts.len());
        let port = self.add(Role::Client, Segment::Front, end);
        self.hosts.push((host, port));
    }

    /// Adds a server on a port of its own.
    pub fn add_servant(&mut self, segment: Segment, servant: Servant) -> PortId {
        self.add(Role::Client, segment, End::Servant(Box::new(servant)))
    }

    /// The server at `port`; `None`: something else is there.
    pub fn servant(&mut self, port: PortId) -> Option<&mut Servant> {
        match &mut self.ends[port.0] {
            End::Servant(servant) => Some(servant),
            _ => None,
        }
    }

    /// See [`super::Lab::add_ipv6`].
    pub(super) fn add_ipv6(&mut self, address: &dyn Fn(Ipv4Addr) -> Ipv6Addr) {
        for (host, _) in &mut self.hosts {
            host.add_ipv6(address(host.address()), 64);
        }
    }

    /// Starts a load; its outcomes go to `sender`. Its number.
    pub(super) fn start_load(&mut self, load: Load, sender: mpsc::Sender<Outcome>) -> u64 {
        let id = self.ticket();
        self.loads.insert(id, (Running::new(load, self.clock.now()), sender));
        id
    }

    /// Begins no more requests of the load.
    pub(super) fn stop_load(&mut self, id: u64) {
        if let Some((load, _)) = self.loads.get_mut(&id) {
            load.stop();
        }
    }

    /// One request from one host; its outcome goes to `sender`.
    pub(super) fn ask(&mut self, host: usize, request: Request, sender: mpsc::Sender<Outcome>) {
        let ticket = self.ticket();
        self.singles.insert(ticket, sender);
        self.begin(host, ticket, request);
    }

    /// See [`super::Lab::pin`].
    pub(super) fn pin(&mut self, pins: &[Option<(Ipv4Addr, Mac)>]) {
        for ((host, _), pin) in self.hosts.iter_mut().zip(pins) {
            host.pin(*pin);
        }
    }

    /// See [`super::Lab::release`].
    pub(super) fn release(&mut self, held: &[u64]) {
        let now = self.clock.now();
        for (host, _) in &mut self.hosts {
            held.iter().for_each(|ticket| host.release(*ticket, now));
        }
    }

    /// See [`super::Lab::ping`]; every outcome goes to `sender`.
    pub(super) fn ping(&mut self, held: &[u64], patience: Duration, sender: &mpsc::Sender<Outcome>) {
        let now = self.clock.now();
        for ticket in held {
            if self.hosts.iter_mut().any(|(host, _)| host.ping(*ticket, patience, now)) {
                self.singles.insert(*ticket, sender.clone());
            }
        }
    }

    fn add(&mut self, role: Role, segment: Segment, end: End) -> PortId {
        self.ends.push(end);
        self.switch.add_port(role, segment)
    }

    fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    fn begin(&mut self, host: usize, ticket: u64, request: Request) {
        let now = self.clock.now();
        let hosts = self.hosts.len();
        self.hosts[host % hosts].0.ask(ticket, request, now);
    }

    /// Works until the lab is dropped.
    pub(super) fn run(&mut self, inbox: &mpsc::Receiver<Command>, mut woken: UnixStream) {
        loop {
            loop {
                match inbox.try_recv() {
                    Ok(command) => command(self),
                    Err(mpsc::TryRecvError::Empty) => break,
                    Err(mpsc::TryRecvError::Disconnected) => return,
                }
            }
            while self.turn() {}
            self.sleep(&woken);
            // Only the waking counts, not what was written.
            while woken.read(&mut [0; 64]).is_ok_and(|length| length > 0) {}
        }
    }

    /// One round over everything that may have something to do; true when frames moved.
    fn turn(&mut self) -> bool {
        let now = self.clock.now();
        let mut moved = false;
        for index in 0..self.ends.len() {
            let End::Machine(plug) = &mut self.ends[index] else { continue };
            let reading = plug.turn();
            if reading.gone {
                self.switch.forget(PortId(index));
            }
            for frame in reading.frames {
                moved = true;
                let mut taken = false;
                for tap in &mut self.taps {
                    taken |= tap(PortId(index), &frame);
                }
                let bare = match self.tagged.get(&PortId(index)) {
                    Some(id) => tag::take(&frame, *id),
                    None => Some(frame),
                };
                if let Some(frame) = bare.filter(|_| !taken) {
                    self.pass(frame.into(), PortId(index), now);
                }
            }
        }
        for index in 0..self.ends.len() {
            let End::Servant(servant) = &mut self.ends[index] else { continue };
            for frame in servant.take_sent() {
                moved = true;
                self.pass(frame.into(), PortId(index), now);
            }
        }
        while let Some(Reverse((at, ..))) = self.late.peek()
            && *at <= now
        {
            let Some(Reverse((_, _, to, frame))) = self.late.pop() else { break };
            moved = true;
            self.hand(PortId(to), &frame);
        }
        self.begin_loads(now);
        for index in 0..self.hosts.len() {
            let (host, port) = &mut self.hosts[index];
            if host.due(now).is_none_or(|due| due > now) {
                continue;
            }
            let port = *port;
            let (frames, outcomes) = host.turn(now);
            moved |= !frames.is_empty() || !outcomes.is_empty();
            for frame in frames {
                self.pass(frame.into(), port, now);
            }
            for outcome in outcomes {
                self.tell(outcome);
            }
        }
        moved
    }

    fn begin_loads(&mut self, now: Moment) {
        let ids: Vec<u64> = self.loads.keys().copied().collect();
        for id in ids {
            loop {
                let ticket = self.ticket();
                let Some((load, _)) = self.loads.get_mut(&id) else { break };
                let Some((host, request)) = load.next(ticket, now) else { break };
                self.begin(host, ticket, request);
            }
        }
        // Dropping the sender tells the waiting test that no more outcomes come.
        self.loads.retain(|_, (load, _)| !load.is_over());
    }

    fn tell(&mut self, outcome: Outcome) {
        if let Some(single) = self.singles.remove(&outcome.ticket) {
            // A test that no longer waits does not want to know.
            let _ = single.send(outcome);
            return;
        }
        for (load, sender) in self.loads.values_mut() {
            if load.ended(outcome.ticket) {
                let _ = sender.send(outcome);
                return;
            }
        }
    }

    fn pass(&mut self, frame: Arc<[u8]>, from: PortId, now: Moment) {
        for delivery in self.switch.handle(&frame, from, now) {
            if delivery.at <= now {
                self.hand(delivery.to, &delivery.frame);
            } else {
                let order = self.ticket();
                self.late.push(Reverse((delivery.at, order, delivery.to.0, delivery.frame)));
            }
        }
    }

    fn hand(&mut self, to: PortId, frame: &Arc<[u8]>) {
        match &mut self.ends[to.0] {
            End::Machine(plug) => match self.tagged.get(&to) {
                Some(id) => plug.send(&tag::put(frame, *id)),
                None => plug.send(frame),
            },
            End::Host(index) => self.hosts[*index].0.receive(frame),
            End::Servant(servant) => {
                let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                servant.receive(frame, wall);
            }
        }
    }

    fn sleep(&mut self, woken: &UnixStream) {
        let now = self.clock.now();
        let hosts = self.hosts.iter_mut().filter_map(|(host, _)| host.due(now));
        let loads = self.loads.values().filter_map(|(load, _)| load.due());
        let late = self.late.peek().map(|Reverse((at, ..))| *at);
        let wait = hosts.chain(loads).chain(late).min().map_or(LONGEST_SLEEP, |due| due.since(now));
        // Rounded up: waking a moment too early would spin.
        let millis = wait.min(LONGEST_SLEEP).as_micros().div_ceil(1000) as u16;
        let mut fds = vec![PollFd::new(woken.as_fd(), PollFlags::POLLIN)];
        for end in &self.ends {
            let End::Machine(plug) = end else { continue };
            let (fd, writing) = plug.interest();
            let flags = if writing { PollFlags::POLLIN | PollFlags::POLLOUT } else { PollFlags::POLLIN };
            fds.push(PollFd::new(fd, flags));
        }
        // An interrupted poll is a short sleep.
        let _ = poll(&mut fds, PollTimeout::from(millis));
    }
}
