//! What the engine says of itself: readiness to PID 1, the status to whoever watches, answers to whoever asks.

use std::sync::Arc;
use std::time::Duration;

use halcyon_core::control::{Request, Response};
use halcyon_core::moment::Moment;
use halcyon_core::report;
use halcyon_core::status::Status;
use halcyon_kernel::Kernel;

use super::Driver;
use crate::control::Asked;
use crate::status::{Facts, status};
use crate::table;
use crate::volume::Volume;

/// How long a volume is waited for after the start before the box counts as unconfigured.
const VOLUME: Duration = Duration::from_secs(4);

impl<K: Kernel> Driver<K> {
    /// Reports readiness once per generation: the plan is applied and the difference is empty.
    pub(super) fn report_ready(&mut self, now: Moment) {
        let generation = match (self.node.me(), self.binding.document()) {
            (Some(_), Some((_, generation))) => Some(generation),
            _ if now.since(self.started) > VOLUME => None,
            _ => return,
        };
        if !self.reconciler.reconciled() || self.reported == Some(generation) {
            return;
        }
        self.reported = Some(generation);
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

    pub(super) fn publish(&mut self, now: Moment) {
        let unconfigured = self.node.me().is_none().then(|| self.binding.why_unconfigured());
        let facts = Facts {
            document: self.binding.document(),
            unconfigured,
            plan: &self.plan,
            entered: &self.entered,
            counters: self.counters,
            unmet: self.reconciler.unmet(),
            reconciled: self.reconciler.reconciled(),
            store: self.keeping.place(),
            trial_left: self.binding.on_trial().map(|until| until.since(now).as_secs()),
            alarms: [self.keeping.alarms(), self.binding.alarms()].concat(),
            clock: (!self.node.config().ntp.is_empty()).then(|| self.clock.borrow().clone()),
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

    pub(super) fn answer(&mut self, Asked { request, who, from, answer }: Asked) {
        let response = match request {
            Request::Status => Response::Status(Box::new(Status::clone(&self.status.borrow()))),
            Request::Ipvs => match self.reconciler.kernel().table() {
                Ok(services) => Response::Text(table::render(&services)),
                Err(error) => Response::Refused(format!("the IPVS table cannot be read: {error}")),
            },
            Request::Failover => self.hand_over(),
            Request::Release => return self.release(answer),
            Request::ConfigShow { generation } => self.show(generation),
            Request::ConfigDiff { generation } => self.compare(generation),
            Request::ConfigHistory => self.history(),
            Request::ConfigApply { document, signature, confirm_within } => {
                let given = Volume {
                    device: from.clone(),
                    document: Ok(document.into_bytes()),
                    signature: Ok(signature.into_bytes()),
                };
                return self.apply(&given, confirm_within, (&who, &from), answer);
            }
            Request::SetUp { document, confirm_within } => {
                return self.set_up(&document, confirm_within, (&who, &from), answer);
            }
            Request::JoinOpen => self.join_open(),
            Request::JoinClose => self.join_close(),
            Request::Join { code, name, address } => self.join(code, name, address),
            Request::JoinProgress => self.join_progress(),
            Request::Unlock { password } => return self.unlock(password, from, answer),
            Request::ConfigDocument => self.whole_document(),
            Request::Ports => Response::Ports(self.ports()),
            Request::ConfigVolumes | Request::ConfigApplyVolume { .. } => {
                Response::Refused("volumes are not read here".into())
            }
            Request::KeyShow => self.public_key(),
            Request::KeyRotate => return self.rotate((&who, &from), answer),
            Request::ConfigConfirm => return self.confirm((&who, &from), answer),
            Request::ConfigRollback { generation } => {
                return self.roll_back(generation, (&who, &from), answer);
            }
        };
        // A peer that has gone needs no answer.
        let _ = answer.send(response);
    }
}
