//! Which document is in force on this box, and which of its members this box is. Decides when a document is taken;
//! what it means is the [`Node`](halcyon_core::node::Node)'s business.

use std::fs;
use std::path::Path;

use halcyon_core::config::bind::Identity;
use halcyon_core::config::types::MemberName;
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
}

impl Binding {
    /// Begins with the document that an engine before this one had in force.
    pub fn begin(keeper: Keeper, trusted: Vec<String>) -> Self {
        let mut binding = Self { keeper, trusted, document: None, unbound: None };
        if let Some(kept) = binding.keeper.kept() {
            match provision::kept(&kept, &binding.trusted) {
                Ok(document) => {
                    info!(revision = document.mark.revision, "going on with the document in force");
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
            Verdict::Take(document) => Some(self.take(*document, &volume.device)),
        }
    }

    fn take(&mut self, document: Document, device: &str) -> Event {
        let generation = self.document.as_ref().map_or(1, |(_, generation)| generation + 1);
        let kept =
            Kept { document: document.bytes.clone(), signature: document.signature.clone(), generation };
        if let Err(error) = self.keeper.keep(&kept) {
            warn!(%error, "the document is in force, but an engine after this one will have to read the volume again");
        }
        info!(device, revision = document.mark.revision, generation, "the volume's document is in force");
        let event = Event::Config {
            generation: Some(generation),
            revision: Some(document.mark.revision),
            source: "volume".into(),
            sha256: Some(document.mark.sha256.clone()),
            refused: Vec::new(),
        };
        self.document = Some((document, generation));
        self.unbound = None;
        event
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

    /// The document in force with its generation.
    pub fn document(&self) -> Option<(&Document, u64)> {
        self.document.as_ref().map(|(document, generation)| (document, *generation))
    }

    /// Why this box is unconfigured, in words; only meaningful while it is.
    pub fn why_unconfigured(&self) -> &str {
        self.unbound.as_deref().unwrap_or("no configuration yet: plug in a volume labelled HALCYON")
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

fn identity(observed: &Observed) -> Identity {
    let serial = fs::read_to_string("/sys/class/dmi/id/product_serial").ok();
    Identity {
        serial: serial.map(|s| s.trim().to_owned()).filter(|s| !s.is_empty()),
        macs: observed.permanent_macs().collect(),
    }
}
