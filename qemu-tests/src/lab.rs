//! The network of one test: a thread that owns the switch, the machines' plugs and the client hosts.
//!
//! The only reader of the clock and of the network's sockets. Tests hold a [`Lab`], which runs closures on the thread
//! ([`Lab::with`]), so that nothing is shared and nothing is locked.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use halcyon_core::moment::Moment;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::client::host::Host;
use crate::client::load::{Load, Running};
use crate::client::talk::{Outcome, Request};
use crate::plug::Plug;
use crate::pulse::Pulse;
use crate::seed::Seed;
use crate::switch::frame::Mac;
use crate::switch::{PortId, Role, Segment, Switch};

/// The thread wakes at least this often.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);

/// The lab's clock: moments since the lab's start.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Instant);

impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The moment it is.
    pub fn now(self) -> Moment {
        Moment::from_boot(self.0.elapsed())
    }
}

type Command = Box<dyn FnOnce(&mut Network) + Send>;

/// A handle to the network thread. Dropping it ends the thread.
pub struct Lab {
    commands: Option<mpsc::Sender<Command>>,
    wake: UnixStream,
    clock: Clock,
    pulse: Pulse,
    thread: Option<JoinHandle<()>>,
}

impl Lab {
    /// A network without ports; faults and clients draw from `seed`.
    pub fn start(seed: &Seed) -> Result<Self> {
        let (wake, woken) = UnixStream::pair().context("a pair of sockets to wake the network thread")?;
        woken.set_nonblocking(true)?;
        wake.set_nonblocking(true)?;
        let (commands, inbox) = mpsc::channel();
        let clock = Clock::start();
        let mut network = Network {
            switch: Switch::new(seed.fork("faults")),
            ends: Vec::new(),
            loads: BTreeMap::new(),
            singles: BTreeMap::new(),
            hosts: Vec::new(),
            late: BinaryHeap::new(),
            taps: Vec::new(),
            next_ticket: 0,
            clock,
            seed: seed.fork("clients"),
        };
        let thread = std::thread::Builder::new()
            .name("network".into())
            .spawn(move || network.run(&inbox, woken))
            .context("a thread for the network")?;
        let pulse = Pulse::start(clock).context("a thread for the pulse")?;
        Ok(Self { commands: Some(commands), wake, clock, pulse, thread: Some(thread) })
    }

    /// The lab's clock.
    pub fn clock(&self) -> Clock {
        self.clock
    }

    /// The moment it is.
    pub fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Watches the emulated machine in this process, for [`Lab::stalled`].
    pub fn watch(&self, process: u32) {
        self.pulse.watch(process);
    }

    /// How long the test host kept us or a machine waiting between two moments.
    pub fn stalled(&self, from: Moment, to: Moment) -> Duration {
        self.pulse.stalled(from, to)
    }

