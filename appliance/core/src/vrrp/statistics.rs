//! What is counted, and whether an advertisement fits this box's settings (RFC 9568 §7.1, RFC 3768 §7.1).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::settings::Settings;
use super::wire::{Advert, Form, Malformed, OWNER};

/// What is wrong with something that was received. All but the last two are discarded without a change of state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Not an advertisement.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// For another virtual router.
    #[error("it is for VRID {0}")]
    Vrid(u8),
    /// Of the other version.
    #[error("it is of the other VRRP version; set the same version on all members")]
    Version,
    /// From this box's own address.
    #[error("it comes from this box's own address; is the address used twice?")]
    OwnAddress,
    /// No password, or another (version 2).
    #[error("its authentication differs; set the same password on all members")]
    Authentication,
    /// Version 2: another interval (RFC 3768 §7.1).
    #[error("its interval is {theirs:?} instead of {ours:?}; set the same interval on all members")]
    Interval {
        /// The sender's.
        theirs: Duration,
        /// This box's.
        ours: Duration,
    },
    /// Version 2: other virtual addresses, and not from their owner (RFC 3768 §7.1).
    #[error("its virtual addresses differ: {theirs:?}; set the same addresses on all members")]
    Addresses {
        /// The sender's.
        theirs: Vec<IpAddr>,
    },
    /// The instance does not run: its link is down.
    #[error("the instance does not run")]
    NotRunning,
    /// Version 3: another interval. It is learned, not discarded.
    #[error("its interval is {theirs:?} instead of {ours:?}; accepted")]
    LearnedInterval {
        /// The sender's.
        theirs: Duration,
        /// This box's.
        ours: Duration,
    },
    /// Version 3: other virtual addresses. Accepted: two masters would be worse (RFC 9568 §7.1 leaves it open).
    #[error("its virtual addresses differ: {theirs:?}; accepted, but set the same addresses on all members")]
    AcceptedAddresses {
        /// The sender's.
        theirs: Vec<IpAddr>,
    },
}

/// Counters of one instance, all since it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Advertisements sent, those with priority 0 included.
    pub sent: u64,
    /// Advertisements sent with priority 0.
    pub sent_leaving: u64,
    /// Advertisements accepted.
    pub received: u64,
    /// Advertisements accepted with priority 0.
    pub received_leaving: u64,
    /// Times it became master.
    pub became_master: u64,
    /// Misfits by [`Misfit::label`].
    pub misfits: BTreeMap<&'static str, u64>,
}

impl Statistics {
    /// Counts `misfit`; true when it is the first of its kind.
    pub(super) fn count(&mut self, misfit: &Misfit) -> bool {
        let count = self.misfits.entry(misfit.label()).or_default();
        *count += 1;
        *count == 1
    }
}

impl Misfit {
    /// A short fixed name, for counters.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Malformed(malformed) => match malformed {
                Malformed::IpHeader => "ip-header",
                Malformed::Destination(_) => "destination",
                Malformed::Ttl(_) => "ttl",
                Malformed::Source(_) => "source",
                Malformed::Short(_) | Malformed::Length { .. } => "length",
                Malformed::Version(_) => "unknown-version",
                Malformed::Type(_) => "type",
                Malformed::NoAddress => "no-address",
                Malformed::Checksum(_) => "checksum",
                Malformed::Vrid => "vrid-zero",
                Malformed::Interval => "interval-zero",
                Malformed::AuthenticationType(_) => "authentication-type",
            },
            Self::Vrid(_) => "vrid",
            Self::Version => "version",
            Self::OwnAddress => "own-address",
            Self::Authentication => "authentication",
            Self::Interval { .. } => "interval",
            Self::Addresses { .. } => "addresses",
            Self::NotRunning => "not-running",
            Self::LearnedInterval { .. } => "learned-interval",
            Self::AcceptedAddresses { .. } => "accepted-addresses",
        }
    }
}

/// Judges an advertisement from `source` by the settings of the box whose primary address is `primary`.
///
/// `Ok(Some(_))` is accepted with something to tell; an error is discarded.
pub(super) fn judge(
    settings: &Settings,
    primary: IpAddr,
    source: IpAddr,
    advert: &Advert,
) -> Result<Option<Misfit>, Misfit> {
    if advert.vrid != settings.id.vrid {
        return Err(Misfit::Vrid(advert.vrid.get()));
    }
    if source == primary {
        return Err(Misfit::OwnAddress);
    }
    let theirs = || advert.addresses.as_slice().to_vec();
    let same_interval = advert.interval == settings.interval;
    let same_addresses = advert.addresses.same_set(&settings.addresses);
    match (settings.form, advert.form) {
        // RFC 3768 §7.1: every difference is a reason to discard, addresses unless their owner sends them.
        (Form::V2 { authentication: ours }, Form::V2 { authentication: theirs_auth }) => {
            if ours != theirs_auth {
                Err(Misfit::Authentication)
            } else if !same_interval {
                Err(Misfit::Interval { theirs: advert.interval, ours: settings.interval })
            } else if !same_addresses && advert.priority != OWNER {
                Err(Misfit::Addresses { theirs: theirs() })
            } else {
                Ok(None)
            }
        }
        // RFC 9568 §7.1: an operator is told, the advertisement counts.
        (Form::V3 { .. }, Form::V3 { .. }) => Ok(if !same_addresses {
            Some(Misfit::AcceptedAddresses { theirs: theirs() })
        } else if !same_interval {
            Some(Misfit::LearnedInterval { theirs: advert.interval, ours: settings.interval })
        } else {
            None
        }),
        (Form::V2 { .. }, Form::V3 { .. }) | (Form::V3 { .. }, Form::V2 { .. }) => Err(Misfit::Version),
    }
}
