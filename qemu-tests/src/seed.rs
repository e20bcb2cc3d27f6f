//! Reproducible chance: every drawn value of a test, and every lost frame, follows from one printed number.
//!
//! Never reads the clock or the system's randomness except in [`Seed::from_environment`].

/// The environment variable that replays a run.
pub const VARIABLE: &str = "HALCYON_SEED";

/// A stream of numbers (SplitMix64: enough for drawing test values, useless for secrets).
#[derive(Clone, Debug)]
pub struct Seed {
    state: u64,
}

impl Seed {
    /// The stream that belongs to `number`.
    pub fn new(number: u64) -> Self {
        Self { state: number }
    }

    /// The number in `HALCYON_SEED` (decimal), or one from the clock when it is not set.
    pub fn number_from_environment() -> u64 {
        std::env::var(VARIABLE).ok().and_then(|text| text.trim().parse().ok()).unwrap_or_else(|| {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            // Six digits are enough to tell runs apart and short enough to type.
            since.map_or(1, |since| u64::from(since.subsec_nanos()) % 1_000_000)
        })
    }

    /// A stream of its own for the part called `name`, so that adding a draw to one part does not shift another's.
    pub fn fork(&self, name: &str) -> Self {
        let mixed = name.bytes().fold(self.state ^ 0x5851_f42d_4c95_7f2d, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        Self { state: mixed }
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number in `low..=high`.
    ///
    /// # Panics
    /// When `low > high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "an empty range has no number to draw");
        low + self.draw() % (high - low + 1)
    }

    /// True with probability `share` (0.0 never, 1.0 always).
    pub fn chance(&mut self, share: f64) -> bool {
        ((self.draw() >> 11) as f64) < share * (1u64 << 53) as f64
    }

    /// One of `items`.
    ///
    /// # Panics
    /// When `items` is empty.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.between(0, items.len() as u64 - 1) as usize]
    }

    /// Puts `items` in a drawn order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for index in (1..items.len()).rev() {
            items.swap(index, self.between(0, index as u64) as usize);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_draws_the_same() {
        let draw = |number| {
            let mut seed = Seed::new(number).fork("addresses");
            (0..8).map(|_| seed.draw()).collect::<Vec<_>>()
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }

    #[test]
    fn chance_keeps_its_share() {
        let mut seed = Seed::new(1);
        let hits = (0..10_000).filter(|_| seed.chance(0.25)).count();
        assert!((2_300..2_700).contains(&hits), "{hits} of 10000 at 0.25");
        assert!((0..1_000).all(|_| !seed.chance(0.0)) && (0..1_000).all(|_| seed.chance(1.0)));
    }
}
