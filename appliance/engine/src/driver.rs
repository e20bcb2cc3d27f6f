//! The engine's one loop: it owns the node, reads the clock, waits for whatever can happen, and carries out what follows.
//! Decides the order of things on the box; what they are is `halcyon_core`'s to decide.
//!
//! There is one await point, in [`Driver::run`], and everything that can end it is an [`Event`]. Cancelling that wait
//! loses nothing: each source keeps what was not taken.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use halcyon_core::config::types::{InstanceId, LinkName, MemberName};
use halcyon_core::control::{Request, Response};
use halcyon_core::moment::Moment;
use halcyon_core::node::{self, Action, Node, ServerKey};
use halcyon_core::plan::{Health, Plan, VrrpState};
use halcyon_core::report;
use halcyon_core::status::Status;
use halcyon_core::vrrp::settings::Settings;
use halcyon_core::vrrp::timers;
use halcyon_kernel::{Counters, Kernel};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tracing::{error, info, warn};

use crate::announcer::Announcer;
use crate::binding::Binding;
use crate::control::Asked;
use crate::event::{Event, Sources};
use crate::reconciler::{Occasion, Reconciler};
use crate::status::{Entered, Facts, status, word};
use crate::supervisor::Supervisor;
use crate::volume::Scanner;
use crate::vrrp_thread::{self, Assignment, Command};
use crate::{clock, observe, probes, table};

/// Time between two looks at the kernel: whatever somebody else changed is back within this and the time to apply it.
const INSPECTION: Duration = Duration::from_millis(500);
/// Shortest time between two looks, however often the kernel says that something changed.
const SETTLING: Duration = Duration::from_millis(50);
/// How long a volume is waited for after the start before the box counts as unconfigured.
const VOLUME: Duration = Duration::from_secs(4);
/// How long after boot a configured box looks for volumes: a slow stick takes some seconds to appear.
const VOLUMES: Duration = Duration::from_secs(60);
/// How long a box that has just been configured waits for its first healthy servers, once its link is usable, before it
/// speaks VRRP all the same.
const FIRST_CHECKS: Duration = Duration::from_millis(1500);
/// What a fellow director may need, beside its skew time, to take over.
const TAKEOVER: Duration = Duration::from_millis(400);
/// What it may need, once it has taken over, to check this box.
const CHECKING: Duration = Duration::from_millis(300);

/// Everything that the engine is.
pub struct Driver<K> {
    node: Node,
    plan: Plan,
    reconciler: Reconciler<K>,
    binding: Binding,
    vrrp: vrrp_thread::Handle,
    supervisor: Supervisor,
    announcer: Announcer,
    scanner: Scanner,
    checked: mpsc::Sender<(ServerKey, u64, Result<(), String>)>,
    status: watch::Sender<Arc<Status>>,
    listener: Option<JoinHandle<()>>,
    entered: BTreeMap<InstanceId, Entered>,
    links: BTreeMap<LinkName, (u32, bool, Option<std::net::Ipv4Addr>)>,
    counters: Counters,
    started: Moment,
    /// VRRP is not spoken yet: since when a link is usable, if one is.
    holding: Option<Option<Moment>>,
    inspected_at: Moment,
    inspect_at: Moment,
    /// The last readiness that was reported: generation, or unconfigured.
    ready: Option<Option<u64>>,
    image: (String, String),
}

impl<K: Kernel> Driver<K> {
    /// Puts the parts together; nothing happens yet.
    pub fn new(
        kernel: K,
        binding: Binding,
        vrrp: vrrp_thread::Handle,
        checked: mpsc::Sender<(ServerKey, u64, Result<(), String>)>,
        status: watch::Sender<Arc<Status>>,
        image: (String, String),
        seed: u64,
    ) -> Self {
        let node = Node::new(seed);
        Self {
            plan: node.plan(),
            node,
            reconciler: Reconciler::new(kernel),
            binding,
            vrrp,
            supervisor: Supervisor::new(),
            announcer: Announcer::default(),
            scanner: Scanner::default(),
            checked,
            status,
            listener: None,
            entered: BTreeMap::new(),
            links: BTreeMap::new(),
            counters: Counters::default(),
            started: clock::now(),
            holding: None,
            inspected_at: Moment::ZERO,
            inspect_at: Moment::ZERO,
            ready: None,
            image,
        }
    }

