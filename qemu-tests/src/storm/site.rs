//! A lab with boxes of one kind and four services, and what can be done to it: the same for both kinds.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Result, bail};

use super::figures::Figures;
use super::{halcyon, naive, quartet};
use crate::agent::Agent;
use crate::client::load::{Load, Pace, Tally};
use crate::client::talk::{Ask, Outcome, Request};
use crate::draw::{CLIENTS, Cluster, GUESTS};
use crate::lab::Stream;
use crate::pair::Pair;
use crate::seed::Seed;
use crate::switch::faults::{Fault, Traffic};
use crate::tables;
use crate::wording::{Service, Strategy, Wording};

/// What runs on the boxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    /// This product.
    Halcyon,
    /// keepalived as director on every box, and nothing that keeps packets from being scheduled again.
    Naive,
}

impl Make {
    /// Quick checks; advertisements of Halcyon each `interval`, of the naive set-up as it is described everywhere:
    /// version 2, every second, with a password.
    pub fn wording(self, interval: Duration) -> Wording {
        let second = Duration::from_secs(1);
        let quick = Wording { check_interval: second, check_timeout: second, ..Wording::default() };
        match self {
            Self::Halcyon => Wording { interval, ..quick },
            Self::Naive => Wording { version: 2, interval: second, password: Some("1111".into()), ..quick },
        }
    }
}

/// Boxes of one make, each director and real server, with four services.
pub struct Site {
    /// The boxes and their network.
    pub pair: Pair,
    /// What runs on them.
    pub make: Make,
    /// The services, in the order of [`quartet::COLUMNS`].
    pub services: Vec<Service>,
    agents: Vec<Agent>,
    /// Who is master.
    master: usize,
}

/// Where clients believe the virtual address to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// Where it was announced last.
    Announced,
    /// At this box, whatever is announced.
    At(usize),
    /// As many clients as there are boxes at the first box, as many at the second, and so on: of those at each box a
    /// scheduler that takes turns, in whichever order, has given each box the same number.
    Spread,
}

/// How a load differs from the usual one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Time to live of the clients' packets; 64 when `None`.
    pub ttl: Option<u8>,
    /// First source port of each client; the clients' next ones when `None`.
    pub first_port: Option<u16>,
    /// From the other forty clients.
    pub others: bool,
}

/// ICMP's protocol number (RFC 792).
const ICMP: u8 = 1;

/// Requests of each service at a time.
const PARALLEL: usize = 4;

impl Site {
    /// Draws a site of `size` boxes; nothing is switched on.
    pub fn new(seed: &Seed, make: Make, size: usize, wording: Wording, logs: &Path) -> Result<Self> {
        let cluster = Cluster::draw_of(seed, size);
        let wording = quartet::worded(seed, wording);
        let services = cluster.services(&wording);
        let mut pair = Pair::of(cluster, seed, wording, logs)?;
        if make == Make::Naive {
            (0..size).try_for_each(|which| pair.put_keepalived(which, naive::DIRECTOR))?;
        }
        let agents = (0..size).map(|which| pair.agent(which)).collect();
        Ok(Self { pair, make, services, agents, master: 0 })
    }

    /// How many boxes there are.
    pub fn size(&self) -> usize {
        self.pair.boxes.len()
    }

    /// The members' names.
    pub fn names(&self) -> Vec<String> {
        self.pair.cluster.members.iter().map(|member| member.name.clone()).collect()
    }

    /// The agent on a box.
    pub fn agent(&self, which: usize) -> &Agent {
        &self.agents[which]
    }

    /// Switches all boxes on and waits until the first is master and every box can be given everything.
    pub fn boot(&mut self) -> Result<()> {
        for which in 0..self.size() {
            self.pair.power_on(which)?;
        }
        for which in 0..self.size() {
            self.wait_ready(which)?;
        }
        self.wait_whole()
    }

    /// Switches a box on again and waits until every box can be given everything.
    pub fn return_of(&mut self, which: usize) -> Result<()> {
        self.pair.power_on(which)?;
        self.wait_ready(which)?;
        self.wait_whole()
    }

    fn wait_ready(&mut self, which: usize) -> Result<()> {
        match self.make {
            Make::Halcyon => self.pair.wait_ready(which),
            // It reports nothing: its tables and advertisements tell.
            Make::Naive => Ok(()),
        }
    }

