//! Who may hand this box a document, and whether an offered one replaces the current one. Signatures are minisign's,
//! prehashed or legacy; nothing here reads a file or a key that is secret.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use minisign_verify::{PublicKey, Signature};
use sha2::{Digest as _, Sha256};

/// Why a document is not taken as signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsealed {
    /// There is no signature.
    #[error("it is not signed; sign it with `halctl sign -k KEY FILE` and put FILE.minisig beside it")]
    Unsigned,
    /// The signature cannot be read.
    #[error("its signature is damaged or not minisign's; sign it again with `halctl sign -k KEY FILE`")]
    Malformed,
    /// No trusted key has the number that the signature names.
    #[error("it is signed by the key {key_id}, which this image does not trust; it trusts {trusted}")]
    UnknownKey {
        /// The key's number as the minisign tool prints it.
        key_id: String,
        /// Those that are trusted, in words.
        trusted: String,
    },
    /// The document or the trusted comment is not what was signed.
    #[error("its signature does not fit: the document was changed after it was signed; sign it again")]
    Wrong,
    /// The image holds no key that can be read.
    #[error("this image holds no provisioning key, so it trusts nobody; build it with PROVISION_PUBKEY")]
    NoKeys,
}

/// Whose signature was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The key's number as the minisign tool prints it, 16 digits.
    pub key_id: String,
    /// The signature's trusted comment.
    pub comment: String,
}

/// Verifies a document.
///
/// `signature` is the text of the `.minisig` file, `None` when there is none; `trusted` are the texts of `.pub` files,
/// of which those that cannot be read count as absent.
///
/// # Errors
/// [`Unsealed`] says why, for the operator.
pub fn verify(document: &[u8], signature: Option<&str>, trusted: &[String]) -> Result<Seal, Unsealed> {
    let signature_text = signature.filter(|text| !text.trim().is_empty()).ok_or(Unsealed::Unsigned)?;
    let signature = Signature::decode(signature_text).map_err(|_| Unsealed::Malformed)?;
    let key_id = second_line_id(signature_text).ok_or(Unsealed::Malformed)?;
    let keys: Vec<(PublicKey, String)> = trusted
        .iter()
        .filter_map(|text| {
            Some((PublicKey::decode(text.trim_start()).ok()?, second_line_id(text.trim_start())?))
        })
        .collect();
    if keys.is_empty() {
        return Err(Unsealed::NoKeys);
    }
    let mut named = keys.iter().filter(|(_, id)| *id == key_id).peekable();
    if named.peek().is_none() {
        let ids: BTreeSet<&str> = keys.iter().map(|(_, id)| id.as_str()).collect();
        let trusted = ids.into_iter().collect::<Vec<_>>().join(", ");
        return Err(Unsealed::UnknownKey { key_id, trusted });
    }
    // A key's number is not proved by anything, so two keys may share one.
    const LEGACY_TOO: bool = true;
    if named.any(|(key, _)| key.verify(document, &signature, LEGACY_TOO).is_ok()) {
        Ok(Seal { key_id, comment: signature.trusted_comment().to_owned() })
    } else {
        Err(Unsealed::Wrong)
    }
}

/// The number of the key in the second line of a `.pub` or `.minisig` file: bytes 2 to 9 of its base64, as the
/// minisign tool prints it, the last byte first.
fn second_line_id(text: &str) -> Option<String> {
    let line = text.lines().nth(1)?;
    let mut bits = 0u128;
    // Two bytes of algorithm and eight of number are 80 bits; 14 digits carry 84.
    for digit in line.bytes().take(14) {
        bits = bits << 6 | u128::from(base64_digit(digit)?);
    }
    let id = u64::try_from(bits >> 4 & u128::from(u64::MAX)).ok()?;
    (line.len() >= 14).then(|| format!("{:016X}", id.swap_bytes()))
}

fn base64_digit(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

/// What a box goes by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Current {
    /// Its `[cluster] revision`.
    pub revision: u64,
    /// [`digest`] of its bytes.
    pub sha256: String,
}

/// What to do with a valid document that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// Take it: there is none, or it has a higher revision.
    Take,
    /// Leave it: the current one has a higher revision, and going back is a new revision.
    Older,
    /// Leave it: it is the current one.
    Same,
    /// Refuse it and say so: the current one has the same revision and other bytes.
    EqualRevisionOtherBytes,
}

/// Whether an offered document replaces the current one.
pub fn decide(current: Option<&Current>, offered: &Current) -> Offer {
    let Some(current) = current else { return Offer::Take };
    match offered.revision.cmp(&current.revision) {
        std::cmp::Ordering::Greater => Offer::Take,
        std::cmp::Ordering::Less => Offer::Older,
        std::cmp::Ordering::Equal if offered.sha256 == current.sha256 => Offer::Same,
        std::cmp::Ordering::Equal => Offer::EqualRevisionOtherBytes,
    }
}

