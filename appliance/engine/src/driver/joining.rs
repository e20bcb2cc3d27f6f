//! Joining, as far as it is this box's document that changes: what a box that joins gets, what this one takes when it joins,
//! and when a box is as its document says. Who may join is `halcyon_core::join`'s to decide.

use std::time::Duration;

use halcyon_core::config::types::{Cidr, DeviceKey, MemberName};
use halcyon_core::control::{Joining as Progress, Response};
use halcyon_core::join::TRIAL;
use halcyon_core::join::amend::{Host, amend};
use halcyon_core::join::code::Code;
use halcyon_core::join::wire::{Given, Offer};
use halcyon_core::moment::Moment;
use halcyon_core::node;
use halcyon_core::plan::VrrpState;
use halcyon_kernel::Kernel;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use super::Driver;
use crate::binding;
use crate::clock;
use crate::join::{self, Event, Handle, Order};
use crate::provision::{self, Verdict};
use crate::volume::Volume;

/// A code that no console has looked at for so long is shown by none.
const GLANCE: Duration = Duration::from_secs(15);
/// Who gives a document that came by joining, in records.
const PEER: &str = "peer";
/// How a document that came by joining is reported.
pub(super) const SOURCE: &str = "peer";

/// What is going on.
#[derive(Debug)]
pub(super) struct Joining {
    events: mpsc::UnboundedSender<Event>,
    role: Option<Role>,
    task: Option<Handle>,
    /// When somebody last asked how it goes on.
    asked_at: Moment,
    /// The document in force was taken on trial for this.
    on_trial: bool,
    /// It is to be confirmed as soon as this box serves; the other one waits so long and no longer.
    confirming: bool,
    /// How it ended, once it has.
    last: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    First,
    Second,
    /// A second one that has taken the document, or is about to.
    Trying,
}

impl Joining {
    pub(super) fn new(events: mpsc::UnboundedSender<Event>) -> Self {
        let (asked_at, last) = (Moment::ZERO, Progress::default());
        Self { events, role: None, task: None, asked_at, on_trial: false, confirming: false, last }
    }

    fn order(&self, order: Order) {
        if let Some(task) = &self.task {
            task.order(order);
        }
    }

    /// Passes an answer of the store on, once it comes.
    fn relay(&self, order: impl FnOnce(Result<(), String>) -> Order + 'static) -> oneshot::Sender<Response> {
        let (answer, answered) = oneshot::channel();
        if let Some(task) = &self.task {
            let orders = task.orders();
            tokio::task::spawn_local(async move {
                let done = match answered.await {
                    Ok(Response::Done(_)) => Ok(()),
                    Ok(Response::Refused(why)) => Err(why),
                    _ => Err("the box is busy".to_owned()),
                };
                // A task that is over needs no answer.
                let _ = orders.send(order(done));
            });
        }
        answer
    }
}

impl<K: Kernel> Driver<K> {
    /// Shows a code.
    pub(super) fn join_open(&mut self) -> Response {
        if self.joining.task.is_some() {
            return Response::Refused(
                "another console shows a code, or a box is joining: wait for it, or end it with join close"
                    .into(),
            );
        }
        if self.node.me().is_none() {
            return Response::Refused(
                "this box has no document to give: set it up first, or join the box that has one with join CODE".into(),
            );
        }
        if self.binding.on_trial().is_some() {
            return Response::Refused("a document is on trial: keep it or undo it first".into());
        }
        let code = match join::chance() {
            Ok(seed) => Code::of(&seed),
            Err(error) => return Response::Refused(format!("the kernel gave no random numbers: {error}")),
        };
        match join::open(code.clone(), self.joining.events.clone()) {
            Ok(task) => {
                self.joining.task = Some(task);
                self.joining.role = Some(Role::First);
                self.joining.asked_at = clock::now();
                self.node.handle(node::Event::JoinOpen(true), clock::now());
                Response::Code(code)
            }
            Err(error) => Response::Refused(format!("the port for joining cannot be opened: {error}")),
        }
    }

    /// Lets the code die.
    pub(super) fn join_close(&mut self) -> Response {
        match self.joining.role {
            Some(Role::First) => {
                self.joining.order(Order::Hidden);
                Response::Done("the code is dead, unless a box is joining by it".into())
            }
            _ => Response::Refused("no code is shown".into()),
        }
    }

    /// Joins the box that shows `code`.
    pub(super) fn join(&mut self, code: Code, name: Option<String>, address: Option<String>) -> Response {
        if self.joining.task.is_some() {
            return Response::Refused("this box is joining already".into());
        }
        if !self.keeping.settled() {
            return Response::Refused("this box is looking for its document; ask again in a moment".into());
        }
        if self.binding.on_trial().is_some() {
            return Response::Refused("a document is on trial: keep it or undo it first".into());
        }
        let name = name.map(|name| name.parse::<MemberName>()).transpose();
        let address = address.map(|address| address.parse::<Cidr>()).transpose();
        let (name, address) = match (name, address) {
            (Ok(name), Ok(address)) => (name, address),
            (Err(why), _) | (_, Err(why)) => return Response::Refused(why.to_string()),
        };
        let observed = self.reconciler.observed();
        let ports = observed.links.values().filter_map(|link| Some((link.name.clone(), link.permanent?)));
        let offer = Offer {
            name,
            address,
            key: self.keeping.public().and_then(|key| key.parse::<DeviceKey>().ok()).map(|key| key.0),
            serial: binding::identity(observed).serial,
            ports: ports.collect(),
        };
        self.joining.task = Some(join::join(code, offer, self.joining.events.clone()));
        self.joining.role = Some(Role::Second);
        Response::Done("looking for the box that shows the code".into())
    }

