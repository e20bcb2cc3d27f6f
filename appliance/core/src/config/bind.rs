//! Which member of the document a box is: by its serial number or by the permanent MACs of its ports.

use std::collections::BTreeSet;
use std::fmt;

use super::types::{Mac, MemberName};
use super::{Config, Member};

/// What tells this box from others.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// DMI system serial number, when the firmware has one.
    pub serial: Option<String>,
    /// Permanent MACs of all ports.
    pub macs: BTreeSet<Mac>,
}

/// Why a box is no member, with what was expected and what was found.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unbound {
    /// No member fits.
    #[error(
        "this box is no member of the document: it expects {expected}; this box has {found}; correct a member's mac \
         or serial"
    )]
    Nobody {
        /// Every member and how it is told.
        expected: String,
        /// This box.
        found: Identity,
    },
    /// Several members fit.
    #[error(
        "this box could be {}: it has {found}; correct the serial numbers and MACs so that one member fits",
        .members.iter().map(MemberName::as_str).collect::<Vec<_>>().join(" or ")
    )]
    Ambiguous {
        /// Those that fit.
        members: Vec<MemberName>,
        /// This box.
        found: Identity,
    },
}

impl Config {
    /// The member that the box with `identity` is: the only one with its serial number or one of its MACs.
    ///
    /// # Errors
    /// [`Unbound`] when none fits, or several do.
    pub fn member_by(&self, identity: &Identity) -> Result<&MemberName, Unbound> {
        let fitting: Vec<&Member> = self.members.values().filter(|member| fits(member, identity)).collect();
        match fitting[..] {
            [member] => Ok(&member.name),
            [] => Err(Unbound::Nobody { expected: self.expected(), found: identity.clone() }),
            _ => Err(Unbound::Ambiguous {
                members: fitting.into_iter().map(|member| member.name.clone()).collect(),
                found: identity.clone(),
            }),
        }
    }

    fn expected(&self) -> String {
        let members = self.members.values().map(|member| {
            let identity = Identity { serial: member.serial.clone(), macs: macs(member).collect() };
            format!("{} with {identity}", member.name)
        });
        members.collect::<Vec<_>>().join(", or ")
    }
}

fn fits(member: &Member, identity: &Identity) -> bool {
    let by_serial = member.serial.is_some() && member.serial == identity.serial;
    by_serial || macs(member).any(|mac| identity.macs.contains(&mac))
}

fn macs(member: &Member) -> impl Iterator<Item = Mac> {
    let ports: BTreeSet<Mac> = member.interfaces.keys().flat_map(|link| member.macs(link)).copied().collect();
    ports.into_iter()
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(serial) = &self.serial {
            write!(f, "serial {serial:?} and ")?;
        }
        let macs: Vec<String> = self.macs.iter().map(ToString::to_string).collect();
        match macs.as_slice() {
            [] => f.write_str("no MAC"),
            [mac] => write!(f, "MAC {mac}"),
            _ => write!(f, "MACs {}", macs.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::check::check;

    const PAIR: &str = include_str!("../../../../examples/pair.toml");

    fn pair(castor: &str) -> Config {
        check(&PAIR.replacen("priority = 100", &format!("priority = 100\n{castor}"), 1)).unwrap()
    }

    fn a_box(serial: Option<&str>, macs: &[&str]) -> Identity {
        let macs = macs.iter().map(|mac| mac.parse().unwrap()).collect();
        Identity { serial: serial.map(str::to_owned), macs }
    }

    #[test]
    fn a_box_is_the_member_with_one_of_its_macs() {
        let identity = a_box(None, &["52:54:00:00:00:99", "52:54:00:00:00:0b"]);
        assert_eq!(pair("").member_by(&identity).map(MemberName::as_str), Ok("pollux"));
    }

    #[test]
    fn a_box_whose_ports_were_replaced_is_the_member_with_its_serial_number() {
        let identity = a_box(Some("S3X1234"), &["52:54:00:00:00:99"]);
        assert_eq!(pair("serial = \"S3X1234\"").member_by(&identity).map(MemberName::as_str), Ok("castor"));
    }

    #[test]
    fn a_stranger_is_told_what_was_expected_and_found() {
        let stranger = a_box(Some("Z9"), &["52:54:00:00:00:99"]);
        let told = pair("serial = \"S3X1234\"").member_by(&stranger).unwrap_err().to_string();
        assert_eq!(
            told,
            "this box is no member of the document: it expects castor with serial \"S3X1234\" and MAC \
             52:54:00:00:00:0a, or pollux with MAC 52:54:00:00:00:0b; this box has serial \"Z9\" and MAC \
             52:54:00:00:00:99; correct a member's mac or serial"
        );
    }

    #[test]
    fn a_box_that_fits_two_members_is_neither() {
        let both = a_box(Some("S3X1234"), &["52:54:00:00:00:0b"]);
        let refused = pair("serial = \"S3X1234\"").member_by(&both).unwrap_err();
        assert!(
            refused.to_string().starts_with("this box could be castor or pollux: it has serial"),
            "{refused}"
        );
        let swapped = a_box(None, &["52:54:00:00:00:0a", "52:54:00:00:00:0b"]);
        assert!(matches!(pair("").member_by(&swapped), Err(Unbound::Ambiguous { .. })));
    }

    #[test]
    fn a_box_without_a_serial_number_is_no_member_without_one() {
        assert!(matches!(pair("").member_by(&a_box(None, &[])), Err(Unbound::Nobody { .. })));
    }
}
