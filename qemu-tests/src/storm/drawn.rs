//! Drawn states of a pair, and the kernel state that the product plans for one. Touches no box.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, anyhow};
use halcyon_core::config::Config;
use halcyon_core::config::check::check;
use halcyon_core::plan::state::KernelState;
use halcyon_core::plan::{Health, View, VrrpState, plan};

use crate::pair::Pair;
use crate::seed::Seed;

/// Parts of the guard that can be missing on a box.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// What a fellow forwarded is not led past IPVS.
    Detour,
    /// What of it is not led past goes to IPVS like anything else.
    LastWord,
}

impl Part {
    const ALL: [Self; 2] = [Self::Detour, Self::LastWord];

    /// The chain that it begins with.
    pub(super) fn chain(self) -> &'static str {
        match self {
            Self::Detour => "detour",
            Self::LastWord => "lastword",
        }
    }
}

/// A state of one box.
#[derive(Clone, Debug)]
pub(super) struct Drawn {
    /// It holds the virtual address.
    pub(super) master: bool,
    /// Whom it thinks healthy.
    pub(super) sees: [bool; 2],
    /// What its guard lacks.
    pub(super) without: BTreeSet<Part>,
    /// On the network.
    pub(super) there: bool,
}

/// The `number`-th state of a strategy, of both boxes.
pub(super) fn draw(seed: &mut Seed, number: usize) -> [Drawn; 2] {
    // The surest loop there is, once: each sends everything to the other, and nothing forbids it.
    let circle = number == 1;
    let cut_off = (number % 4 == 3).then(|| seed.between(0, 1) as usize);
    [0, 1].map(|which| {
        let mut sees = [0.8; 2].map(|share| seed.chance(share));
        let mut without: BTreeSet<Part> = match number % 3 {
            // A whole guard every third time.
            0 => BTreeSet::new(),
            _ => Part::ALL.into_iter().filter(|_| seed.chance(0.5)).collect(),
        };
        if circle {
            (sees, without) = ([which == 1, which == 0], Part::ALL.into());
        }
        Drawn { master: circle || seed.chance(0.7), sees, without, there: cut_off != Some(which) }
    })
}

/// The document in force, as the product reads it.
pub(super) fn config(pair: &Pair) -> Result<Config> {
    let text = pair.cluster.document(&pair.wording);
    check(&text).map_err(|problems| anyhow!("the document is refused: {problems:?}"))
}

/// What the product plans for a box that is master or not, and thinks the members healthy that it `sees`.
pub(super) fn planned(
    pair: &Pair,
    config: &Config,
    which: usize,
    master: bool,
    sees: [bool; 2],
) -> Result<KernelState> {
    let members = &pair.cluster.members;
    let seen: BTreeMap<&str, bool> = members.iter().map(|member| member.name.as_str()).zip(sees).collect();
    let mut view = View::default();
    let state = if master { VrrpState::Master } else { VrrpState::Backup };
    view.vrrp.extend(config.vrrp.keys().map(|id| (id.clone(), state)));
    for service in config.services.values() {
        for server in service.servers.values() {
            let up = server.member.as_ref().is_some_and(|member| seen.get(member.as_str()) == Some(&true));
            let health = if up { Health::Up } else { Health::Down };
            view.health.insert((service.name.clone(), server.name.clone()), health);
        }
    }
    let me = members[which].name.parse().map_err(|error| anyhow!("{error}"))?;
    Ok(plan(config, &me, &view).state)
}
