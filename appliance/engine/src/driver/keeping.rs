//! Keeping the configuration: what the store's news mean for the box, and the verbs that change its document. Decides the
//! order: a document is judged, then written, then in force. Nothing here waits; answers go out when the store is done.

use std::time::{Duration, SystemTime};

use halcyon_core::config::difference::difference;
use halcyon_core::config::redact::redacted;
use halcyon_core::config::seal;
use halcyon_core::control::Response;
use halcyon_core::moment::Moment;
use halcyon_core::report;
use halcyon_core::store::commit;
use halcyon_core::store::record::{Origin, Term};
use halcyon_core::store::slots::Kept;
use halcyon_kernel::Kernel;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::Driver;
use crate::binding::Binding;
use crate::clock;
use crate::provision::{self, Document, Verdict};
use crate::store::{Contents, Event, Handle, Work};
use crate::volume::Volume;

/// Shortest and longest time of a trial, in seconds.
const TRIAL: std::ops::RangeInclusive<u32> = 1..=86_400;

/// What is known of the store.
#[derive(Debug)]
pub(super) struct Keeping {
    handle: Handle,
    /// It was read, or is known to be lost.
    settled: bool,
    /// Where it is, in words.
    place: String,
    /// Why it cannot be used.
    alarm: Option<String>,
    records: Vec<Kept>,
    /// Who gave the document in force that is not written yet.
    unsaved: Option<Origin>,
    /// The number of the order that writes it.
    saving: Option<u64>,
    asked: Option<Asked>,
}

/// An order that somebody waits for.
#[derive(Debug)]
struct Asked {
    number: u64,
    answer: oneshot::Sender<Response>,
    then: Then,
    origin: Origin,
}

/// What follows once it is written.
#[derive(Debug)]
enum Then {
    Take(Box<Document>, Option<u32>),
    Confirm,
}

impl Keeping {
    pub(super) fn new(handle: Handle) -> Self {
        let place = if handle.exists() {
            String::new()
        } else {
            "in memory only: this box was not started from a disk".to_owned()
        };
        Self {
            settled: !handle.exists(),
            handle,
            place,
            alarm: None,
            records: Vec::new(),
            unsaved: None,
            saving: None,
            asked: None,
        }
    }

    /// Whether volumes may count: what the store has comes first.
    pub(super) fn settled(&self) -> bool {
        self.settled
    }

    /// Where the configuration is kept, in words.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// What somebody should look after.
    pub(super) fn alarms(&self) -> Vec<String> {
        let alarm = self.alarm.as_ref().filter(|_| self.settled);
        alarm.map(|why| format!("the configuration cannot be kept: {why}")).into_iter().collect()
    }

    /// The store can be written to, as far as is known.
    fn works(&self) -> bool {
        self.handle.exists() && self.settled && self.alarm.is_none()
    }

    /// Why something is in force and not saved.
    fn why_not(&self) -> String {
        self.alarm.clone().unwrap_or_else(|| self.place.clone())
    }

    fn find(&self, generation: u64) -> Option<&Kept> {
        self.records.iter().find(|kept| kept.record.generation == generation)
    }
}

impl<K: Kernel> Driver<K> {
    /// Takes in what the store tells.
    pub(super) fn kept(&mut self, event: Event) {
        match event {
            Event::Opened(contents) => self.opened(*contents),
            Event::Lost(why) => {
                error!("the configuration cannot be kept: {why}; the box goes on with what it has");
                self.refused(vec![format!("the store cannot be read or written: {why}")]);
                self.keeping.settled = true;
                self.keeping.saving = None;
                self.keeping.alarm = Some(why);
            }
            Event::Done { number, outcome, records } => self.done(number, outcome, records),
        }
    }

    /// The boot order: what the store has comes before any volume. Where something is in force already, the higher
    /// revision stays, and is written if the store does not have it.
    fn opened(&mut self, contents: Contents) {
        let Contents { device, id, records, chosen, passed_over, highest } = contents;
        for sentence in &passed_over {
            warn!("store: {sentence}");
        }
        if !passed_over.is_empty() {
            self.refused(passed_over);
        }
        info!(device, id, records = records.len(), "the configuration is kept on this disk");
        self.keeping.settled = true;
        self.keeping.alarm = None;
        self.keeping.saving = None;
        self.keeping.place = format!("{device}, device {id}");
        let newest = records.first().map_or(0, |kept| kept.record.generation);
        self.keeping.records = records;
        self.binding.remember(highest, newest + 1);
        if self.binding.on_trial().is_some() {
            return;
        }
        let in_force = self.binding.document().map(|(document, _)| document.mark.clone());
        match (in_force, chosen) {
            (Some(mark), Some((document, generation))) if document.mark == mark => {
                self.binding.numbered(generation);
                self.keeping.unsaved = None;
            }
            (Some(mark), _) if mark.revision > highest => {
                let origin = self.origin("engine", "memory");
                self.keeping.unsaved.get_or_insert(origin);
            }
            (_, Some((document, generation))) => {
                info!(revision = document.mark.revision, generation, "the stored document is in force");
                let event = self.binding.put(document, generation, None, "store");
                self.supervisor.report(&event);
                self.keeping.unsaved = None;
            }
            (_, None) => {}
        }
    }

