//! The verbs that only read what is kept: show, diff, history. No secret of a document leaves by
//! them, but by the one that hands out the document itself.

use halcyon_core::config::difference::difference;
use halcyon_core::config::redact::redacted;
use halcyon_core::config::seal;
use halcyon_core::control::Response;
use halcyon_core::store::commit;
use halcyon_core::store::keys::{MOST, Public};
use halcyon_core::store::record::{Origin, Term};
use halcyon_core::store::slots::Kept;
use halcyon_kernel::Kernel;

use crate::driver::Driver;

impl<K: Kernel> Driver<K> {
    /// The document in force, or that of a generation, without its secrets.
    pub(in crate::driver) fn show(&self, generation: Option<u64>) -> Response {
        match (generation, self.binding.document()) {
            (None, Some((document, _))) => Response::Text(redacted(&document.bytes)),
            (None, None) => Response::Refused("there is no document".into()),
            (Some(generation), _) => match self.keeping.find(generation) {
                Some(kept) => Response::Text(redacted(&kept.record.document)),
                None => Response::Refused(commit::Unwritable::NoGeneration(generation).to_string()),
            },
        }
    }

    /// The document in force with its secrets; the control socket hands it to the consoles and root alone.
    pub(in crate::driver) fn whole_document(&self) -> Response {
        match self.binding.document() {
            Some((document, _)) => Response::Text(String::from_utf8_lossy(&document.bytes).into_owned()),
            None => Response::Refused("there is no document".into()),
        }
    }

    /// What changed from a generation to what is in force.
    pub(in crate::driver) fn compare(&self, generation: Option<u64>) -> Response {
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
    pub(in crate::driver) fn history(&self) -> Response {
        let in_force = self.binding.document().map(|(_, generation)| generation);
        let mut text = format!("kept: {}\n", self.keeping.place);
        for kept in &self.keeping.records {
            let record = &kept.record;
            let mark = if in_force == Some(record.generation) { "*" } else { " " };
            let term = match (record.term, &kept.confirmed) {
                (Term::Permanent, _) => "permanent",
                (Term::Trial(_), Some(_)) => "trial, confirmed",
                (Term::Trial(_), None) => "trial, not confirmed",
            };
            let digest = &seal::digest(&record.document)[..12];
            let origin = told(&record.origin);
            text.push_str(&format!(
                "{mark} generation {}, {term}, sha256 {digest}…, {origin}\n",
                record.generation
            ));
            if let Some(origin) = &kept.confirmed {
                text.push_str(&format!("    confirmed {}\n", told(origin)));
            }
        }
        Response::Text(text)
    }

    /// The key that signs records, as text and as a person can compare it.
    pub(in crate::driver) fn public_key(&self) -> Response {
        match &self.keeping.key {
            None => Response::Refused(format!("there is no device key: {}", self.keeping.why_not())),
            Some(Public { device, number, key, fingerprint }) => Response::Text(format!(
                "device       {device}\nkey          {number} of at most {MOST}\nfingerprint  {fingerprint}\n\
                 public       ed25519 {key}\n"
            )),
        }
    }

    /// The record of a generation; without one, the newest that stayed and says something else than what is in force.
    pub(super) fn earlier(&self, generation: Option<u64>) -> Result<&Kept, String> {
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
}

/// Who, from where and when.
fn told(Origin { clock, uptime, who, from, .. }: &Origin) -> String {
    format!("by {who} from {from}, clock {clock}, {} s after the start", uptime / 1000)
}