    /// Waits until the first box alone is master and every box can be given everything.
    fn wait_whole(&mut self) -> Result<()> {
        self.wait_master(0)?;
        let everyone: Vec<_> = (0..self.size()).collect();
        self.wait_tables(&everyone, &everyone)
    }

    /// Waits until the box alone is master and everybody knows it.
    pub fn wait_master(&mut self, which: usize) -> Result<()> {
        self.pair.wait_master(which)?;
        self.master = which;
        self.pair.wait_settled()
    }

    /// One director at a time, but for a split: the others have no table.
    fn one_director(&self) -> bool {
        matches!(self.pair.wording.strategy, Strategy::Standby { .. })
    }

    /// Waits until the tables of the boxes `at`, as far as they are directors, name exactly the boxes `servers`, for
    /// every service.
    pub fn wait_tables(&self, at: &[usize], servers: &[usize]) -> Result<()> {
        for which in at.iter().filter(|which| !self.one_director() || **which == self.master) {
            tables::wait_servers(&self.agents[*which], &self.pair.cluster, &self.services, servers)?;
        }
        Ok(())
    }

    /// Cuts the power of the first box and waits until the others serve without it.
    pub fn lose_first(&mut self) -> Result<()> {
        self.pair.cut_power(0);
        self.wait_master(1)?;
        let others: Vec<_> = (1..self.size()).collect();
        self.wait_tables(&others, &others)
    }

    /// Makes the second box master while the first goes on serving.
    pub fn hand_over(&mut self) -> Result<()> {
        match self.make {
            Make::Halcyon => halcyon::hand_over(&self.agents[0])?,
            Make::Naive => naive::hand_over(&self.pair, 0, &self.agents[0])?,
        }
        self.wait_master(1)
    }

    /// Cuts VRRP between all boxes, and where a standby asks by ping besides, pings too. Waits until all are master.
    pub fn split(&self) -> Result<()> {
        let ports = self.pair.ports();
        let heard: &[Traffic] =
            if self.one_director() { &[Traffic::Vrrp, Traffic::Ip(ICMP)] } else { &[Traffic::Vrrp] };
        self.pair.lab.with(move |network| {
            let pairs = ports
                .iter()
                .enumerate()
                .flat_map(|(index, one)| ports[index + 1..].iter().map(move |other| (*one, *other)));
            let faults = pairs
                .flat_map(|(one, other)| heard.iter().map(move |what| Fault::partition(*what, one, other)));
            network.switch.faults.set(faults.collect());
        });
        let everyone: Vec<_> = (0..self.size()).collect();
        self.pair.wait_masters(&everyone)
    }

    /// Lets all through again and waits until the first box alone is master.
    pub fn heal(&mut self) -> Result<()> {
        self.pair.lab.with(|network| network.switch.faults.set(Vec::new()));
        self.pair.wait_master(0)
    }

    /// Kills the last box's application and waits until nobody is sent to it.
    pub fn kill_application(&mut self) -> Result<()> {
        let last = self.size() - 1;
        match self.make {
            Make::Halcyon => halcyon::kill_application(&mut self.pair, last, &self.agents[last])?,
            Make::Naive => naive::kill_application(&self.agents[last])?,
        }
        let (everyone, others): (Vec<_>, Vec<_>) = ((0..=last).collect(), (0..last).collect());
        self.wait_tables(&everyone, &others)
    }

    /// Lets the application run again and waits until it is given its share.
    pub fn restore_application(&mut self) -> Result<()> {
        let last = self.size() - 1;
        match self.make {
            Make::Halcyon => halcyon::restore_application(&self.agents[last])?,
            Make::Naive => naive::restore_application(&self.agents[last])?,
        }
        let everyone: Vec<_> = (0..=last).collect();
        self.wait_tables(&everyone, &everyone)
    }

    /// Gives one box after the other a document with the next revision and twice the weights.
    pub fn change_document(&mut self) -> Result<()> {
        self.pair.wording.revision += 1;
        self.pair.wording.weight *= 2;
        for which in 0..self.size() {
            match self.make {
                Make::Halcyon => halcyon::change_document(&mut self.pair, which, &self.agents[which])?,
                Make::Naive => naive::change_document(&self.pair, which, &self.agents[which])?,
            }
        }
        Ok(())
    }

