//! Handing over what this box is master of, because somebody asks or because the box goes down. Decides how long a fellow
//! director is given; who takes over is VRRP's to decide.

use std::collections::BTreeMap;
use std::time::Duration;

use halcyon_core::config::types::InstanceId;
use halcyon_core::control::Response;
use halcyon_core::node;
use halcyon_core::plan::VrrpState;
use halcyon_core::vrrp::routers::Report;
use halcyon_core::vrrp::timers;
use halcyon_kernel::Kernel;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::info;

use super::Driver;
use crate::clock;
use crate::event::Sources;
use crate::reconciler::Occasion;
use crate::vrrp_thread::{self, Command, Unreachable};

/// What a fellow director may need, beside its skew time, to take over.
const TAKEOVER: Duration = Duration::from_millis(400);
/// What it may need, once it was told or has taken over, to check this box.
const CHECKING: Duration = Duration::from_millis(300);

impl<K: Kernel> Driver<K> {
    /// Leaves in order: fellow directors' checks of this box fail from now on, and they are told to check; then everything
    /// is handed over, and the addresses go when an heir is heard, while applications still run. So fellows find this box
    /// gone before it is, whether it was master or backup.
    pub(super) async fn leave(mut self, sources: &mut Sources) {
        info!("leaving");
        let patience = self.patience();
        self.node.handle(node::Event::Leaving, clock::now());
        self.replan();
        self.reconciler.bring(&self.plan.state, Occasion::Planned).await;
        let told = self.roll_call.leave();
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
        if told || was_master {
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

    /// Hands everything over while the box goes on running.
    pub(super) fn hand_over(&self) -> Response {
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

    /// Lets this box take over again what it has handed over. The VRRP thread knows what that is, and answers by itself.
    pub(super) fn release(&self, answer: oneshot::Sender<Response>) {
        let (reply, report) = oneshot::channel();
        let sent = self.vrrp.send(Command::Report(reply)).and_then(|()| self.vrrp.send(Command::Release));
        tokio::task::spawn_local(async move {
            let response = match (sent, report.await) {
                (Ok(()), Ok(routers)) => released(&routers),
                (Err(error), _) => Response::Refused(format!("nothing was let go of: {error}")),
                (Ok(()), Err(_)) => {
                    Response::Refused(format!("nothing was let go of: {}", Unreachable::Ended))
                }
            };
            // A peer that has gone needs no answer.
            let _ = answer.send(response);
        });
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

/// What to say when the holds among `routers` were lifted.
fn released(routers: &BTreeMap<InstanceId, Report>) -> Response {
    let held = routers.iter().filter(|(_, router)| router.holds).map(|(id, _)| id.to_string());
    match held.collect::<Vec<_>>().join(", ") {
        held if held.is_empty() => {
            Response::Refused("this box holds nothing back; only a hand-over makes it do so".into())
        }
        held => Response::Done(format!("{held}: this box takes over again where its priority is higher")),
    }
}

#[cfg(test)]
mod tests {
    use halcyon_core::config::check::check;
    use halcyon_core::vrrp::settings::Settings;
    use halcyon_core::vrrp::statistics::Statistics;

    use super::*;

    #[test]
    fn a_release_names_what_was_held_back_and_is_refused_where_nothing_was() {
        let config = check(include_str!("../../../../examples/pair.toml")).unwrap();
        let instance = config.vrrp.values().next().unwrap();
        let routers = |holds| {
            let settings = Settings::of_member(instance, &"castor".parse().unwrap()).unwrap();
            let statistics = Statistics::default();
            let report = Report { settings, state: VrrpState::Backup, master: None, holds, statistics };
            BTreeMap::from([(instance.id.clone(), report)])
        };
        assert!(matches!(released(&routers(true)), Response::Done(what) if what.starts_with("lan/51: ")));
        assert!(matches!(released(&routers(false)), Response::Refused(why) if why.contains("hand-over")));
    }
}
