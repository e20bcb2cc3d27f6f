//! Which document is in force on this box, and which of its members this box is. Decides when a document is taken;
//! what it means is the [`Node`](halcyon_core::node::Node)'s business.

use std::fs;
use std::path::Path;

use halcyon_core::config::bind::Identity;
use halcyon_core::config::types::MemberName;
use halcyon_core::moment::Moment;
use halcyon_core::reconcile::Observed;
use halcyon_core::report::Event;
use tracing::{error, info, warn};

use crate::provision::{self, Document, Verdict};
use crate::runtime::{Keeper, Kept};
use crate::volume::Volume;

/// Where the image keeps the keys that it trusts.
pub const KEYS: &str = "/usr/lib/halcyon/keys";

/// The document in force, if any.
#[derive(Debug)]
pub struct Binding {
    keeper: Keeper,
    trusted: Vec<String>,
    document: Option<(Document, u64)>,
    /// Why this box is no member of it.
    unbound: Option<String>,
    trial: Option<Trial>,
    /// The highest revision that the store has, and the least number of the next generation.
    highest: u64,
    floor: u64,
}

/// The document in force is on trial.
#[derive(Debug)]
struct Trial {
    until: Moment,
    /// What is in force again when it is undone.
    before: Option<(Document, u64)>,
}

/// What became of a trial that was undone.
#[derive(Clone, Debug, PartialEq)]
pub enum Undone {
    /// There was none.
    Nothing,
    /// What was in force before is so again; this is to be reported.
    Back(Event),
    /// Nothing was in force before, so nothing is now.
    Unconfigured,
}

impl Binding {
    /// Begins with the document that an engine before this one had in force.
    pub fn begin(keeper: Keeper, trusted: Vec<String>) -> Self {
        let mut binding =
            Self { keeper, trusted, document: None, unbound: None, trial: None, highest: 0, floor: 1 };
        if let Some(kept) = binding.keeper.kept() {
            match provision::kept(&kept, &binding.trusted) {
                Ok(document) => {
                    info!(revision = document.mark.revision, "going on with the document in force");
                    warn_of_unknown(&document);
                    binding.document = Some((document, kept.generation));
                }
                Err(reasons) => error!("the document in force cannot be read again: {}", reasons.join("; ")),
            }
        }
        binding
    }

    /// Judges what a volume offers and takes it when it should be. Returns what is to be reported.
    pub fn offer(&mut self, volume: &Volume) -> Option<Event> {
        let current = self.document.as_ref().map(|(document, _)| &document.mark);
        match provision::judge(volume, &self.trusted, current) {
            Verdict::Leave(why) => {
                info!(device = volume.device, "the volume's document is left alone: {why}");
                None
            }
            Verdict::Refuse(reasons) => {
                for reason in &reasons {
                    error!(device = volume.device, "the volume's document is refused: {reason}");
                }
                Some(Event::Config {
                    generation: None,
                    revision: None,
                    source: "volume".into(),
                    sha256: None,
                    refused: reasons.iter().map(|r| format!("{}: {r}", volume.device)).collect(),
                })
            }
            Verdict::Take(document) if document.mark.revision <= self.highest => {
                let (revision, highest) = (document.mark.revision, self.highest);
                info!(
                    device = volume.device,
                    "the volume's revision {revision} is left alone: revision {highest} was in force here before, \
                     and what replaced it came later"
                );
                None
            }
            Verdict::Take(document) => Some(self.take(*document, &volume.device)),
        }
    }

    fn take(&mut self, document: Document, device: &str) -> Event {
        let generation = self.next();
        info!(device, revision = document.mark.revision, generation, "the volume's document is in force");
        self.put(document, generation, None, "volume")
    }

    /// The number of the next generation, as far as is known here.
    pub fn next(&self) -> u64 {
        self.document.as_ref().map_or(1, |(_, generation)| generation + 1).max(self.floor)
    }

    /// Puts a document in force, on trial until a moment if there is one. Returns what is to be reported.
    pub fn put(&mut self, document: Document, generation: u64, until: Option<Moment>, source: &str) -> Event {
        let event = Event::Config {
            generation: Some(generation),
            revision: Some(document.mark.revision),
            source: source.into(),
            sha256: Some(document.mark.sha256.clone()),
            refused: Vec::new(),
        };
        warn_of_unknown(&document);
        let trial = self.trial.take();
        let before = self.document.replace((document, generation));
        self.unbound = None;
        match until {
            // An engine after this one must not know of a trial: its restart is one of the things that undo it.
            Some(until) => {
                self.trial = Some(Trial { until, before: trial.map_or(before, |trial| trial.before) });
            }
            None => self.settle(),
        }
        event
    }

