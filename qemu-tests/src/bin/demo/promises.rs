//! What the demonstration promised, against what the clients and the switch saw.

use std::fmt;
use std::time::Duration;

use halcyon_core::moment::Moment;
use halcyon_qemu_tests::client::load::{Tally, outage};
use halcyon_qemu_tests::client::talk::Outcome;
use halcyon_qemu_tests::switch::crossings::Summary;

/// What emulation is given on top of every interval.
const GRACE: Duration = Duration::from_millis(50);

/// The promises, each with what was seen.
pub(crate) struct Promises {
    facts: Vec<String>,
    list: Vec<(bool, String)>,
}

impl Promises {
    /// Judges the stream's outcomes around the moments of the power cut, the takeover and the return.
    pub(crate) fn judge(
        outcomes: &[Outcome],
        [cut, taken, back]: [Moment; 3],
        last_advert: Moment,
        master_down: Duration,
        pace: Duration,
        crossings: &Summary,
        complaints: usize,
    ) -> Self {
        let all = Tally::of(outcomes);
        let lost_between = |from: Moment, to: Moment| {
            Tally::of(
                outcomes.iter().filter(|one| one.began >= from && one.began < to && one.result.is_err()),
            )
            .lost()
        };
        let end = Moment::from_boot(Duration::MAX);
        let (from, to) = outage(outcomes);
        let (takeover, away) = (taken.since(last_advert), to.since(from));
        let limit = master_down + master_down / 10 + GRACE;
        let (before, during) = (lost_between(Moment::ZERO, cut), lost_between(cut, taken));
        let (after, at_return) = (lost_between(taken, back), lost_between(back, end));
        let facts = vec![
            format!("requests   {all}"),
            format!(
                "lost       {before} before the cut, {during} until the takeover, {after} after it, {at_return} at the return"
            ),
            format!("takeover   {} ms after the last advertisement", takeover.as_millis()),
            format!("outage     {} ms without an answer", away.as_millis()),
            format!("crossings  at most {} of {} packets", crossings.most, crossings.packets),
        ];
        let list = vec![
            (before == 0, "no request is lost in normal operation".into()),
            (takeover <= limit, format!("the takeover comes within {} ms", limit.as_millis())),
            // A client that had just been accepted by the dead box cannot be saved; one that asks afterwards is.
            (after == 0, "no request fails after the takeover".into()),
            (at_return == 0, "no request fails when the old master returns".into()),
            // The first answer after the takeover comes a pace and a connection later.
            (
                away <= limit + pace + GRACE,
                format!("the service is away for at most {} ms", (limit + pace + GRACE).as_millis()),
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
            source: Ipv4Addr::UNSPECIFIED,
            began: at(began),
            took: Duration::from_millis(2),
            result: if failed_at == Some(began) { Err(Failure::Reset) } else { Ok("mira".into()) },
        };
        let outcomes: Vec<_> =
            (0..1000).step_by(25).filter(|at| !(200..500).contains(at)).map(outcome).collect();
        let summary = Summary { packets: 10, most: crossings, ..Summary::default() };
        let moments = [at(200), at(490), at(700)];
        Promises::judge(
            &outcomes,
            moments,
            at(190),
            Duration::from_millis(310),
            Duration::from_millis(25),
            &summary,
            0,
        )
    }

    #[test]
    fn a_good_run_keeps_them_and_each_fault_breaks_one() {
        assert!(judge(None, 1).held());
        for (failed_at, crossings) in [(Some(100), 1), (Some(600), 1), (Some(800), 1), (None, 2)] {
            assert!(!judge(failed_at, crossings).held(), "{failed_at:?} {crossings}");
        }
    }
}