/// SHA-256 of a document's bytes in lower-case hexadecimal.
pub fn digest(document: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(document) {
        write!(text, "{byte:02x}").expect("a String takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use minisign::KeyPair;

    use super::*;

    const DOCUMENT: &[u8] = b"schema = 1\n";

    struct Signer(KeyPair);

    impl Signer {
        fn new() -> Self {
            Self(KeyPair::generate_unencrypted_keypair().unwrap())
        }

        fn public(&self) -> String {
            self.0.pk.to_box().unwrap().to_string()
        }

        fn sign(&self, document: &[u8]) -> String {
            let signed = minisign::sign(None, &self.0.sk, Cursor::new(document), Some("by a test"), None);
            signed.unwrap().to_string()
        }
    }

    #[test]
    fn a_trusted_signature_is_told_with_its_key_and_comment() {
        let (signer, other) = (Signer::new(), Signer::new());
        let trusted = [other.public(), "no key at all".to_owned(), signer.public()];
        let seal = verify(DOCUMENT, Some(&signer.sign(DOCUMENT)), &trusted).unwrap();
        assert_eq!(seal.comment, "by a test");
        assert!(signer.public().contains(&seal.key_id), "{} in {}", seal.key_id, signer.public());
    }

    #[test]
    fn what_is_not_properly_signed_is_refused() {
        let (signer, other) = (Signer::new(), Signer::new());
        let signature = signer.sign(DOCUMENT);
        let trusted = [signer.public()];
        let verified = |document: &[u8], signature| verify(document, signature, &trusted);

        assert_eq!(verified(DOCUMENT, None), Err(Unsealed::Unsigned));
        assert_eq!(verified(DOCUMENT, Some(" \n")), Err(Unsealed::Unsigned));
        assert_eq!(verified(DOCUMENT, Some("signed: me")), Err(Unsealed::Malformed));
        assert_eq!(verified(b"schema = 2\n", Some(&signature)), Err(Unsealed::Wrong));
        assert_eq!(verified(&DOCUMENT[1..], Some(&signature)), Err(Unsealed::Wrong));
        assert_eq!(verify(DOCUMENT, Some(&signature), &[]), Err(Unsealed::NoKeys));

        let comment_changed = signature.replace("by a test", "by a thief");
        assert_eq!(verified(DOCUMENT, Some(&comment_changed)), Err(Unsealed::Wrong));

        let foreign = verified(DOCUMENT, Some(&other.sign(DOCUMENT))).unwrap_err();
        let Unsealed::UnknownKey { key_id, trusted } = foreign else { panic!("{foreign}") };
        assert!(other.public().contains(&key_id) && signer.public().contains(&trusted));
    }

    #[test]
    fn every_truncation_and_every_flipped_bit_is_refused() {
        let signer = Signer::new();
        let (signature, trusted) = (signer.sign(DOCUMENT), [signer.public()]);
        for end in 0..signature.trim_end().len() {
            assert!(verify(DOCUMENT, Some(&signature[..end]), &trusted).is_err(), "cut at {end}");
        }
        let comment = signature.find('\n').unwrap();
        for (at, bit) in (comment..signature.trim_end().len()).flat_map(|at| (0..7).map(move |bit| (at, bit)))
        {
            let mut bytes = signature.clone().into_bytes();
            bytes[at] ^= 1 << bit;
            let Ok(text) = String::from_utf8(bytes) else { continue };
            assert!(verify(DOCUMENT, Some(&text), &trusted).is_err(), "bit {bit} of byte {at}");
        }
    }

    #[test]
    fn a_higher_revision_is_taken_and_nothing_else() {
        let version = |revision, sha256: &str| Current { revision, sha256: sha256.to_owned() };
        let current = version(5, "aa");
        for (revision, sha256, offer) in [
            (6, "bb", Offer::Take),
            (6, "aa", Offer::Take),
            (5, "aa", Offer::Same),
            (5, "bb", Offer::EqualRevisionOtherBytes),
            (4, "bb", Offer::Older),
            (4, "aa", Offer::Older),
        ] {
            assert_eq!(decide(Some(&current), &version(revision, sha256)), offer, "{revision} {sha256}");
        }
        assert_eq!(decide(None, &version(1, "bb")), Offer::Take);
    }

    /// FIPS 180-2, appendix B.1.
    #[test]
    fn a_digest_is_in_lower_case() {
        assert_eq!(digest(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