    /// What is in force was written to the store as this generation.
    pub fn numbered(&mut self, generation: u64) {
        if let Some((_, number)) = &mut self.document
            && *number != generation
        {
            *number = generation;
            self.keep();
        }
    }

    /// Volumes count only from a higher revision on than any that stayed, and generations from here on.
    pub fn remember(&mut self, revision: u64, generation: u64) {
        self.highest = self.highest.max(revision);
        self.floor = self.floor.max(generation);
    }

    /// Until when the document in force is on trial.
    pub fn on_trial(&self) -> Option<Moment> {
        self.trial.as_ref().map(|trial| trial.until)
    }

    /// The document on trial stays.
    pub fn confirm(&mut self) {
        self.trial = None;
        self.settle();
    }

    /// The trial is over: what was in force before is so again.
    pub fn undo(&mut self) -> Undone {
        let Some(trial) = self.trial.take() else { return Undone::Nothing };
        match trial.before {
            Some((document, generation)) => Undone::Back(self.put(document, generation, None, "store")),
            None => {
                self.document = None;
                Undone::Unconfigured
            }
        }
    }

    /// What is in force stays.
    fn settle(&mut self) {
        let revision = self.document.as_ref().map_or(0, |(document, _)| document.mark.revision);
        self.highest = self.highest.max(revision);
        self.keep();
    }

    fn keep(&self) {
        let Some((document, generation)) = &self.document else { return };
        let (document, signature) = (document.bytes.clone(), document.signature.clone());
        if let Err(error) = self.keeper.keep(&Kept { document, signature, generation: *generation }) {
            warn!(%error, "the document is in force, but an engine after this one will have to look for it again");
        }
    }

    /// Which member of `document` this box is.
    ///
    /// # Errors
    /// Why it is none.
    pub fn member_of(document: &Document, observed: &Observed) -> Result<MemberName, String> {
        document.config.member_by(&identity(observed)).cloned().map_err(|why| why.to_string())
    }

    /// The keys that may sign a document.
    pub fn trusted(&self) -> &[String] {
        &self.trusted
    }

    /// Finds this box in the document. A port that appears late is found at a later call.
    pub fn bind(&mut self, observed: &Observed) -> Option<MemberName> {
        let (document, _) = self.document.as_ref()?;
        match document.config.member_by(&identity(observed)) {
            Ok(member) => {
                self.unbound = None;
                Some(member.clone())
            }
            Err(why) => {
                self.unbound = Some(why.to_string());
                None
            }
        }
    }

    /// What of the document in force is without effect, a sentence each.
    pub fn alarms(&self) -> Vec<String> {
        let unknown = self.document.iter().flat_map(|(document, _)| &document.unknown);
        unknown.map(|key| format!("this version leaves a part of the document out: {key}")).collect()
    }

    /// The document in force with its generation.
    pub fn document(&self) -> Option<(&Document, u64)> {
        self.document.as_ref().map(|(document, generation)| (document, *generation))
    }

    /// Why this box is unconfigured, in words; only meaningful while it is.
    pub fn why_unconfigured(&self) -> &str {
        self.unbound.as_deref().unwrap_or("no configuration yet: plug in a volume labelled HALCYON")
    }
}

fn warn_of_unknown(document: &Document) {
    for key in &document.unknown {
        warn!("this version leaves a part of the document out: {key}");
    }
}

/// The keys in `directory`, as text.
pub fn trusted(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<_> =
        entries.flatten().map(|e| e.path()).filter(|p| p.extension().is_some_and(|e| e == "pub")).collect();
    files.sort();
    files.iter().filter_map(|path| fs::read_to_string(path).ok()).collect()
}

/// What tells this box from others.
pub fn identity(observed: &Observed) -> Identity {
    let serial = fs::read_to_string("/sys/class/dmi/id/product_serial").ok();
    Identity {
        serial: serial.map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()),
        macs: observed.permanent_macs().collect(),
    }
}
