//! What members, links, services and real servers are called.

use std::fmt;
use std::str::FromStr;

use super::Malformed;
use crate::config::problem::quoted;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                let ok = !text.is_empty()
                    && text.len() <= $max
                    && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                    && !text.starts_with('-')
                    && !text.ends_with('-');
                if ok {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(Malformed {
                        what: format!("{} cannot be {}", quoted(text), $what),
                        fix: format!("use 1 to {} of a-z, 0-9 and '-', no '-' at either end", $max),
                    })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }
    };
}

name!(
    /// A member's name: a host name label (RFC 1123 §2.1).
    MemberName, 63, "a member's name"
);
name!(
    /// A segment's logical name, which the kernel's link takes: at most 15 characters (`IFNAMSIZ` in
    /// `include/uapi/linux/if.h`).
    LinkName, 15, "an interface's name"
);
name!(
    /// A service's name.
    ServiceName, 63, "a service's name"
);

/// A real server's name: a member's name, or the address (with port, where it differs) of one that is none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName(pub String);

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_keep_to_host_name_labels() {
        for good in ["a", "castor", "box-2", "0"] {
            assert!(good.parse::<MemberName>().is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "ä", "a b"] {
            assert!(bad.parse::<MemberName>().is_err(), "{bad:?}");
        }
        assert!("a".repeat(15).parse::<LinkName>().is_ok());
        assert!("a".repeat(16).parse::<LinkName>().is_err(), "IFNAMSIZ counts the final zero");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (text.parse::<MemberName>(), text.parse::<LinkName>());
        }
    }
}