    /// Runs `work` on the network thread and waits for its result.
    ///
    /// # Panics
    /// When the network thread has died, which is a fault of the harness.
    pub fn with<R: Send + 'static>(&self, work: impl FnOnce(&mut Network) -> R + Send + 'static) -> R {
        let (answer, result) = mpsc::channel();
        let commands = self.commands.as_ref().expect("the channel lives as long as the lab");
        let command: Command = Box::new(move |network| {
            // The asker waits for the answer below.
            let _ = answer.send(work(network));
        });
        commands.send(command).expect("the network thread lives as long as the lab");
        // A full socket means that the thread is being woken anyway.
        let _ = (&self.wake).write(&[1]);
        result.recv().expect("the network thread answers every command")
    }

    /// Adds a port of `segment` for a machine's card that will connect at `path`.
    pub fn plug(&self, path: &Path, segment: Segment) -> Result<PortId> {
        let plug = Plug::listen(path).with_context(|| format!("listening at {}", path.display()))?;
        Ok(self.with(move |network| network.add(Role::Box, segment, End::Machine(plug))))
    }

    /// Adds client machines with these addresses; they are numbered on from those before.
    pub fn add_hosts(&self, hosts: Vec<(Mac, Ipv4Addr)>, prefix: u8) {
        self.with(move |network| {
            for (mac, address) in hosts {
                let host = Host::new(mac, address, prefix, &mut network.seed);
                network.hosts.push((host, PortId(network.ends.len())));
                let end = End::Host(network.hosts.len() - 1);
                network.add(Role::Client, Segment::Front, end);
            }
        });
    }

    /// Has the load run to its end.
    ///
    /// # Panics
    /// When the load is a steady one, which has no end.
    pub fn run(&self, load: Load) -> Vec<Outcome> {
        assert!(
            matches!(load.pace, crate::client::load::Pace::Count { .. }),
            "a steady load is started, not run"
        );
        self.begin(load).1.into_iter().collect()
    }

    /// Starts a load and lets it run.
    pub fn start_load(self: &Arc<Self>, load: Load) -> Stream {
        let (id, outcomes) = self.begin(load);
        Stream { lab: Arc::clone(self), id, outcomes, kept: Vec::new() }
    }

    /// Starts a load: its number, and its outcomes as they come.
    pub(crate) fn begin(&self, load: Load) -> (u64, mpsc::Receiver<Outcome>) {
        let (sender, outcomes) = mpsc::channel();
        let id = self.with(move |network| {
            let now = network.clock.now();
            let id = network.ticket();
            network.loads.insert(id, (Running::new(load, now), sender));
            id
        });
        (id, outcomes)
    }

    /// One request from one host (by number).
    pub fn ask(&self, host: usize, request: Request) -> Outcome {
        let (sender, outcome) = mpsc::channel();
        self.with(move |network| {
            let ticket = network.ticket();
            network.singles.insert(ticket, sender);
            network.begin(host, ticket, request);
        });
        outcome.recv().expect("every request has an outcome")
    }

    /// Has the first hosts hold their neighbour entries of an address, one after the other as `pins` says.
    pub fn pin(&self, pins: Vec<Option<(Ipv4Addr, Mac)>>) {
        self.with(move |network| {
            for ((host, _), pin) in network.hosts.iter_mut().zip(pins) {
                host.pin(pin);
            }
        });
    }

    /// Ends connections that `Ask::Hold` left open.
    pub fn release(&self, held: &[u64]) {
        let tickets = held.to_vec();
        self.with(move |network| {
            let now = network.clock.now();
            for (host, _) in &mut network.hosts {
                tickets.iter().for_each(|ticket| host.release(*ticket, now));
            }
        });
    }

    /// Pings connections that `Ask::Hold` left open, all at once, in the given order.
    pub fn ping(&self, held: &[u64], patience: Duration) -> Vec<Outcome> {
        let (sender, outcomes) = mpsc::channel();
        let tickets = held.to_vec();
        self.with(move |network| {
            let now = network.clock.now();
            for ticket in tickets {
                network.singles.insert(ticket, sender.clone());
                if !network.hosts.iter_mut().any(|(host, _)| host.ping(ticket, patience, now)) {
                    network.singles.remove(&ticket);
                }
            }
        });
        outcomes.into_iter().collect()
    }

    /// Writes what the switch saw last as a capture file.
    pub fn write_capture(&self, path: &Path) -> Result<()> {
        let file = std::fs::File::create(path).with_context(|| format!("creating {}", path.display()))?;
        let mut file = std::io::BufWriter::new(file);
        self.with(move |network| network.switch.ring.write(&mut file).and_then(|()| file.flush()))
            .context("writing the capture")
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.commands = None;
        let _ = (&self.wake).write(&[1]);
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the test that ran into it.
            let _ = thread.join();
        }
    }
}

/// A load that runs while the test does other things.
pub struct Stream {
    lab: Arc<Lab>,
    id: u64,
    outcomes: mpsc::Receiver<Outcome>,
    kept: Vec<Outcome>,
}

