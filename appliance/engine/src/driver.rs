//! The engine's one loop: it owns the node, reads the clock, waits for whatever can happen, and carries out what follows.
//! Decides the order of things on the box; what they are is `halcyon_core`'s to decide.
//!
//! There is one await point, in [`Driver::run`], and everything that can end it is an [`Event`]. Cancelling that wait
//! loses nothing: each source keeps what was not taken.
//!
//! A box that starts is heard on the wire before its packet rules stand, which take a program to load: VRRP's sockets are
//! open as soon as the own addresses are up. That is safe because nothing is balanced or shared yet (`groundwork`
//! in `halcyon_core::reconcile`) and nothing listens: the engine says that it is ready, for which units that listen wait,
//! after its first round, and opens its own ports after the rules. Until a server of every service is healthy the box
//! listens to VRRP and says nothing.

mod document;
mod joining;
mod keeping;
mod leaving;
mod lending;
mod looking;
mod ports;
mod speaking;
mod telling;
mod unlocking;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use halcyon_core::alarm::LoopAlarm;
use halcyon_core::config::types::{Family, InstanceId, LinkName};
use halcyon_core::dhcp::Lease;
use halcyon_core::moment::Moment;
use halcyon_core::node::{self, Action, Node, ServerKey};
use halcyon_core::plan::{Health, Plan};
use halcyon_core::standby::Echo;
use halcyon_core::status::{self, Status};
use halcyon_kernel::{Counters, Kernel};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::announcer::Announcer;
use crate::binding::Binding;
use crate::event::{Event, Sources};
use crate::handout::Handout;
use crate::reconciler::{Occasion, Reconciler};
use crate::status::Entered;
use crate::supervisor::Supervisor;
use crate::volume::Scanner;
use crate::vrrp_thread::{self, Command};
use crate::{clock, join, probes, roll_call, store};
use joining::Joining;
use keeping::Keeping;
use lending::Lessees;
use speaking::{Told, Voice};

/// Time between two looks at the kernel: whatever somebody else changed is back within this and the time to apply it.
const INSPECTION: Duration = Duration::from_millis(500);
/// Shortest time between two looks, however often the kernel says that something changed.
const SETTLING: Duration = Duration::from_millis(50);

/// Where those who carry out what the driver starts say how it went.
#[derive(Clone, Debug)]
pub struct Outcomes {
    /// Health checks.
    pub checked: mpsc::Sender<(ServerKey, u64, Result<(), String>)>,
    /// Echo requests.
    pub echoed: mpsc::Sender<(IpAddr, u64, bool)>,
    /// DHCP clients.
    pub leased: mpsc::Sender<(LinkName, Option<Lease>)>,
}

/// What a driver is made of.
#[derive(Debug)]
pub struct Parts<K> {
    /// The kernel.
    pub kernel: K,
    /// Which document is in force.
    pub binding: Binding,
    /// The thread that keeps it.
    pub store: store::Handle,
    /// VRRP's thread.
    pub vrrp: vrrp_thread::Handle,
    /// What fellows are asked of connections.
    pub roll_call: roll_call::Handle,
    /// Where checks tell how they went.
    pub outcomes: Outcomes,
    /// What joining asks for.
    pub joining: mpsc::UnboundedSender<join::Event>,
    /// Where the status is published.
    pub status: watch::Sender<Arc<Status>>,
    /// How the clock is kept.
    pub clock: watch::Receiver<status::Clock>,
    /// Where files for other programs go.
    pub handout: Handout,
    /// The image's version, and the slot that it was started from.
    pub image: (String, String),
}

