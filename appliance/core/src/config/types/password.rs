//! The administrator's password as the document holds it: a hash by argon2id (RFC 9106) in PHC's form. Decides which
//! hashes are worth having; what is typed goes in as text and never comes out.

use std::fmt;
use std::str::FromStr;

use argon2::password_hash::phc;
use argon2::{ARGON2ID_IDENT, Argon2, CustomizedPasswordHasher as _, Params, PasswordVerifier as _, Version};

use super::Malformed;

/// Octets of a salt (RFC 9106 §3.1 recommends 16).
pub const SALT: usize = 16;
/// Memory in KiB: from a third of what [`PasswordHash::make`] takes to what a small box can spare for one guess.
const MEMORY: std::ops::RangeInclusive<u32> = 7 << 10..=64 << 10;
/// Passes.
const PASSES: std::ops::RangeInclusive<u32> = 1..=10;
/// Lanes.
const LANES: std::ops::RangeInclusive<u32> = 1..=4;
/// Octets of a hash, at least.
const SHORTEST: usize = 16;

/// A hash of a password, by argon2id, with its salt and its cost.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Box<phc::PasswordHash>);

impl PasswordHash {
    /// Hashes a password that was typed: 19 MiB in two passes, which takes a small box some tens of milliseconds. `None`:
    /// the password is longer than argon2 takes, which is gigabytes.
    pub fn make(typed: &str, salt: &[u8; SALT]) -> Option<Self> {
        let id = ARGON2ID_IDENT.as_str();
        let version = Some(Version::V0x13.into());
        let hash = Argon2::default().hash_password_customized(
            typed.as_bytes(),
            salt,
            Some(id),
            version,
            Params::DEFAULT,
        );
        hash.ok().map(|hash| Self(Box::new(hash)))
    }

    /// Whether this is the hash of what was typed. Takes as long, and as much memory, as making it took.
    pub fn is_of(&self, typed: &str) -> bool {
        Argon2::default().verify_password(typed.as_bytes(), &*self.0).is_ok()
    }

    fn sane(hash: &phc::PasswordHash) -> bool {
        let Ok(params) = Params::try_from(hash) else { return false };
        hash.algorithm == ARGON2ID_IDENT
            && hash.version == Some(Version::V0x13.into())
            && MEMORY.contains(&params.m_cost())
            && PASSES.contains(&params.t_cost())
            && LANES.contains(&params.p_cost())
            && hash.salt.is_some()
            && hash.hash.is_some_and(|hash| hash.len() >= SHORTEST)
    }
}

impl FromStr for PasswordHash {
    type Err = Malformed;

    /// What was written is not repeated: where a hash is expected, somebody may have written the password.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        match phc::PasswordHash::new(text) {
            Ok(hash) if Self::sane(&hash) => Ok(Self(Box::new(hash))),
            Ok(_) => Err(Malformed {
                what:
                    "is not a hash by argon2id, version 19, of 7 to 64 MiB, 1 to 10 passes and 1 to 4 lanes"
                        .to_owned(),
                fix: "make one with the wizard, or with: argon2 SALT -id -m 14 -t 3 -e".to_owned(),
            }),
            Err(_) => Err(Malformed {
                what: "is not a password's hash in PHC's form".to_owned(),
                fix: "write the hash and not the password: \"$argon2id$v=19$m=19456,t=2,p=1$…\"".to_owned(),
            }),
        }
    }
}

/// As the document has it.
impl fmt::Display for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_one_password_and_is_written_and_read_again() {
        let hash = PasswordHash::make("correct horse", &[7; SALT]).unwrap();
        assert!(hash.is_of("correct horse") && !hash.is_of("correct horsf") && !hash.is_of(""));
        let written = hash.to_string();
        assert!(written.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{written}");
        assert_eq!(written.parse(), Ok(hash.clone()));
        assert_eq!(format!("{hash:?}"), "PasswordHash(…)");
    }

    #[test]
    fn a_hash_of_another_cost_is_taken() {
        let own = PasswordHash::make("correct horse", &[7; SALT]).unwrap().to_string();
        let theirs = own.replace("$m=19456,t=2,p=1$", "$m=8192,t=3,p=2$");
        assert!(theirs.parse::<PasswordHash>().is_ok(), "{theirs}");
    }

    #[test]
    fn what_is_no_good_hash_is_refused_and_not_repeated() {
        let good = PasswordHash::make("x", &[0; SALT]).unwrap().to_string();
        let instead = |from: &str, to: &str| {
            assert!(good.contains(from), "{good}");
            good.replace(from, to)
        };
        for wrong in [
            String::new(),
            "hunter2".to_owned(),
            "$1$salt$hunter2".to_owned(),
            instead("argon2id", "argon2i"),
            instead("argon2id", "argon2d"),
            instead("v=19", "v=16"),
            instead("m=19456", "m=1024"),
            instead("m=19456", "m=4194304"),
            instead("t=2", "t=99"),
            instead("t=2", "t=0"),
            instead("p=1", "p=64"),
            good.rsplit_once('$').unwrap().0.to_owned(),
            good[..good.len() - 30].to_owned(),
        ] {
            let told = wrong.parse::<PasswordHash>().expect_err(&wrong).to_string();
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}