    fn refused(&self, refused: Vec<String>) {
        self.supervisor.report(&report::Event::Config {
            generation: None,
            revision: None,
            source: "store".into(),
            sha256: None,
            refused,
        });
    }

    fn done(&mut self, number: u64, outcome: Result<Box<Kept>, String>, records: Vec<Kept>) {
        if !records.is_empty() {
            self.keeping.records = records;
        }
        let generation = outcome.map(|kept| kept.record.generation);
        if self.keeping.saving == Some(number) {
            self.keeping.saving = None;
            match &generation {
                Ok(generation) => {
                    info!(generation, "the document in force is saved");
                    self.binding.numbered(*generation);
                    self.keeping.unsaved = None;
                }
                Err(why) => {
                    error!("the document in force cannot be saved: {why}");
                    self.keeping.alarm = Some(why.clone());
                }
            }
        }
        let Some(asked) = self.keeping.asked.take_if(|asked| asked.number == number) else { return };
        if let Err(why) = &generation {
            self.keeping.alarm.get_or_insert_with(|| why.clone());
        }
        let response = self.finish(asked.then, generation.ok(), asked.origin);
        // A peer that has gone needs no answer.
        let _ = asked.answer.send(response);
    }

    /// Writes what is in force and not yet written, when that can be done.
    pub(super) fn save(&mut self) {
        let keeping = &mut self.keeping;
        if !keeping.works() || keeping.saving.is_some() || keeping.asked.is_some() {
            return;
        }
        let (Some(origin), Some((document, _))) = (&keeping.unsaved, self.binding.document()) else { return };
        if self.binding.on_trial().is_some() {
            return;
        }
        keeping.saving =
            Some(keeping.handle.order(Work::Commit(stored(document), Term::Permanent), origin.clone()));
    }

    /// A volume's document was taken: it is to be saved.
    pub(super) fn taken(&mut self, device: &str) {
        self.keeping.unsaved = self.keeping.handle.exists().then(|| self.origin("volume", device));
    }

    /// Undoes a trial whose time is over.
    pub(super) fn watch_trial(&mut self, now: Moment) {
        if self.binding.on_trial().is_some_and(|until| until <= now) && self.keeping.asked.is_none() {
            warn!("nobody confirmed the document on trial: the one before is in force again");
            self.undo_trial();
        }
    }

    fn undo_trial(&mut self) {
        self.keeping.handle.undo();
        if let Some(event) = self.binding.undo() {
            self.supervisor.report(&event);
        }
        self.inspect_at = clock::now();
    }

