//! The network of one test: a thread that owns the switch, the machines' plugs and the client hosts.
//!
//! The only reader of the clock and of the network's sockets. Tests hold a [`Lab`], which runs closures on the thread
//! ([`Lab::with`]), so that nothing is shared and nothing is locked. What the thread does is in [`network`].

mod network;

use std::io::Write;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use halcyon_core::moment::Moment;

use crate::client::load::Load;
use crate::client::talk::{Outcome, Request};
use crate::plug::Plug;
use crate::pulse::Pulse;
use crate::seed::Seed;
use crate::switch::frame::Mac;
use crate::switch::{PortId, Segment};

use network::Command;
pub use network::{Network, Tap};

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
        let mut network = Network::new(seed, clock);
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
        Ok(self.with(move |network| network.add_machine(segment, plug)))
    }

    /// Adds client machines with these addresses; they are numbered on from those before.
    pub fn add_hosts(&self, hosts: Vec<(Mac, Ipv4Addr)>, prefix: u8) {
        self.with(move |network| {
            for (mac, address) in hosts {
                network.add_host(mac, address, prefix);
            }
        });
    }

    /// Gives every client machine an IPv6 address beside its other one, with a prefix length of 64 bits.
    pub fn add_ipv6(&self, address: impl Fn(Ipv4Addr) -> Ipv6Addr + Send + 'static) {
        self.with(move |network| network.add_ipv6(&address));
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
        let id = self.with(move |network| network.start_load(load, sender));
        (id, outcomes)
    }

    /// One request from one host (by number).
    pub fn ask(&self, host: usize, request: Request) -> Outcome {
        let (sender, outcome) = mpsc::channel();
        self.with(move |network| network.ask(host, request, sender));
        outcome.recv().expect("every request has an outcome")
    }

    /// One request from each of these hosts, all at once; their outcomes in the same order.
    pub fn ask_all(&self, requests: Vec<(usize, Request)>) -> Vec<Outcome> {
        let outcomes = self.with(move |network| {
            let ask = |(host, request)| {
                let (sender, outcome) = mpsc::channel();
                network.ask(host, request, sender);
                outcome
            };
            requests.into_iter().map(ask).collect::<Vec<_>>()
        });
        outcomes.iter().map(|one| one.recv().expect("every request has an outcome")).collect()
    }

    /// Has the first hosts hold their neighbour entries of an address, one after the other as `pins` says.
    pub fn pin(&self, pins: Vec<Option<(Ipv4Addr, Mac)>>) {
        self.with(move |network| network.pin(&pins));
    }

    /// Ends connections that `Ask::Hold` left open.
    pub fn release(&self, held: &[u64]) {
        let tickets = held.to_vec();
        self.with(move |network| network.release(&tickets));
    }

    /// Pings connections that `Ask::Hold` left open, all at once, in the given order.
    pub fn ping(&self, held: &[u64], patience: Duration) -> Vec<Outcome> {
        let (sender, outcomes) = mpsc::channel();
        let tickets = held.to_vec();
        self.with(move |network| network.ping(&tickets, patience, &sender));
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
        self.lab.with(move |network| network.stop_load(id));
        self.kept.extend(self.outcomes.iter());
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::load::{Pace, Tally};
    use crate::client::talk::{Ask, Failure};
    use std::net::{IpAddr, SocketAddrV4};

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
        assert!(flows.keys().any(|flow| flow.destination == IpAddr::from([10, 0, 0, 2])), "{flows:?}");
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
