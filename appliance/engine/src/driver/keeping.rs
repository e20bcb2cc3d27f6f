//! Keeping the configuration: what the store's news mean for the box. Decides the order: a document is judged, then
//! written, then in force. Nothing here waits; answers go out when the store is done. [`verbs`] change the document,
//! [`reading`] shows what is kept.

mod reading;
mod verbs;

use std::time::SystemTime;

use halcyon_core::control::Response;
use halcyon_core::moment::Moment;
use halcyon_core::report;
use halcyon_core::store::commit;
use halcyon_core::store::keys::Public;
use halcyon_core::store::record::{Origin, Term};
use halcyon_core::store::slots::Kept;
use halcyon_kernel::Kernel;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use super::Driver;
use crate::binding::Undone;
use crate::clock;
use crate::provision::Document;
use crate::store::{Contents, Event, Failure, Handle, Work, Written};

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
    /// The key that signs records.
    key: Option<Public>,
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
    /// With how long a trial, and the way it came.
    Take(Box<Document>, Option<u32>, &'static str),
    Confirm,
    Rotate,
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
            key: None,
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

    /// The public half of the key that signs records, in hexadecimal digits.
    pub(super) fn public(&self) -> Option<&str> {
        self.key.as_ref().map(|public| public.key.as_str())
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
        let Contents { device, key, records, chosen, passed_over, highest, unwritable } = contents;
        for sentence in &passed_over {
            warn!("store: {sentence}");
        }
        if !passed_over.is_empty() {
            self.refused(passed_over);
        }
        info!(device, id = %key.device, records = records.len(), "the configuration is kept on this disk");
        if let Some(why) = &unwritable {
            error!("the configuration cannot be kept: {why}; what lies there counts all the same");
        }
        self.keeping.settled = true;
        self.keeping.alarm = unwritable;
        self.keeping.saving = None;
        self.keeping.place = format!("{device}, device {}", key.device);
        self.keeping.key = Some(key);
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

    fn done(&mut self, number: u64, outcome: Result<Written, Failure>, records: Vec<Kept>) {
        if !records.is_empty() {
            self.keeping.records = records;
        }
        if let Ok(Written::Key(key)) = &outcome {
            info!(
                fingerprint = key.fingerprint,
                number = key.number,
                "a new key signs the records of this box"
            );
            self.keeping.key = Some(key.clone());
        }
        if self.keeping.saving == Some(number) {
            self.keeping.saving = None;
            match &outcome {
                Ok(Written::Key(_)) => {}
                Ok(Written::Generation(generation)) => {
                    info!(generation, "the document in force is saved");
                    self.binding.numbered(*generation);
                    self.keeping.unsaved = None;
                }
                Err(Failure::Refused(why) | Failure::Lost(why)) => {
                    error!("the document in force cannot be saved: {why}");
                    self.keeping.alarm = Some(why.clone());
                }
            }
        }
        let Some(asked) = self.keeping.asked.take_if(|asked| asked.number == number) else { return };
        let response = match outcome {
            Ok(written) => self.finish(asked.then, Some(written), asked.origin),
            Err(Failure::Refused(why)) => Response::Refused(why),
            Err(Failure::Lost(why)) => {
                self.keeping.alarm.get_or_insert(why);
                self.finish(asked.then, None, asked.origin)
            }
        };
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

    pub(super) fn undo_trial(&mut self) {
        self.keeping.handle.undo();
        match self.binding.undo() {
            Undone::Nothing => {}
            Undone::Back(event) => self.supervisor.report(&event),
            // An engine that begins without a document is the one way to have none.
            Undone::Unconfigured => self.start_over = true,
        }
        self.inspect_at = clock::now();
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
