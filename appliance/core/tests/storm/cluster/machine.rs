//! One simulated box: the real VRRP instance, node, planner and reconciler over a kernel in memory that takes one
//! operation at a time.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use halcyon_core::config::types::LinkName;
use halcyon_core::config::{Config, types::Mac};
use halcyon_core::moment::Moment;
use halcyon_core::node::{self, Node};
use halcyon_core::plan::plan;
use halcyon_core::reconcile::{Observed, Op, diff};
use halcyon_core::vrrp::machine::{Action, Event, Instance, Link, Start};
use halcyon_core::vrrp::settings::Settings;
use halcyon_core::vrrp::wire::Advert;

use crate::documents::{VIP, address, booted, lan, member};

/// Time between two looks at the kernel.
const INSPECTION: Duration = Duration::from_millis(500);
/// How long VRRP waits for the first healthy servers.
const FIRST_CHECKS: Duration = Duration::from_millis(1500);
/// How old the last advertisement of an engine may be that is resumed.
const RESUMED: Duration = Duration::from_millis(300);

/// What a box asks of the world around it.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    /// Tell the others.
    Advertise(Advert),
    /// Try a server and answer.
    Check(node::Action),
    /// This operation was done.
    Done(Op),
}

/// A box.
pub(crate) struct Machine {
    pub(crate) number: usize,
    pub(crate) alive: bool,
    /// Its application runs.
    pub(crate) app: bool,
    pub(crate) leaving: bool,
    pub(crate) kernel: Observed,
    /// The document that it has.
    pub(crate) document: usize,
    /// The document whose plan its kernel had last in all its parts.
    pub(crate) in_force: usize,
    /// The document of the operations under way.
    planned: usize,
    /// Its engine does nothing until then.
    pub(crate) stalled_until: Moment,
    /// When its engine starts, if it does not run.
    pub(crate) starts_at: Option<Moment>,
    engine: Option<Engine>,
    ops: VecDeque<Op>,
    failed: Vec<Op>,
    next_op: Moment,
    last_advert: Option<Moment>,
}

struct Engine {
    node: Node,
    vrrp: Instance,
    /// VRRP was told of the link.
    linked: bool,
    started: Moment,
    inspect_at: Moment,
    dirty: bool,
}

impl Machine {
    pub(crate) fn new(number: usize) -> Self {
        Self {
            number,
            alive: false,
            app: true,
            leaving: false,
            kernel: Observed::default(),
            document: 0,
            in_force: 0,
            planned: 0,
            stalled_until: Moment::ZERO,
            starts_at: None,
            engine: None,
            ops: VecDeque::new(),
            failed: Vec::new(),
            next_op: Moment::ZERO,
            last_advert: None,
        }
    }

    /// Power on: an empty kernel, and an engine a moment later.
    pub(crate) fn boot(&mut self, documents: &[Config], now: Moment) {
        self.alive = true;
        self.leaving = false;
        self.kernel = booted(self.number);
        for path in
            documents.iter().flat_map(|d| plan(d, &member(self.number), &Default::default()).state.sysctls)
        {
            let default = if path.0.ends_with("conn_reuse_mode") { "1" } else { "0" };
            self.kernel.sysctls.insert(path.0, default.into());
        }
        self.last_advert = None;
        self.starts_at = Some(now + Duration::from_millis(100));
    }

    /// Power off.
    pub(crate) fn kill(&mut self) {
        self.crash();
        self.alive = false;
        self.starts_at = None;
        self.kernel = Observed::default();
    }

    /// The engine is gone, in the middle of whatever it did; the kernel goes on.
    pub(crate) fn crash(&mut self) {
        self.engine = None;
        self.ops.clear();
        self.failed.clear();
    }

    pub(crate) fn holds(&self, address: IpAddr) -> bool {
        self.kernel.addresses.iter().any(|(_, cidr)| cidr.address() == address)
    }

    /// It has the virtual address on its port.
    pub(crate) fn draws(&self) -> bool {
        self.kernel.addresses.iter().any(|(index, cidr)| *index == 2 && cidr.address() == IpAddr::from(VIP))
    }

    /// Its kernel is what its engine wants, or it is off.
    pub(crate) fn is_at_rest(&self) -> bool {
        let done = |engine: &Engine| !engine.dirty && self.ops.is_empty() && self.failed.is_empty();
        !self.alive || self.engine.as_ref().is_some_and(done)
    }

    /// When something happens here by itself.
    pub(crate) fn wakes(&self) -> Option<Moment> {
        if !self.alive {
            return None;
        }
        let Some(engine) = &self.engine else { return self.starts_at };
        let op = (!self.ops.is_empty()).then_some(self.next_op);
        let vrrp = engine.vrrp.poll_timeout().map(|(at, _)| at);
        let times = [op, vrrp, engine.node.poll_timeout(), Some(engine.inspect_at)];
        times.into_iter().flatten().min().map(|at| at.max(self.stalled_until))
    }

    /// Time has come to [`Machine::wakes`]. `pace` is how long the next operation takes; `fails` whether this one does.
    pub(crate) fn wake(
        &mut self,
        documents: &[Config],
        now: Moment,
        pace: Duration,
        fails: bool,
    ) -> Vec<Wish> {
        if self.engine.is_none() && self.starts_at.is_some_and(|at| at <= now) {
            self.start(documents, now);
        }
        let mut wishes = Vec::new();
        if !self.ops.is_empty() && self.next_op <= now {
            self.next_op = now + pace;
            wishes.extend(self.operate(fails));
        }
        let Some(engine) = self.engine.as_mut() else { return wishes };
        if engine.vrrp.poll_timeout().is_some_and(|(at, _)| at <= now) {
            engine.vrrp.handle(Event::Timeout, now);
        }
        if engine.node.poll_timeout().is_some_and(|at| at <= now) {
            engine.node.handle(node::Event::Timeout, now);
            engine.dirty = true;
        }
        if engine.inspect_at <= now {
            engine.inspect_at = now + INSPECTION;
            engine.dirty = true;
        }
        wishes.extend(self.settle(now));
        wishes
    }