/// Everything that the engine is.
pub struct Driver<K> {
    node: Node,
    plan: Plan,
    reconciler: Reconciler<K>,
    binding: Binding,
    keeping: Keeping,
    joining: Joining,
    vrrp: vrrp_thread::Handle,
    roll_call: roll_call::Handle,
    supervisor: Supervisor,
    announcer: Announcer,
    scanner: Scanner,
    outcomes: Outcomes,
    status: watch::Sender<Arc<Status>>,
    listener: Option<JoinHandle<()>>,
    /// A document says where to listen, and nobody does yet.
    closed: bool,
    entered: BTreeMap<InstanceId, Entered>,
    links: BTreeMap<(LinkName, Family), Told>,
    counters: Counters,
    alarm: LoopAlarm,
    started: Moment,
    voice: Voice,
    /// When the first round was done: units that come after the engine may start.
    ready_since: Option<Moment>,
    inspected_at: Moment,
    inspect_at: Moment,
    /// The last readiness that was reported: generation, or unconfigured.
    reported: Option<Option<u64>>,
    /// A first document was on trial and nobody confirmed it: this engine leaves, and the next one has none.
    start_over: bool,
    clock: watch::Receiver<status::Clock>,
    handout: Handout,
    lessees: Lessees,
    attempts: unlocking::Shared,
    image: (String, String),
}

impl<K: Kernel> Driver<K> {
    /// Puts the parts together; nothing happens yet.
    pub fn new(parts: Parts<K>) -> Self {
        let Parts {
            kernel,
            binding,
            store,
            vrrp,
            roll_call,
            outcomes,
            joining,
            status,
            clock,
            handout,
            image,
        } = parts;
        let node = Node::new(clock::seed());
        Self {
            plan: node.plan(),
            node,
            reconciler: Reconciler::new(kernel),
            binding,
            keeping: Keeping::new(store),
            joining: Joining::new(joining),
            vrrp,
            roll_call,
            supervisor: Supervisor::new(),
            announcer: Announcer::default(),
            scanner: Scanner::default(),
            outcomes,
            status,
            listener: None,
            closed: false,
            entered: BTreeMap::new(),
            links: BTreeMap::new(),
            counters: Counters::default(),
            alarm: LoopAlarm::default(),
            started: clock::now(),
            voice: Voice::Silent { connected: None, again: Moment::ZERO },
            ready_since: None,
            inspected_at: Moment::ZERO,
            inspect_at: Moment::ZERO,
            reported: None,
            start_over: false,
            clock,
            handout,
            lessees: Lessees::default(),
            attempts: unlocking::Shared::default(),
            image,
        }
    }

    /// Runs until it is told to stop. Must be called inside a [`LocalSet`](tokio::task::LocalSet).
    pub async fn run(mut self, mut sources: Sources) {
        self.adopt(&mut sources).await;
        loop {
            self.settle().await;
            if self.ready_since.is_none() {
                self.ready_since = Some(clock::now());
                self.supervisor.ready();
            }
            if self.start_over {
                info!("the box has no document again: beginning anew");
                self.leave(&mut sources).await;
                return;
            }
            let wake = self.wake_at().since(clock::now());
            match sources.next(wake).await {
                Event::Vrrp(event) => self.vrrp(event),
                Event::Checked { server, number, outcome } => {
                    self.node.handle(node::Event::Checked { server, number, outcome }, clock::now());
                }
                Event::Echoed { target, number, answered } => {
                    self.node.handle(node::Event::Echoed { target, number, answered }, clock::now());
                }
                Event::Asked(asked) => self.answer(asked),
                Event::Joining(event) => self.joining(event),
                Event::Store(event) => {
                    self.kept(event);
                    self.inspect_at = clock::now();
                }
                Event::KernelChanged => self.inspect_at = self.inspect_at.min(self.inspected_at + SETTLING),
                Event::Farewell(from) => {
                    info!(%from, "a fellow director says that it leaves: checking it");
                    self.node.handle(node::Event::Farewell(from), clock::now());
                }
                Event::Leased(link, lease) => self.leased(link, lease),
                Event::RollCalled | Event::Timer => {}
                Event::Terminate => {
                    self.leave(&mut sources).await;
                    return;
                }
            }
        }
    }