    /// Tells the clients where the virtual address is.
    pub fn believe(&self, neighbour: Neighbour) {
        let (vip, members) = (self.pair.cluster.vip, &self.pair.cluster.members);
        let pin = |client: usize| match neighbour {
            Neighbour::Announced => None,
            Neighbour::At(which) => Some((vip, members[which].mac)),
            Neighbour::Spread => Some((vip, members[client / members.len() % members.len()].mac)),
        };
        self.pair.lab.pin((0..=CLIENTS + GUESTS).map(pin).collect());
    }

    /// `total` requests to each of the services from all clients, all services at a time.
    pub fn load(&self, total: usize, manner: Manner) -> Vec<Figures> {
        self.reset();
        let running: Vec<mpsc::Receiver<Outcome>> = (0..self.services.len())
            .map(|number| {
                let pace = Pace::Count { total, parallel: PARALLEL };
                self.pair.lab.begin(self.one_load(number, manner, pace)).1
            })
            .collect();
        let outcomes: Vec<Vec<_>> =
            running.into_iter().map(|outcomes| outcomes.into_iter().collect()).collect();
        self.figures(&outcomes)
    }

    /// Requests to all services, one of each `every`, while `meanwhile` goes on, and on until each got at least `least`.
    pub fn load_during(
        &mut self,
        least: usize,
        every: Duration,
        manner: Manner,
        meanwhile: impl FnOnce(&mut Self) -> Result<()>,
    ) -> Result<Vec<Figures>> {
        self.reset();
        let mut streams = self.streams(every, manner);
        let half = least / 2;
        wait_begun(&mut streams, half)?;
        meanwhile(self)?;
        let so_far = streams.iter_mut().map(|stream| stream.so_far().len()).max().unwrap_or_default();
        wait_begun(&mut streams, least.max(so_far + half))?;
        let outcomes: Vec<_> = streams.into_iter().map(Stream::stop).collect();
        Ok(self.figures(&outcomes))
    }

    /// A steady stream to each of the services.
    pub fn streams(&self, every: Duration, manner: Manner) -> Vec<Stream> {
        (0..self.services.len())
            .map(|number| {
                let load = self.one_load(number, manner, Pace::Steady { every });
                self.pair.lab.start_load(load)
            })
            .collect()
    }

    /// The figures of the outcomes for each service, with what the switch saw since the last load began.
    pub fn figures(&self, outcomes: &[Vec<Outcome>]) -> Vec<Figures> {
        let names = self.names();
        let keys: Vec<_> = self.services.iter().map(|service| (service.protocol(), service.port)).collect();
        let seen: BTreeMap<_, _> = self.pair.lab.with(move |network| {
            let books = &network.switch.crossings;
            keys.into_iter().map(|(protocol, port)| (port, books.of_service(protocol, port))).collect()
        });
        let figures = self.services.iter().zip(outcomes);
        figures
            .map(|(service, outcomes)| Figures::of(&Tally::of(outcomes), &names, &seen[&service.port]))
            .collect()
    }

    fn reset(&self) {
        self.pair.lab.with(|network| network.switch.crossings.reset());
    }

    /// A request to a service.
    pub fn request(&self, number: usize) -> Request {
        let service = &self.services[number];
        let to = std::net::SocketAddrV4::new(self.pair.cluster.vip, service.port);
        let ask = if service.udp { Ask::Datagram } else { Ask::Name };
        Request { patience: self.patience(), ..Request::new(ask, to) }
    }

    fn patience(&self) -> Duration {
        match self.make {
            // A busy host keeps an emulated application waiting for seconds; what is bounced or dropped never answers.
            Make::Halcyon => Duration::from_secs(15),
            // What fails here fails by being bounced until its time to live is over.
            Make::Naive => Duration::from_secs(1),
        }
    }

    fn one_load(&self, number: usize, manner: Manner, pace: Pace) -> Load {
        // A client's two datagram sockets need two ports.
        let first_port = manner.first_port.map(|port| port + 100 * number as u16);
        let request = Request { ttl: manner.ttl, ..self.request(number) };
        // The gateway stands between the clients and the guests.
        let first_host = if manner.others { CLIENTS + 1 } else { 0 };
        Load { request, first_host, sources: CLIENTS, first_port, pace }
    }
}

/// Waits until each stream has had this many outcomes.
fn wait_begun(streams: &mut [Stream], least: usize) -> Result<()> {
    let deadline = std::time::Instant::now() + Duration::from_secs(120);
    while streams.iter_mut().any(|stream| stream.so_far().len() < least) {
        if std::time::Instant::now() > deadline {
            bail!("a stream of requests comes to no end");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}