    fn start(&mut self, documents: &[Config], now: Moment) {
        self.starts_at = None;
        let config = documents[self.document].clone();
        let settings = settings(&config, self.number);
        let start = match self.last_advert.filter(|at| now.since(*at) < RESUMED && self.draws()) {
            Some(last_advert) => Start::Resume { last_advert },
            None => Start::Fresh,
        };
        let mut node = Node::new(self.number as u64);
        node.configure(config, member(self.number), now);
        node.adopt(&self.kernel, now);
        let vrrp = Instance::new(settings, start, now);
        let linked = false;
        self.engine = Some(Engine { node, vrrp, linked, started: now, inspect_at: now, dirty: true });
        // As the engine does: what is resumed is known before anything is compared.
        if matches!(start, Start::Resume { .. }) {
            self.link(now);
        }
    }

    /// A new document is in force.
    pub(crate) fn configure(&mut self, documents: &[Config], document: usize, now: Moment) {
        self.document = document;
        let Some(engine) = self.engine.as_mut() else { return };
        engine.vrrp.reconfigure(settings(&documents[document], self.number), now);
        engine.node.configure(documents[document].clone(), member(self.number), now);
        engine.dirty = true;
    }

    /// An advertisement of another box.
    pub(crate) fn hear(&mut self, from: usize, advert: Advert, now: Moment) -> Vec<Wish> {
        self.with(now, |engine| {
            engine.vrrp.handle(Event::Advert { source: address(from).into(), advert }, now);
        })
    }

    /// Something happened that the node is told.
    pub(crate) fn tell(&mut self, event: node::Event, now: Moment) -> Vec<Wish> {
        self.with(now, |engine| {
            engine.node.handle(event, now);
            engine.dirty = true;
        })
    }

    /// Something happened that VRRP is told.
    pub(crate) fn tell_vrrp(&mut self, event: Event, now: Moment) -> Vec<Wish> {
        self.with(now, |engine| engine.vrrp.handle(event, now))
    }

    fn with(&mut self, now: Moment, tell: impl FnOnce(&mut Engine)) -> Vec<Wish> {
        let Some(engine) = self.engine.as_mut().filter(|_| self.alive) else { return Vec::new() };
        tell(engine);
        self.settle(now)
    }

    /// Which MACs the neighbour table has.
    pub(crate) fn learn(&mut self, neighbours: BTreeSet<(LinkName, IpAddr, Mac)>, now: Moment) -> Vec<Wish> {
        self.tell(node::Event::Neighbours(neighbours), now)
    }

    /// VRRP speaks once the port has its address and a server is healthy, or was waited for.
    fn link(&mut self, now: Moment) {
        let own = IpAddr::from(address(self.number));
        let up =
            self.kernel.links.get(&2).is_some_and(|l| l.up && l.name == lan().as_str()) && self.holds(own);
        let Some(engine) = self.engine.as_mut() else { return };
        let resumed = up && self.last_advert.is_some();
        let ready = engine.node.can_direct() || now.since(engine.started) >= FIRST_CHECKS || resumed;
        if up && ready && !engine.linked {
            engine.linked = true;
            engine.node.handle(node::Event::Connected, now);
            engine.vrrp.handle(Event::Link(Link::Up { primary: address(self.number).into() }), now);
        }
    }

    fn settle(&mut self, now: Moment) -> Vec<Wish> {
        self.link(now);
        let Some(engine) = self.engine.as_mut() else { return Vec::new() };
        let mut wishes = Vec::new();
        while let Some(action) = engine.vrrp.poll_action() {
            match action {
                Action::Send(advert) => {
                    self.last_advert = Some(now);
                    wishes.push(Wish::Advertise(advert));
                }
                Action::Changed { to, silent, .. } => {
                    let id = engine.vrrp.settings().id.clone();
                    engine.node.handle(node::Event::Vrrp { id, state: to, silent }, now);
                    engine.dirty = true;
                }
                _ => {}
            }
        }
        while let Some(action) = engine.node.poll_action() {
            if matches!(action, node::Action::Check { .. }) {
                wishes.push(Wish::Check(action));
            } else {
                engine.dirty = true;
            }
        }
        if engine.dirty && self.ops.is_empty() {
            engine.dirty = false;
            self.failed.clear();
            self.ops = diff(&engine.node.plan().state, &self.kernel).ops.into();
            self.planned = self.document;
            self.next_op = now;
            self.complete();
        }
        wishes
    }

    /// The next operation; one that fails is tried again at the next inspection, and those that depend on it wait.
    fn operate(&mut self, fails: bool) -> Option<Wish> {
        let op = self.ops.pop_front()?;
        if self.failed.iter().any(|failed| op.depends_on(failed)) {
            return None;
        }
        if fails {
            self.failed.push(op);
            return None;
        }
        self.kernel.apply(&op);
        self.complete();
        Some(Wish::Done(op))
    }

    fn complete(&mut self) {
        if self.ops.is_empty() && self.failed.is_empty() {
            self.in_force = self.planned;
        }
    }
}

fn settings(config: &Config, number: usize) -> Settings {
    let instance = config.vrrp.values().next().expect("every document here has one");
    Settings::of_member(instance, &member(number)).expect("every member directs")
}