    /// Runs until it is told to stop. Must be called inside a [`LocalSet`](tokio::task::LocalSet).
    pub async fn run(mut self, mut sources: Sources) {
        self.adopt(&mut sources).await;
        self.supervisor.ready();
        loop {
            self.settle().await;
            let wake = self.wake_at().since(clock::now());
            match sources.next(wake).await {
                Event::Vrrp(event) => self.vrrp(event),
                Event::Checked { server, number, outcome } => {
                    self.node.handle(node::Event::Checked { server, number, outcome }, clock::now());
                }
                Event::Asked(asked) => self.answer(asked),
                Event::KernelChanged => self.inspect_at = self.inspect_at.min(self.inspected_at + SETTLING),
                Event::Timer => {}
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
        self.reconciler.look(&self.plan.state).await;
        self.bind();
        let observed = self.reconciler.observed();
        self.node.adopt(observed, clock::now());
        self.neighbours().await;
        if self.assignments().iter().any(|assignment| assignment.addresses_up) {
            self.holding = None;
        }
        self.tell_links();
        // A virtual router that is resumed says so at once; until then its addresses would look unwanted.
        let mut awaited: BTreeSet<InstanceId> =
            self.assignments().into_iter().filter(|a| a.addresses_up).map(|a| a.settings.id).collect();
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
            self.volumes(now);
            self.bind();
            self.neighbours().await;
            self.count();
            self.replan();
            self.reconciler.bring(&self.plan.state, Occasion::Inspection).await;
        }
        self.act();
        self.replan();
        if self.reconciler.bring(&self.plan.state, Occasion::Planned).await {
            // Look again soon: what was applied should be there now.
            self.inspect_at = self.inspect_at.min(clock::now() + Duration::from_millis(20));
        }
        self.tell_links();
        self.announcer.announce(self.node.config(), self.reconciler.observed(), clock::now());
        self.report_ready(now);
        self.publish(now);
    }

    fn wake_at(&self) -> Moment {
        [self.node.poll_timeout(), self.announcer.next(), Some(self.inspect_at)]
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
                    let checked = self.checked.clone();
                    tokio::task::spawn_local(async move {
                        let outcome = probes::tcp(target, limit).await;
                        // Only a driver that has ended takes no outcomes.
                        let _ = checked.send((server, number, outcome)).await;
                    });
                }
                Action::HealthChanged { server: (service, server), from, to, why } => {
                    if to == Health::Up {
                        info!(%service, %server, "{} is up: {why}", server);
                    } else {
                        warn!(%service, %server, "{} is {}, it was {}: {why}", server, word(to), word(from));
                    }
                }
            }
        }
    }

    /// What VRRP tells.
    fn vrrp(&mut self, event: vrrp_thread::Event) {
        match event {
            vrrp_thread::Event::StateChanged { id, to, why, silent, at, .. } => {
                info!(router = %id, "{}: {why}", state_word(to));
                self.supervisor.report(&report::Event::Vrrp {
                    id: id.vrid.get(),
                    interface: id.interface.to_string(),
                    state: to,
                    why: why.to_string(),
                });
                self.entered
                    .insert(id.clone(), Entered { since: at.since_boot().as_secs(), why: why.to_string() });
                self.announcer.changed(&id, to, at);
                self.node.handle(node::Event::Vrrp { id, state: to, silent }, clock::now());
            }
            vrrp_thread::Event::Healed { id, other, at } => {
                warn!(router = %id, %other, "another master was heard, which yields: announcing again");
                self.announcer.healed(&id, at);
            }
            vrrp_thread::Event::Overslept { id, slept, at } => {
                warn!(router = %id, "this box did not run for {} ms: announcing again", slept.as_millis());
                self.announcer.healed(&id, at);
            }
            vrrp_thread::Event::SocketOpen { interface, at } => info!(%interface, %at, "VRRP socket open"),
            vrrp_thread::Event::SocketFailed { interface, error } => {
                error!(%interface, "VRRP cannot be spoken: {error}");
            }
            vrrp_thread::Event::SendFailed { id, error } => error!(router = %id, "cannot advertise: {error}"),
            vrrp_thread::Event::Weakened { what } => warn!("{what}"),
            vrrp_thread::Event::NoHeir { id } => warn!(router = %id, "nobody took over: staying master"),
            vrrp_thread::Event::Misfit { id, source, misfit } => {
                warn!(router = %id, %source, "an advertisement was not accepted: {misfit}");
            }
        }
    }

    /// Looks for volumes while one may still appear.
    fn volumes(&mut self, now: Moment) {
        if self.node.me().is_some() && now.since_boot() > VOLUMES {
            return;
        }
        for volume in self.scanner.scan() {
            if let Some(event) = self.binding.offer(&volume) {
                self.supervisor.report(&event);
            }
        }
    }

    /// Takes the document in force into the node, once this box is found in it.
    fn bind(&mut self) {
        let Some(me) = self.binding.bind(self.reconciler.observed()) else { return };
        let Some((document, _)) = self.binding.document() else { return };
        if self.node.me() == Some(&me) && *self.node.config() == document.config {
            return;
        }
        let config = document.config.clone();
        info!(member = %me, revision = config.cluster.revision, "configured");
        self.supervisor.hostname(me.as_str());
        self.node.configure(config, me.clone(), clock::now());
        self.announcer.retain(self.node.config());
        self.entered.retain(|id, _| self.node.config().vrrp.contains_key(id));
        self.links.clear();
        self.holding = Some(None);
        self.command(Command::Configure(self.assignments()));
        self.listen(&me);
    }

    /// The virtual routers of this box.
    fn assignments(&self) -> Vec<Assignment> {
        let Some(me) = self.node.me() else { return Vec::new() };
        let config = self.node.config();
        let observed = self.reconciler.observed();
        let here = |link: &LinkName, address: IpAddr| {
            let index = observed.links.iter().find(|(_, l)| l.name == link.as_str()).map(|(&index, _)| index);
            observed.addresses.iter().any(|(i, cidr)| Some(*i) == index && cidr.address() == address)
        };
        config
            .vrrp
            .values()
            .filter_map(|instance| {
                let addresses_up =
                    instance.addresses.iter().all(|a| here(&instance.id.interface, a.address()));
                Some(Assignment { settings: Settings::of_member(instance, me)?, addresses_up })
            })
            .collect()
    }

    /// Serves `/status` and `/metrics` where the document says, and nowhere else.
    fn listen(&mut self, me: &MemberName) {
        if let Some(listener) = self.listener.take() {
            listener.abort();
        }
        let config = self.node.config();
        let Some(observe) = &config.observe else { return };
        let Some(interface) = config.members.get(me).and_then(|m| m.interfaces.get(&observe.interface))
        else {
            return;
        };
        let addresses = interface.addresses.iter().map(|a| a.address()).collect();
        let serve = observe::serve(addresses, observe.port, self.status.subscribe());
        self.listener = Some(tokio::task::spawn_local(serve));
    }

    /// Tells the VRRP thread about the links that it speaks on; the first time only when this box could also serve as
    /// master.
    fn tell_links(&mut self) {
        let Some(member) = self.node.me().and_then(|me| self.node.config().members.get(me)) else { return };
        let observed = self.reconciler.observed();
        let mut news = Vec::new();
        for (name, interface) in &member.interfaces {
            let link = observed.links.iter().find(|(_, l)| l.name == name.as_str());
            let (index, up) = link.map_or((0, false), |(&index, l)| (index, l.up && l.carrier));
            let own = interface.addresses.iter().find(|a| observed.addresses.contains(&(index, **a)));
            let primary = own.and_then(|a| match a.address() {
                IpAddr::V4(a) => Some(a),
                IpAddr::V6(_) => None,
            });
            if self.links.get(name) != Some(&(index, up, primary)) {
                news.push((name.clone(), (index, up, primary)));
            }
        }
        let usable = |(_, up, primary): &(u32, bool, Option<std::net::Ipv4Addr>)| *up && primary.is_some();
        if let Some(since) = self.holding {
            let now = clock::now();
            let connected = news.iter().any(|(_, link)| usable(link));
            if since.is_none() && connected {
                self.holding = Some(Some(now));
                self.node.handle(node::Event::Connected, now);
                self.act();
            }
            let waited = since.is_some_and(|since| now.since(since) >= FIRST_CHECKS);
            let able = connected && self.node.can_direct();
            if !able && !waited {
                return;
            }
            self.holding = None;
        } else if news.iter().any(|(_, link)| usable(link)) {
            self.node.handle(node::Event::Connected, clock::now());
            self.act();
        }
        for (interface, (index, up, primary)) in news {
            self.command(Command::Link { interface: interface.clone(), index, up, primary });
            self.links.insert(interface, (index, up, primary));
        }
    }

    fn command(&self, command: Command) {
        if let Err(error) = self.vrrp.send(command) {
            error!("{error}");
        }
    }

    async fn neighbours(&mut self) {
        let Some(member) = self.node.me().and_then(|me| self.node.config().members.get(me)) else { return };
        let links: Vec<LinkName> = member.interfaces.keys().cloned().collect();
        let mut known = BTreeSet::new();
        for link in links {
            let Ok(neighbours) = self.reconciler.kernel().neighbours(&link).await else { continue };
            known.extend(neighbours.into_iter().map(|(address, mac)| (link.clone(), address, mac)));
        }
        self.node.handle(node::Event::Neighbours(known), clock::now());
    }

    /// Reads the guard's counters; a packet that the last word stopped is an alarm.
    fn count(&mut self) {
        let Ok(counters) = self.reconciler.kernel().counters() else { return };
        let dropped = counters.dropped.packets.saturating_sub(self.counters.dropped.packets);
        if dropped > 0 {
            warn!(dropped, "packets would have gone back to a fellow director");
            self.supervisor.report(&report::Event::Guard { dropped });
        }
        self.counters = counters;
    }

    /// Reports readiness once per generation: the plan is applied and the difference is empty.
    fn report_ready(&mut self, now: Moment) {
        let generation = match (self.node.me(), self.binding.document()) {
            (Some(_), Some((_, generation))) => Some(generation),
            _ if now.since(self.started) > VOLUME => None,
            _ => return,
        };
        if !self.reconciler.reconciled() || self.ready == Some(generation) {
            return;
        }
        self.ready = Some(generation);
        let event = match generation {
            Some(_) => report::Event::Ready {
                member: self.node.me().map(ToString::to_string),
                generation,
                unconfigured: false,
                why: None,
            },
            None => report::Event::Ready {
                member: None,
                generation: None,
                unconfigured: true,
                why: Some(self.binding.why_unconfigured().to_owned()),
            },
        };
        self.supervisor.report(&event);
    }

    fn publish(&mut self, now: Moment) {
        let unconfigured = self.node.me().is_none().then(|| self.binding.why_unconfigured());
        let facts = Facts {
            document: self.binding.document(),
            unconfigured,
            plan: &self.plan,
            entered: &self.entered,
            counters: (self.counters.delivered.packets, self.counters.dropped.packets),
            unmet: self.reconciler.unmet(),
            reconciled: self.reconciler.reconciled(),
            kernel_writes: self.reconciler.writes(),
            uptime: now.since_boot().as_secs(),
            image: (&self.image.0, &self.image.1),
        };
        let status = status(&self.node, &facts);
        self.status.send_if_modified(|last| {
            let changed = **last != status;
            if changed {
                *last = Arc::new(status);
            }
            changed
        });
    }

    fn answer(&mut self, Asked { request, answer }: Asked) {
        let response = match request {
            Request::Status => Response::Status(Box::new(Status::clone(&self.status.borrow()))),
            Request::Ipvs => match self.reconciler.kernel().table() {
                Ok(services) => Response::Text(table::render(&services)),
                Err(error) => Response::Refused(format!("the IPVS table cannot be read: {error}")),
            },
            Request::Failover => self.hand_over(),
        };
        // A peer that has gone needs no answer.
        let _ = answer.send(response);
    }

    fn hand_over(&self) -> Response {
        let view = self.node.view();
        let held: Vec<String> = view
            .vrrp
            .iter()
            .filter(|(_, state)| **state == VrrpState::Master)
            .map(|(id, _)| id.to_string())
            .collect();
        if held.is_empty() {
            return Response::Refused("this box is master of nothing; there is nothing to hand over".into());
        }
        match self.vrrp.send(Command::HandOver) {
            Ok(()) => Response::Done(format!("handing over {}", held.join(", "))),
            Err(error) => Response::Refused(format!("not handed over: {error}")),
        }
    }

    /// Leaves in order: fellow directors' checks of this box fail from now on, then everything is handed over, and the
    /// addresses go when an heir is heard, while applications still run. The heir checks this box at once and finds it
    /// gone before it is.
    async fn leave(mut self, sources: &mut Sources) {
        info!("leaving");
        let patience = self.patience();
        self.node.handle(node::Event::Leaving, clock::now());
        self.replan();
        self.reconciler.bring(&self.plan.state, Occasion::Planned).await;
        let was_master = self.is_master();
        if was_master {
            self.command(Command::HandOver);
            self.listen_for(sources, patience, |driver, event| {
                matches!(event, vrrp_thread::Event::NoHeir { .. }) || !driver.is_master()
            })
            .await;
        }
        self.command(Command::Stop);
        // The thread closes its end when it is done.
        self.listen_for(sources, Duration::from_secs(1), |_, _| false).await;
        self.replan();
        self.reconciler.bring(&self.plan.state, Occasion::Planned).await;
        if was_master {
            sleep(CHECKING).await;
        }
        info!("left");
    }

    /// Takes what VRRP tells until `enough` says so, for `limit` at most.
    async fn listen_for(
        &mut self,
        sources: &mut Sources,
        limit: Duration,
        enough: impl Fn(&Self, &vrrp_thread::Event) -> bool,
    ) {
        let deadline = clock::now() + limit;
        while let Ok(Some(event)) = timeout(deadline.since(clock::now()), sources.vrrp.recv()).await {
            self.vrrp(event.clone());
            if enough(self, &event) {
                return;
            }
        }
    }

    fn is_master(&self) -> bool {
        self.node.view().vrrp.values().any(|state| *state == VrrpState::Master)
    }

    /// How long a fellow director takes, at most, to take over after priority 0.
    fn patience(&self) -> Duration {
        let config = self.node.config();
        let me = self.node.me();
        let skews = config.vrrp.values().flat_map(|instance| {
            let fellows = instance.priorities.iter().filter(move |(member, _)| Some(*member) != me);
            fellows
                .map(|(_, priority)| timers::skew(instance.version, priority.get(), instance.advert_interval))
        });
        skews.max().map_or(Duration::ZERO, |skew| skew * 2 + TAKEOVER)
    }
}

fn state_word(state: VrrpState) -> &'static str {
    match state {
        VrrpState::Init => "init",
        VrrpState::Backup => "backup",
        VrrpState::Master => "master",
        VrrpState::Fault => "fault",
    }
}
