//! What was seen at both sites, and whether it was what had to be seen. Pure.

use std::fmt;

/// What clients and switch saw of a site in an act.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) asked: usize,
    pub(crate) lost: usize,
    /// The most crossings between the boxes that one packet made.
    pub(crate) crossings: u32,
    /// Frames to the virtual address for each one that a client sent.
    pub(crate) frames_each: f64,
}

/// All acts.
#[derive(Default)]
pub(crate) struct Verdict {
    acts: Vec<(&'static str, Seen, Seen)>,
    broken: Vec<String>,
}

impl Verdict {
    /// Judges an act: packets of this time to live circle in the naive set-up until it is used up, and never here.
    pub(crate) fn add(&mut self, act: &'static str, ttl: u32, naive: Seen, halcyon: Seen) {
        let mut demand = |holds: bool, complaint: String| {
            if !holds {
                self.broken.push(format!("{act}: {complaint}"));
            }
        };
        demand(
            naive.crossings >= ttl - 1 && naive.lost > 0,
            format!("no storm in the naive set-up ({naive})"),
        );
        demand(
            halcyon.asked > 0 && halcyon.lost == 0,
            format!("Halcyon lost {} of {}", halcyon.lost, halcyon.asked),
        );
        demand(halcyon.crossings <= 1, format!("a packet crossed {} times in Halcyon", halcyon.crossings));
        self.acts.push((act, naive, halcyon));
    }

    /// True when the storm was seen in every act of the naive set-up, and in none of Halcyon's.
    pub(crate) fn held(&self) -> bool {
        self.broken.is_empty() && !self.acts.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for (act, naive, halcyon) in &self.acts {
            writeln!(f, "  {act}\n    naive    {naive}\n    Halcyon  {halcyon}")?;
        }
        writeln!(f)?;
        if self.held() {
            return writeln!(f, "  kept   the storm was seen, and only in the naive set-up");
        }
        self.broken.iter().try_for_each(|complaint| writeln!(f, "  BROKEN {complaint}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_must_be_there_and_only_there() {
        let storm = Seen { asked: 100, lost: 25, crossings: 63, frames_each: 11.7 };
        let calm = Seen { asked: 100, lost: 0, crossings: 1, frames_each: 1.5 };
        let held = |ttl, naive, halcyon| {
            let mut verdict = Verdict::default();
            verdict.add("both boxes serve", ttl, naive, halcyon);
            verdict.held()
        };
        assert!(held(64, storm, calm));
        assert!(!held(255, storm, calm), "a longer life circles longer");
        assert!(!held(64, calm, calm) && !held(64, storm, storm));
        assert!(!held(64, storm, Seen { lost: 1, ..calm }));
        assert!(!Verdict::default().held(), "nothing was seen");
    }
}