impl Stream {
    /// The outcomes so far.
    pub fn so_far(&mut self) -> &[Outcome] {
        self.kept.extend(self.outcomes.try_iter());
        &self.kept
    }

    /// Begins no more requests, waits for the open ones and returns all outcomes.
    pub fn stop(mut self) -> Vec<Outcome> {
        let id = self.id;
        self.lab.with(move |network| {
            if let Some((load, _)) = network.loads.get_mut(&id) {
                load.stop();
            }
        });
        self.kept.extend(self.outcomes.iter());
        self.kept
    }
}

/// A frame that a fault holds back: until when, in which order, for which port.
type Late = (Moment, u64, usize, Arc<[u8]>);

/// What is at a port.
enum End {
    Machine(Plug),
    Host(usize),
}

/// Sees every frame a machine sends before the switch does; takes it away by returning true.
pub type Tap = Box<dyn FnMut(PortId, &[u8]) -> bool + Send>;

/// The network, as its thread sees it.
pub struct Network {
    /// The switch and its books.
    pub switch: Switch,
    ends: Vec<End>,
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
    /// Adds a tap.
    pub fn tap(&mut self, tap: Tap) {
        self.taps.push(tap);
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

    fn run(&mut self, inbox: &mpsc::Receiver<Command>, mut woken: UnixStream) {
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
                if !taken {
                    self.pass(frame.into(), PortId(index), now);
                }
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
            End::Machine(plug) => plug.send(frame),
            End::Host(index) => self.hosts[*index].0.receive(frame),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::load::{Pace, Tally};
    use crate::client::talk::{Ask, Failure};
    use std::net::SocketAddrV4;

    fn lab() -> Lab {
        let lab = Lab::start(&Seed::new(1)).expect("a lab");
        let host = |number: u8| (Mac([2, 0, 0, 0, 0, number]), Ipv4Addr::new(10, 0, 0, number));
        lab.add_hosts(vec![host(1), host(2)], 24);
        lab
    }

    #[test]
    fn hosts_reach_each_other_through_the_switch() {
        // Given two hosts and no server: a closed port answers with a reset, an absent host not at all.
        let lab = lab();
        let request = |last| Request {
            patience: Duration::from_millis(300),
            ..Request::new(Ask::Name, SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, last), 4000))
        };
        assert_eq!(lab.ask(0, request(2)).result, Err(Failure::Refused));
        assert_eq!(lab.ask(0, request(9)).result, Err(Failure::NoConnection));
        let flows = lab.with(|network| network.switch.flows.clone());
        assert!(flows.keys().any(|flow| flow.destination == Ipv4Addr::new(10, 0, 0, 2)), "{flows:?}");
    }

    #[test]
    fn a_pinned_host_follows_no_announcement() {
        let lab = lab();
        let (to, nobody) = (Ipv4Addr::new(10, 0, 0, 2), Mac([2, 0, 0, 0, 0, 77]));
        let request = Request {
            patience: Duration::from_millis(300),
            ..Request::new(Ask::Name, SocketAddrV4::new(to, 4000))
        };
        lab.pin(vec![Some((to, nobody))]);
        assert_eq!(lab.ask(0, request.clone()).result, Err(Failure::NoConnection));
        lab.pin(vec![None]);
        assert_eq!(lab.ask(0, request).result, Err(Failure::Refused));
    }

    #[test]
    fn a_load_ends_with_an_outcome_for_every_request() {
        let lab = lab();
        let to = SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 2), 4000);
        let load = Load {
            request: Request::new(Ask::Name, to),
            first_host: 0,
            sources: 1,
            first_port: None,
            pace: Pace::Count { total: 20, parallel: 4 },
        };
        let tally = Tally::of(&lab.run(load));
        assert_eq!((tally.requests, tally.failed.get(&Failure::Refused)), (20, Some(&20)));
    }
}
