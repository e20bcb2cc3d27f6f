//! The verbs that change the document: apply, confirm, roll back. Each is judged whole before anything is written, and
//! answers when the store is done; what cannot be written is in force all the same, and the answer says so.

use std::time::Duration;

use halcyon_core::control::Response;
use halcyon_core::store::record::{Origin, Term};
use halcyon_kernel::Kernel;
use tokio::sync::oneshot;

use super::{Asked, Then, stored};
use crate::binding::Binding;
use crate::clock;
use crate::driver::Driver;
use crate::provision::{self, Document, Verdict};
use crate::store::{Work, Written};
use crate::volume::Volume;

/// Shortest and longest time of a trial, in seconds.
const TRIAL: std::ops::RangeInclusive<u32> = 1..=86_400;

impl<K: Kernel> Driver<K> {
    /// Takes a document that an operator gives.
    pub(in crate::driver) fn apply(
        &mut self,
        volume: &Volume,
        confirm_within: Option<u32>,
        (who, from): (&str, &str),
        answer: oneshot::Sender<Response>,
    ) {
        let current = self.binding.document().map(|(document, _)| document.mark.clone());
        let verdict = provision::judge(volume, self.binding.trusted(), current.as_ref());
        self.follow(verdict, confirm_within, "console", (who, from), answer);
    }

    /// Takes a document that was typed at a console.
    pub(in crate::driver) fn set_up(
        &mut self,
        document: &str,
        confirm_within: Option<u32>,
        by: (&str, &str),
        answer: oneshot::Sender<Response>,
    ) {
        let verdict = provision::typed(document, self.binding.document().map(|(document, _)| document));
        self.follow(verdict, confirm_within, "wizard", by, answer);
    }

    /// Takes a document that was judged; `source` is the way it came, as it is reported.
    pub(in crate::driver) fn follow(
        &mut self,
        verdict: Verdict,
        confirm_within: Option<u32>,
        source: &'static str,
        (who, from): (&str, &str),
        answer: oneshot::Sender<Response>,
    ) {
        let judged = match verdict {
            Verdict::Take(document) => self.fits(document, confirm_within),
            Verdict::Leave(why) => Err(why),
            Verdict::Refuse(reasons) => Err(reasons.join("\n")),
        };
        let term = confirm_within.map_or(Term::Permanent, Term::Trial);
        let origin = self.origin(who, from);
        match judged {
            Err(why) => drop(answer.send(Response::Refused(why))),
            Ok(document) => {
                let work = Work::Commit(stored(&document), term);
                self.write(work, Then::Take(document, confirm_within, source), origin, answer);
            }
        }
    }

    fn fits(&self, document: Box<Document>, trial: Option<u32>) -> Result<Box<Document>, String> {
        Binding::member_of(&document, self.reconciler.observed())?;
        match trial {
            Some(seconds) if !TRIAL.contains(&seconds) => {
                Err("a trial lasts a second at least and a day at most".to_owned())
            }
            _ => Ok(document),
        }
    }

    /// Makes the trial permanent.
    pub(in crate::driver) fn confirm(
        &mut self,
        (who, from): (&str, &str),
        answer: oneshot::Sender<Response>,
    ) {
        if self.binding.on_trial().is_none() {
            drop(answer.send(Response::Refused("no trial is running: there is nothing to confirm".into())));
            return;
        }
        let origin = self.origin(who, from);
        self.write(Work::Confirm, Then::Confirm, origin, answer);
    }

    /// Goes back to an earlier document, or ends a trial.
    pub(in crate::driver) fn roll_back(
        &mut self,
        generation: Option<u64>,
        (who, from): (&str, &str),
        answer: oneshot::Sender<Response>,
    ) {
        if generation.is_none() && self.binding.on_trial().is_some() && self.keeping.asked.is_none() {
            self.undo_trial();
            let response = Response::Done(match self.binding.document() {
                Some(_) => "the trial is over; the document before it is in force again".into(),
                None => "the trial is over; the box is without a document again".into(),
            });
            drop(answer.send(response));
            return;
        }
        let judged = self.earlier(generation).and_then(|kept| {
            let record = &kept.record;
            provision::stored(&record.document, &record.seal, self.binding.trusted())
                .map_err(|reasons| reasons.join("\n"))
                .and_then(|document| self.fits(Box::new(document), None))
                .map(|document| (document, record.generation))
        });
        let origin = self.origin(who, from);
        match judged {
            Err(why) => drop(answer.send(Response::Refused(why))),
            Ok((document, generation)) => {
                let source = way(&document);
                self.write(Work::RollBack(generation), Then::Take(document, None, source), origin, answer);
            }
        }
    }

    fn write(&mut self, work: Work, then: Then, origin: Origin, answer: oneshot::Sender<Response>) {
        if self.keeping.asked.is_some() || self.keeping.saving.is_some() || !self.keeping.settled {
            let why = "the configuration is being written; ask again in a moment";
            drop(answer.send(Response::Refused(why.into())));
        } else if self.keeping.works() {
            let number = self.keeping.handle.order(work, origin.clone());
            self.keeping.asked = Some(Asked { number, answer, then, origin });
        } else {
            let response = self.finish(then, None, origin);
            drop(answer.send(response));
        }
    }

    /// Makes a new device key.
    pub(in crate::driver) fn rotate(&mut self, (who, from): (&str, &str), answer: oneshot::Sender<Response>) {
        let origin = self.origin(who, from);
        self.write(Work::Rotate, Then::Rotate, origin, answer);
    }

    /// Puts in force what was written, or could not be.
    pub(super) fn finish(&mut self, then: Then, written: Option<Written>, origin: Origin) -> Response {
        let generation = match &written {
            Some(Written::Generation(generation)) => Some(*generation),
            _ => None,
        };
        let saved = match generation {
            Some(generation) => format!("saved as generation {generation}"),
            None => format!("NOT saved ({}), lost with the power", self.keeping.why_not()),
        };
        let unsaved = (generation.is_none() && self.keeping.handle.exists()).then_some(origin);
        self.inspect_at = clock::now();
        match then {
            Then::Take(document, trial, source) => {
                let number = generation.unwrap_or_else(|| self.binding.next());
                let until = trial.map(|seconds| clock::now() + Duration::from_secs(seconds.into()));
                let revision = document.mark.revision;
                let event = self.binding.put(*document, number, until, source);
                self.supervisor.report(&event);
                self.keeping.unsaved = unsaved;
                Response::Done(match trial {
                    None => format!("revision {revision} is in force, {saved}"),
                    Some(seconds) => format!(
                        "revision {revision} is on trial, {saved}; \"config confirm\" within {seconds} s keeps it, \
                         silence, a restart or a power cut undoes it"
                    ),
                })
            }
            Then::Confirm => {
                self.binding.confirm();
                self.keeping.unsaved = unsaved;
                Response::Done(format!("the document stays in force, {saved}"))
            }
            Then::Rotate => match written {
                Some(Written::Key(key)) => Response::Done(format!(
                    "key {} of this box signs from now on, with the fingerprint {}; what earlier ones signed stays valid",
                    key.number, key.fingerprint
                )),
                _ => Response::Refused(format!("no new key was made: {}", self.keeping.why_not())),
            },
        }
    }
}

/// The way a document came that is gone back to, as far as it tells.
fn way(document: &Document) -> &'static str {
    if document.signature.is_empty() { "wizard" } else { "console" }
}
