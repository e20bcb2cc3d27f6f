//! What the demonstration promised, against what the clients and the switch saw.

use std::fmt;
use std::time::Duration;

use halcyon_core::moment::Moment;
use halcyon_qemu_tests::client::load::{Tally, outage};
use halcyon_qemu_tests::client::talk::Outcome;
use halcyon_qemu_tests::switch::crossings::Summary;

/// What the emulated machine is given on top of an interval for its first answer.
const GRACE: Duration = Duration::from_millis(50);

/// A request that began this long before the power cut has been answered before it; a later one may have been under way.
const UNDER_WAY: Duration = Duration::from_secs(1);

/// When what happened.
pub(crate) struct Moments {
    /// The last advertisement of the old master.
    pub(crate) last_advert: Moment,
    /// Its power was cut.
    pub(crate) cut: Moment,
    /// The new master announced the address.
    pub(crate) taken: Moment,
    /// The old master was switched on again.
    pub(crate) back: Moment,
}

/// The promises, each with what was seen.
pub(crate) struct Promises {
    facts: Vec<String>,
    list: Vec<(bool, String)>,
}

impl Promises {
    /// Judges the stream's outcomes. `allowed` is for the takeover, `pace` lies between two requests.
    pub(crate) fn judge(
        outcomes: &[Outcome],
        moments: &Moments,
        allowed: Duration,
        pace: Duration,
        crossings: &Summary,
        complaints: usize,
    ) -> Self {
        let Moments { last_advert, cut, taken, back } = *moments;
        let end = Moment::from_boot(Duration::MAX);
        let between = |from: Moment, to: Moment| -> Vec<Outcome> {
            outcomes.iter().filter(|one| one.began >= from && one.began < to).cloned().collect()
        };
        let lost = |from, to| Tally::of(&between(from, to)).lost();
        let gap = |from, to| {
            let (from, to) = outage(&between(from, to));
            to.since(from)
        };
        let takeover = taken.since(last_advert);
        let (before, under_way, until) =
            (lost(Moment::ZERO, cut - UNDER_WAY), lost(cut - UNDER_WAY, cut), lost(cut, taken));
        let (after, at_return) = (lost(taken, back), lost(back, end));
        let away = gap(cut - UNDER_WAY, back);
        let facts = vec![
            format!("requests   {}", Tally::of(outcomes)),
            format!(
                "lost       {before} in normal operation, {under_way} under way to the box that lost its power, {until} until the takeover"
            ),
            format!("           {after} after the takeover, {at_return} at the return"),
            format!("takeover   {} ms after the last advertisement", takeover.as_millis()),
            format!(
                "outage     {} ms without an answer, {} ms at the return",
                away.as_millis(),
                gap(back, end).as_millis()
            ),
            format!("crossings  at most {} of {} packets", crossings.most, crossings.packets),
        ];
        let list = vec![
            (before == 0, "no request is lost in normal operation".into()),
            (takeover <= allowed, format!("the takeover comes within {} ms", allowed.as_millis())),
            // A client that had just been accepted by the dead box cannot be saved; one that asks afterwards is.
            (after == 0, "no request fails after the takeover".into()),
            (at_return == 0, "no request fails when the old master returns".into()),
            // The first answer after the takeover comes a pace and a connection later.
            (
                away <= allowed + pace + GRACE,
                format!("the service is away for at most {} ms", (allowed + pace + GRACE).as_millis()),
            ),
            (
                crossings.most <= 1 && crossings.packets > 0,
                "no packet crosses between the boxes twice".into(),
            ),
            (
                complaints == 0,
                format!("an independent decoder accepts every advertisement ({complaints} complaints)"),
            ),
        ];
        Self { facts, list }
    }

    /// Adds a fact that no promise hangs on.
    pub(crate) fn note(&mut self, fact: String) {
        self.facts.push(fact);
    }

    /// True when every promise held.
    pub(crate) fn held(&self) -> bool {
        self.list.iter().all(|(held, _)| *held)
    }
}

impl fmt::Display for Promises {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        for fact in &self.facts {
            writeln!(f, "  {fact}")?;
        }
        writeln!(f)?;
        for (held, promise) in &self.list {
            writeln!(f, "  {} {promise}", if *held { "kept  " } else { "BROKEN" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use halcyon_qemu_tests::client::talk::Failure;
    use std::net::Ipv4Addr;

    fn at(millis: u64) -> Moment {
        Moment::from_boot(Duration::from_millis(millis))
    }

    fn judge(failed_at: Option<u64>, crossings: u32) -> Promises {
        let outcome = |began| Outcome {
            ticket: 0,
            source: Ipv4Addr::UNSPECIFIED.into(),
            began: at(began),
            took: Duration::from_millis(2),
            result: if failed_at == Some(began) { Err(Failure::Reset) } else { Ok("mira".into()) },
        };
        let outcomes: Vec<_> =
            (0..2000).step_by(25).filter(|at| !(1200..1500).contains(at)).map(outcome).collect();
        let summary = Summary { packets: 10, most: crossings, ..Summary::default() };
        let moments = Moments { last_advert: at(1190), cut: at(1200), taken: at(1490), back: at(1700) };
        Promises::judge(
            &outcomes,
            &moments,
            Duration::from_millis(390),
            Duration::from_millis(25),
            &summary,
            0,
        )
    }

    #[test]
    fn a_good_run_keeps_them_and_each_fault_breaks_one() {
        assert!(judge(None, 1).held());
        assert!(judge(Some(1175), 1).held(), "one that was under way to the dead box is excused");
        for (failed_at, crossings) in [(Some(100), 1), (Some(1600), 1), (Some(1800), 1), (None, 2)] {
            assert!(!judge(failed_at, crossings).held(), "{failed_at:?} {crossings}");
        }
    }
}
