//! The public half of a box's device key, as a document names it.

use std::fmt;
use std::str::FromStr;

use super::Malformed;
use crate::config::problem::quoted;

/// An Ed25519 public key, printed as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DeviceKey(pub [u8; 32]);

impl fmt::Display for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DeviceKey {
    type Err = Malformed;

    /// 64 hexadecimal digits, as `halctl key show` prints them.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed {
            what: format!("{} is not a device key", quoted(text)),
            fix: "write the 64 hexadecimal digits that \"key show\" prints on the box".to_owned(),
        };
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(malformed());
        }
        let mut key = [0; 32];
        for (byte, digits) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| malformed())?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| malformed())?;
        }
        Ok(Self(key))
    }
}