    /// Takes over what an engine before this one left in the kernel: the box goes on as it was before anything is
    /// changed.
    async fn adopt(&mut self, sources: &mut Sources) {
        if self.binding.document().is_none() {
            return;
        }
        // First of all: at short intervals a fellow director takes over within a third of a second.
        self.reconciler.glance().await;
        self.bind();
        let left_up = self.assignments().into_iter().filter(|assignment| assignment.addresses_up);
        let mut awaited: BTreeSet<InstanceId> = left_up.map(|assignment| assignment.settings.id).collect();
        if !awaited.is_empty() {
            self.begin();
        }
        self.tell_links();
        self.move_in();
        self.reconciler.look(&self.plan.state).await;
        self.node.adopt(self.reconciler.observed(), clock::now());
        self.open_doors();
        self.neighbours().await;
        // A virtual router that is resumed says so at once; until then its addresses would look unwanted.
        let deadline = clock::now() + Duration::from_secs(1);
        while !awaited.is_empty() {
            let Ok(Some(event)) = timeout(deadline.since(clock::now()), sources.vrrp.recv()).await else {
                break;
            };
            if let vrrp_thread::Event::StateChanged { id, .. } = &event {
                awaited.remove(id);
            }
            self.vrrp(event);
        }
    }

    /// Brings the box to what is known, and says what there is to say.
    async fn settle(&mut self) {
        let now = clock::now();
        self.node.handle(node::Event::Timeout, now);
        if self.inspect_at <= now {
            self.inspected_at = now;
            self.inspect_at = now + INSPECTION;
            // All that is to be known first, so that one plan follows from it and the rules are loaded once.
            self.reconciler.look(&self.plan.state).await;
            self.watch_trial(now);
            self.watch_joining(now);
            self.volumes(now);
            self.save();
            self.listen_to_cables().await;
            if self.bind() {
                self.move_in();
                // Another plan asks for other facts.
                self.reconciler.look(&self.plan.state).await;
            }
            self.forwarding(now);
            self.seek_leases(now);
            self.neighbours().await;
            self.count(now);
            self.replan();
            if self.reconciler.connect(&self.plan.state).await {
                self.reconciler.look(&self.plan.state).await;
                self.tell_links();
                self.replan();
            }
            if self.reconciler.bring(&self.plan.state, Occasion::Inspection).await {
                self.look_soon();
            }
            self.open_doors();
        }
        self.act();
        self.replan();
        if self.reconciler.bring(&self.plan.state, Occasion::Planned).await {
            self.look_soon();
        }
        self.tell_links();
        self.hand_out();
        self.announcer.announce(self.node.config(), self.reconciler.observed(), clock::now());
        self.report_ready(now);
        self.publish(now);
    }

    /// What was applied should be there now.
    fn look_soon(&mut self) {
        self.inspect_at = self.inspect_at.min(clock::now() + Duration::from_millis(20));
    }

    fn wake_at(&self) -> Moment {
        [self.node.poll_timeout(), self.announcer.next(), self.awaited_at(), Some(self.inspect_at)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(self.inspect_at)
    }

    fn replan(&mut self) {
        self.plan = self.node.plan();
    }

    /// Carries out what the node wants.
    fn act(&mut self) {
        while let Some(action) = self.node.poll_action() {
            match action {
                Action::Check { server, number, target, limit } => {
                    let checked = self.outcomes.checked.clone();
                    tokio::task::spawn_local(async move {
                        let outcome = probes::tcp(target, limit).await;
                        // Only a driver that has ended takes no outcomes.
                        let _ = checked.send((server, number, outcome)).await;
                    });
                }
                Action::Echo(Echo { target, number, limit }) => {
                    let echoed = self.outcomes.echoed.clone();
                    tokio::task::spawn_local(async move {
                        let answered = probes::ping(target, number, limit).await;
                        let _ = echoed.send((target, number, answered)).await;
                    });
                }
                Action::Answering(who) => self.command(Command::Answering(who)),
                Action::HealthChanged { server: (service, server), from, to, why } => {
                    if to == Health::Up {
                        info!(%service, %server, "{server} is up: {why}");
                    } else {
                        warn!(%service, %server, "{server} is {to}, it was {from}: {why}");
                    }
                }
            }
        }
    }
}