    /// Takes a document that an operator gives.
    pub(super) fn apply(
        &mut self,
        volume: &Volume,
        confirm_within: Option<u32>,
        (who, from): (&str, &str),
        answer: oneshot::Sender<Response>,
    ) {
        let current = self.binding.document().map(|(document, _)| document.mark.clone());
        let judged = match provision::judge(volume, self.binding.trusted(), current.as_ref()) {
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
                self.write(work, Then::Take(document, confirm_within), origin, answer);
            }
        }
    }

    fn fits(&self, document: Box<Document>, trial: Option<u32>) -> Result<Box<Document>, String> {
        Binding::member_of(&document, self.reconciler.observed())?;
        match trial {
            Some(seconds) if !TRIAL.contains(&seconds) => {
                Err("a trial lasts a second at least and a day at most".to_owned())
            }
            Some(_) if self.binding.document().is_none() => {
                Err("there is no document to go back to; apply it without --confirm-within".to_owned())
            }
            _ => Ok(document),
        }
    }

    /// Makes the trial permanent.
    pub(super) fn confirm(&mut self, (who, from): (&str, &str), answer: oneshot::Sender<Response>) {
        if self.binding.on_trial().is_none() {
            drop(answer.send(Response::Refused("no trial is running: there is nothing to confirm".into())));
            return;
        }
        let origin = self.origin(who, from);
        self.write(Work::Confirm, Then::Confirm, origin, answer);
    }

    /// Goes back to an earlier document, or ends a trial.
    pub(super) fn roll_back(
        &mut self,
        generation: Option<u64>,
        (who, from): (&str, &str),
        answer: oneshot::Sender<Response>,
    ) {
        if generation.is_none() && self.binding.on_trial().is_some() && self.keeping.asked.is_none() {
            self.undo_trial();
            let response =
                Response::Done("the trial is over; the document before it is in force again".into());
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
                self.write(Work::RollBack(generation), Then::Take(document, None), origin, answer);
            }
        }
    }

    /// The record of a generation; without one, the newest that stayed and says something else than what is in force.
    fn earlier(&self, generation: Option<u64>) -> Result<&Kept, String> {
        let now = self.binding.document();
        let found = match generation {
            Some(generation) => self.keeping.find(generation).filter(|kept| kept.stays()),
            None => self.keeping.records.iter().find(|kept| {
                kept.stays()
                    && now.is_some_and(|(document, number)| {
                        kept.record.generation < number && kept.record.document != document.bytes
                    })
            }),
        };
        found.ok_or_else(|| match generation {
            Some(generation) => commit::Unwritable::NoGeneration(generation).to_string(),
            None if !self.keeping.handle.exists() => self.keeping.why_not(),
            None => "no earlier document is kept here".to_owned(),
        })
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

    /// Puts in force what was written as `generation`, or could not be.
    fn finish(&mut self, then: Then, generation: Option<u64>, origin: Origin) -> Response {
        let saved = match generation {
            Some(generation) => format!("saved as generation {generation}"),
            None => format!("NOT saved ({}), lost with the power", self.keeping.why_not()),
        };
        let unsaved = (generation.is_none() && self.keeping.handle.exists()).then_some(origin);
        self.inspect_at = clock::now();
        match then {
            Then::Take(document, trial) => {
                let number = generation.unwrap_or_else(|| self.binding.next());
                let until = trial.map(|seconds| clock::now() + Duration::from_secs(seconds.into()));
                let revision = document.mark.revision;
                let event = self.binding.put(*document, number, until, "console");
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
        }
    }

    /// The document in force, or that of a generation, without its secrets.
    pub(super) fn show(&self, generation: Option<u64>) -> Response {
        match (generation, self.binding.document()) {
            (None, Some((document, _))) => Response::Text(redacted(&document.bytes)),
            (None, None) => Response::Refused("there is no document".into()),
            (Some(generation), _) => match self.keeping.find(generation) {
                Some(kept) => Response::Text(redacted(&kept.record.document)),
                None => Response::Refused(commit::Unwritable::NoGeneration(generation).to_string()),
            },
        }
    }

    /// What changed from a generation to what is in force.
    pub(super) fn compare(&self, generation: Option<u64>) -> Response {
        let Some((document, _)) = self.binding.document() else {
            return Response::Refused("there is no document".into());
        };
        match self.earlier(generation) {
            Err(why) => Response::Refused(why),
            Ok(kept) => {
                let old = redacted(&kept.record.document);
                let lines = difference(&old, &redacted(&document.bytes));
                let number = kept.record.generation;
                Response::Text(if lines.is_empty() {
                    format!("generation {number} says the same, but for secrets\n")
                } else {
                    format!("since generation {number}:\n{lines}")
                })
            }
        }
    }

    /// Every generation that is kept.
    pub(super) fn history(&self) -> Response {
        let in_force = self.binding.document().map(|(_, generation)| generation);
        let mut text = format!("kept: {}\n", self.keeping.place);
        for kept in &self.keeping.records {
            let record = &kept.record;
            let mark = if in_force == Some(record.generation) { "*" } else { " " };
            let term = match (record.term, kept.confirmed) {
                (Term::Permanent, _) => "permanent",
                (Term::Trial(_), true) => "trial, confirmed",
                (Term::Trial(_), false) => "trial, not confirmed",
            };
            let Origin { clock, uptime, who, from, .. } = &record.origin;
            let digest = seal::digest(&record.document);
            text.push_str(&format!(
                "{mark} generation {}, {term}, sha256 {}…, by {who} from {from}, clock {clock}, {} s after the start\n",
                record.generation,
                &digest[..12],
                uptime / 1000,
            ));
        }
        Response::Text(text)
    }

    fn origin(&self, who: &str, from: &str) -> Origin {
        let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Origin {
            clock: clock.as_secs(),
            uptime: u64::try_from(clock::now().since_boot().as_millis()).unwrap_or(u64::MAX),
            who: who.to_owned(),
            from: from.to_owned(),
            image: self.image.0.clone(),
        }
    }
}

fn stored(document: &Document) -> commit::Document {
    commit::Document { bytes: document.bytes.clone(), seal: document.signature.clone(), schema: 1 }
}