    /// How it goes on.
    pub(super) fn join_progress(&mut self) -> Response {
        self.joining.asked_at = clock::now();
        let task = self.joining.task.as_ref();
        Response::Joining(task.map_or_else(|| self.joining.last.clone(), Handle::progress))
    }

    /// Looks whether a code is still looked at, and whether this box serves.
    pub(super) fn watch_joining(&mut self, now: Moment) {
        match self.joining.role {
            Some(Role::First) if now.since(self.joining.asked_at) > GLANCE => {
                self.joining.order(Order::Hidden);
            }
            // Told until it is heard: only a box that has taken the document listens for it.
            Some(Role::Trying) if self.serves() => self.joining.order(Order::Serves),
            _ => {}
        }
        if self.joining.confirming && self.serves() {
            self.joining.confirming = false;
            if self.joining.on_trial {
                let answer = self.joining.relay(Order::Confirmed);
                self.confirm((PEER, "joining"), answer);
            } else {
                // Nothing had to be changed here.
                self.joining.order(Order::Confirmed(Ok(())));
            }
        }
    }

    /// The kernel is as planned, and every virtual router runs.
    fn serves(&self) -> bool {
        let Some(me) = self.node.me() else { return false };
        let config = self.node.config();
        let directs = config.members.get(me).is_some_and(|member| member.director);
        let runs = |state| matches!(state, Some(VrrpState::Backup | VrrpState::Master));
        let states = &self.node.view().vrrp;
        self.reconciler.reconciled()
            && (!directs || config.vrrp.keys().all(|id| runs(states.get(id).copied())))
    }

    /// What the task asks for.
    pub(super) fn joining(&mut self, event: Event) {
        match event {
            Event::Consider(offer) => self.consider(&offer),
            Event::Take(given) => self.take_given(given),
            Event::Confirm => self.joining.confirming = true,
            Event::Undo => {
                // One that is being written just now is undone by its time.
                if std::mem::take(&mut self.joining.on_trial) && self.binding.on_trial().is_some() {
                    self.undo_trial();
                }
            }
            Event::Over => {
                if let Some(task) = self.joining.task.take() {
                    self.joining.last = task.progress();
                }
                self.joining.role = None;
                self.joining.on_trial = false;
                self.joining.confirming = false;
                self.node.handle(node::Event::JoinOpen(false), clock::now());
            }
        }
        self.inspect_at = clock::now();
    }

    /// What a box that knows the code gets.
    fn consider(&mut self, offer: &Offer) {
        let Some((document, _)) = self.binding.document() else {
            return self.joining.order(Order::Answered(Err("the other box has no document any more".into())));
        };
        let Some(me) = self.node.me() else {
            return self
                .joining
                .order(Order::Answered(Err("the other box is in no document any more".into())));
        };
        if self.binding.on_trial().is_some() {
            return self
                .joining
                .order(Order::Answered(Err("a document is on trial at the other box".into())));
        }
        let (signed, signature) = (!document.signature.is_empty(), document.signature.clone());
        let key = self.keeping.public().and_then(|key| key.parse().ok());
        let text = String::from_utf8_lossy(&document.bytes);
        let amended = match amend(&text, signed, &document.config, Host { name: me, key }, offer) {
            Ok(amended) => amended,
            Err(why) => {
                warn!("a box with the right code cannot join: {why}");
                return self.joining.order(Order::Answered(Err(why.to_string())));
            }
        };
        let member = amended.member;
        let Some(text) = amended.document else {
            let given = Given { member, document: document.bytes.clone(), signature };
            return self.joining.order(Order::Answered(Ok(given)));
        };
        let verdict = provision::typed(&text, Some(document));
        let from = format!("joining, as {member}");
        let given = Given { member, document: text.into_bytes(), signature: Vec::new() };
        let answer = self.joining.relay(move |done| Order::Answered(done.map(|()| given)));
        self.joining.on_trial = true;
        self.follow(verdict, Some(seconds()), SOURCE, (PEER, &from), answer);
    }

    /// Takes the document of the box that this one joins, on trial.
    fn take_given(&mut self, given: Given) {
        let Given { member, document, signature } = given;
        let current = self.binding.document().map(|(document, _)| document);
        let verdict = if signature.is_empty() {
            provision::typed(&String::from_utf8_lossy(&document), current)
        } else {
            let volume =
                Volume { device: "the other box".into(), document: Ok(document), signature: Ok(signature) };
            provision::judge(&volume, self.binding.trusted(), current.map(|document| &document.mark))
        };
        let verdict = match verdict {
            Verdict::Take(document) => {
                match binding::Binding::member_of(&document, self.reconciler.observed()) {
                    Ok(me) if me == member => Verdict::Take(document),
                    Ok(me) => Verdict::Refuse(vec![format!(
                        "the other box takes this one for {member}, the document for {me}"
                    )]),
                    Err(why) => Verdict::Refuse(vec![why]),
                }
            }
            other => other,
        };
        let answer = self.joining.relay(Order::Taken);
        self.joining.on_trial = true;
        self.joining.role = Some(Role::Trying);
        self.follow(verdict, Some(seconds()), SOURCE, (PEER, "joining"), answer);
    }
}

/// How long the store lets a trial last: longer than the boxes wait for each other, so that it only counts where one of
/// them has lost its engine.
fn seconds() -> u32 {
    u32::try_from(TRIAL.as_secs()).expect("two minutes") + 15
}
