//! The set-ups that are measured, and what is promised of each.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use halcyon_qemu_tests::pair::Pair;
use halcyon_qemu_tests::seed::Seed;
use halcyon_qemu_tests::storm::cost::{self, Cost};
use halcyon_qemu_tests::storm::site::{Make, Site};
use halcyon_qemu_tests::storm::walk::{ASKED, Found, Walk};
use halcyon_qemu_tests::wording::{Strategy, Wording};

/// Advertisements four times a second: a busy host makes no false alarm, and nobody waits long.
const INTERVAL: Duration = Duration::from_millis(250);

/// Boxes of one make with one strategy.
pub(crate) struct Setup {
    /// As the table and the command line call it.
    pub(crate) name: &'static str,
    pub(crate) make: Make,
    pub(crate) strategy: Strategy,
    /// How many boxes.
    pub(crate) size: usize,
    /// Healthy boxes are promised equal shares.
    pub(crate) balanced: bool,
    /// Promises are judged; otherwise the loop must show.
    pub(crate) judged: bool,
}

const WEIGHTS: Setup = Setup {
    name: "weights",
    make: Make::Halcyon,
    strategy: Strategy::Weights,
    size: 2,
    balanced: true,
    judged: true,
};

/// All of them, in the order of the table.
pub(crate) const SETUPS: &[Setup] = &[
    WEIGHTS,
    Setup { name: "standby", strategy: Strategy::STANDBY, balanced: false, ..WEIGHTS },
    Setup { name: "second-nic", strategy: Strategy::SecondNic { fallback: "lan" }, ..WEIGHTS },
    Setup { name: "three", size: 3, ..WEIGHTS },
    Setup { name: "naive", make: Make::Naive, judged: false, ..WEIGHTS },
];

/// As the command line calls what the guard costs.
pub(crate) const COST: &str = "cost";

/// Requests in a round of measuring that cost, and rounds each way.
const ROUND: usize = 500;
const ROUNDS: usize = 201;

/// Boots a pair and measures what the guard's rules cost its director.
pub(crate) fn cost(seed: &Seed, logs: &Path) -> Result<Cost> {
    let mut pair = Pair::new(seed, Make::Halcyon.wording(INTERVAL), logs)?;
    pair.boot().context("booting")?;
    cost::measure(&mut pair, ROUNDS, ROUND)
}

impl Setup {
    /// Boots the boxes and walks them through the states.
    pub(crate) fn measure(&self, seed: &Seed, logs: &Path, tell: &mut dyn FnMut(Found)) -> Result<()> {
        let mut site = Site::new(seed, self.make, self.size, self.wording(), logs)?;
        let result =
            site.boot().context("booting").and_then(|()| Walk::new(&mut site, seed, ASKED, tell).all());
        site.pair.keep_capture()?;
        result
    }

    fn wording(&self) -> Wording {
        Wording { strategy: self.strategy, ..self.make.wording(INTERVAL) }
    }
}
