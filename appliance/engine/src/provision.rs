//! What becomes of a document that someone offers: whose it must be, whether it is newer, whether it is right. Decides
//! from bytes and keys alone; it reads nothing and changes nothing.

use halcyon_core::config::Config;
use halcyon_core::config::check::{Problem, check_bytes, check_kept};
use halcyon_core::config::seal::{self, Current, Offer};

use crate::runtime::Kept;
use crate::volume::Volume;

/// A document that was found good, with everything that is kept of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What it says.
    pub config: Config,
    /// Its exact bytes.
    pub bytes: Vec<u8>,
    /// Its signature's exact bytes; empty when it was typed at a console of this box.
    pub signature: Vec<u8>,
    /// Revision and digest.
    pub mark: Current,
    /// Keys in it that this version does not know, a sentence each; only a document that was kept already may have any.
    pub unknown: Vec<String>,
}

/// What becomes of an offered document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is to be taken.
    Take(Box<Document>),
    /// There is nothing to do; the sentence says why.
    Leave(String),
    /// It is refused; every reason, a sentence each.
    Refuse(Vec<String>),
}

/// Judges what a volume offers. `trusted` are public keys in minisign's form, `current` is the document in force.
pub fn judge(volume: &Volume, trusted: &[String], current: Option<&Current>) -> Verdict {
    let (document, signature) = match (&volume.document, &volume.signature) {
        (Ok(document), Ok(signature)) => (document, signature),
        (document, signature) => {
            let reasons = [document, signature].into_iter().filter_map(|file| file.as_ref().err().cloned());
            return Verdict::Refuse(reasons.collect());
        }
    };
    weigh(fresh(document, signature, trusted), current)
}

/// Judges what was typed at a console of this box. No provisioning key vouches for it, so it takes the place of a document
/// that one does only where that document lets somebody in: by an admin password.
pub fn typed(document: &str, in_force: Option<&Document>) -> Verdict {
    if in_force.is_some_and(|document| !document.signature.is_empty() && document.config.admin.is_none()) {
        return Verdict::Refuse(vec![
            "a signed document is in force that sets no admin password, and only a signed one takes its place; change \
             that one, sign it, and bring it on a volume"
                .to_owned(),
        ]);
    }
    weigh(whole(document.as_bytes(), &[]), in_force.map(|document| &document.mark))
}

fn weigh(read: Result<Document, Vec<String>>, current: Option<&Current>) -> Verdict {
    let document = match read {
        Ok(document) => document,
        Err(reasons) => return Verdict::Refuse(reasons),
    };
    let revision = document.mark.revision;
    match seal::decide(current, &document.mark) {
        Offer::Take => Verdict::Take(Box::new(document)),
        Offer::Same => Verdict::Leave(format!("revision {revision} is in force already")),
        Offer::Older => Verdict::Leave(format!(
            "revision {revision} is older than the one in force; to go back to it, give it a higher revision and sign it"
        )),
        Offer::EqualRevisionOtherBytes => Verdict::Refuse(vec![format!(
            "revision {revision} is in force with other contents; give the change a higher revision and sign it again"
        )]),
    }
}

/// The document that an engine before this one had in force. It was judged then; a signature is verified again all the
/// same.
///
/// # Errors
/// Every reason against it.
pub fn kept(kept: &Kept, trusted: &[String]) -> Result<Document, Vec<String>> {
    stored(&kept.document, &kept.signature, trusted)
}

/// A document that lies in the store: whoever wrote it there had it judged, but by another version, perhaps, which knew
/// more keys. Those are told in [`Document::unknown`]. One without a signature was typed here; the device's own key, which
/// signs every record, vouches for it.
///
/// # Errors
/// Every reason against it.
pub fn stored(document: &[u8], signature: &[u8], trusted: &[String]) -> Result<Document, Vec<String>> {
    if !signature.is_empty() {
        verify(document, signature, trusted)?;
    }
    let (config, unknown) = check_kept(document).map_err(sentences)?;
    Ok(found_good(config, document, signature, sentences(unknown)))
}

fn fresh(document: &[u8], signature: &[u8], trusted: &[String]) -> Result<Document, Vec<String>> {
    verify(document, signature, trusted)?;
    whole(document, signature)
}

/// A document whose every key this version knows.
fn whole(document: &[u8], signature: &[u8]) -> Result<Document, Vec<String>> {
    let config = check_bytes(document).map_err(sentences)?;
    Ok(found_good(config, document, signature, Vec::new()))
}

fn verify(document: &[u8], signature: &[u8], trusted: &[String]) -> Result<(), Vec<String>> {
    seal::verify(document, std::str::from_utf8(signature).ok(), trusted)
        .map(drop)
        .map_err(|e| vec![e.to_string()])
}

fn sentences(problems: Vec<Problem>) -> Vec<String> {
    problems.iter().map(ToString::to_string).collect()
}

fn found_good(config: Config, document: &[u8], signature: &[u8], unknown: Vec<String>) -> Document {
    let mark = Current { revision: config.cluster.revision, sha256: seal::digest(document) };
    Document { config, bytes: document.to_vec(), signature: signature.to_vec(), mark, unknown }
}

#[cfg(test)]
mod tests {
    use halcyon_core::config::types::{PasswordHash, SALT};

    use super::*;

    const PAIR: &str = include_str!("../../../examples/pair.toml");

    fn taken(verdict: Verdict) -> Document {
        match verdict {
            Verdict::Take(document) => *document,
            other => panic!("not taken: {other:?}"),
        }
    }

    #[test]
    fn what_is_typed_is_taken_without_a_signature_and_read_again_from_the_store() {
        let document = taken(typed(PAIR, None));
        assert_eq!(stored(&document.bytes, &document.signature, &[]), Ok(document.clone()));
        let next = taken(typed(&PAIR.replace("revision = 1 ", "revision = 2 "), Some(&document)));
        assert_eq!(next.mark.revision, 2);
    }

    #[test]
    fn what_is_typed_replaces_what_is_signed_only_where_that_sets_a_password() {
        let signed = Document { signature: b"untrusted comment: x".to_vec(), ..taken(typed(PAIR, None)) };
        let newer = PAIR.replace("revision = 1 ", "revision = 2 ");
        let Verdict::Refuse(reasons) = typed(&newer, Some(&signed)) else { panic!("it was not refused") };
        assert!(reasons[0].starts_with("a signed document is in force"), "{reasons:?}");
        let hash = PasswordHash::make("correct horse", &[7; SALT]).unwrap();
        let open = format!("{PAIR}\n[admin]\npassword = \"{hash}\"\n");
        let signed = Document { signature: b"untrusted comment: x".to_vec(), ..taken(typed(&open, None)) };
        let newer = open.replace("revision = 1 ", "revision = 2 ");
        assert_eq!(taken(typed(&newer, Some(&signed))).signature, b"", "the device vouches for it");
        let Verdict::Refuse(_) = typed(&open.replace("8898", "8899"), Some(&signed)) else {
            panic!("a change without a higher revision was not refused")
        };
    }

    #[test]
    fn a_volume_without_a_signature_is_refused_all_the_same() {
        let volume = Volume {
            device: "sdz".to_owned(),
            document: Ok(PAIR.as_bytes().to_vec()),
            signature: Ok(Vec::new()),
        };
        assert!(matches!(judge(&volume, &[], None), Verdict::Refuse(_)));
    }
}
