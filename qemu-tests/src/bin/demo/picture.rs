//! The live picture: who is master, who serves how much, how many requests were lost.

use std::fmt::Write;
use std::io::Write as _;
use std::time::{Duration, Instant};

use halcyon_core::moment::Moment;
use halcyon_qemu_tests::client::load::Tally;
use halcyon_qemu_tests::client::talk::Outcome;

/// What the shares and the rate are taken over.
const RECENT: Duration = Duration::from_secs(2);

/// Width of a bar of 100 %.
const BAR: usize = 40;

/// Everything in the picture.
pub(crate) struct Scene {
    act: &'static str,
    elapsed: Duration,
    boxes: [Seat; 2],
    rate: f64,
    requests: usize,
    lost: usize,
    crossings: u32,
}

struct Seat {
    name: String,
    state: String,
    share: f64,
}

impl Scene {
    /// The scene at `now`.
    pub(crate) fn of(
        now: Moment,
        act: &'static str,
        names: [&str; 2],
        states: &[String; 2],
        outcomes: &[Outcome],
        crossings: u32,
    ) -> Self {
        let recent =
            Tally::of(outcomes.iter().rev().take_while(|outcome| now.since(outcome.ended()) <= RECENT));
        let all = Tally::of(outcomes);
        let seat = |which: usize| Seat {
            name: names[which].into(),
            state: states[which].clone(),
            share: recent.share(names[which]),
        };
        Self {
            act,
            elapsed: now.since_boot(),
            boxes: [seat(0), seat(1)],
            rate: (recent.requests - recent.lost()) as f64 / RECENT.as_secs_f64(),
            requests: all.requests,
            lost: all.lost(),
            crossings,
        }
    }

    fn lines(&self) -> String {
        let mut text = format!("  {:>5.1} s  {}\n", self.elapsed.as_secs_f64(), self.act);
        for seat in &self.boxes {
            let sign = if seat.state == "master" { '●' } else { '○' };
            let bar = "█".repeat((seat.share * BAR as f64).round() as usize);
            let (name, state, share) = (&seat.name, &seat.state, seat.share * 100.0);
            let _ = writeln!(text, "  {sign} {name:<8} {state:<9} {share:>4.0} % {bar:<BAR$}");
        }
        let (rate, requests, lost, crossings) = (self.rate, self.requests, self.lost, self.crossings);
        let _ = writeln!(
            text,
            "  {rate:.0} answers/s · {requests} requests · {lost} lost · at most {crossings} crossings a packet"
        );
        text
    }

    fn line(&self) -> String {
        let seat = |seat: &Seat| format!("{} {} {:.0} %", seat.name, seat.state, seat.share * 100.0);
        let [first, second] = &self.boxes;
        format!(
            "{:>6.1} s  {} | {} | {} | {:.0}/s, {} requests, {} lost, crossings {}",
            self.elapsed.as_secs_f64(),
            self.act,
            seat(first),
            seat(second),
            self.rate,
            self.requests,
            self.lost,
            self.crossings
        )
    }
}

/// Where the picture is drawn.
pub(crate) struct Canvas {
    terminal: bool,
    drawn: usize,
    next: Instant,
    act: &'static str,
}

impl Canvas {
    /// A terminal is drawn on in place; anything else gets lines.
    pub(crate) fn new(terminal: bool) -> Self {
        Self { terminal, drawn: 0, next: Instant::now(), act: "" }
    }

    /// Whether it is time for the next picture.
    pub(crate) fn is_due(&self) -> bool {
        Instant::now() >= self.next
    }

    /// Draws the scene.
    pub(crate) fn draw(&mut self, scene: &Scene) {
        let mut out = std::io::stdout().lock();
        // A closed output ends the demonstration by itself, at the summary.
        let _ = if self.terminal {
            let text = scene.lines();
            // Back to where the last picture began, and over it.
            let back = if self.drawn > 0 && self.act == scene.act {
                format!("\x1b[{}A", self.drawn)
            } else {
                String::new()
            };
            self.drawn = text.lines().count();
            write!(out, "{back}{}", text.replace('\n', "\x1b[K\n"))
        } else {
            writeln!(out, "{}", scene.line())
        };
        let _ = out.flush();
        let pause = if self.terminal { Duration::from_millis(250) } else { Duration::from_secs(2) };
        self.act = scene.act;
        self.next = Instant::now() + pause;
    }

    /// Leaves the last picture standing.
    pub(crate) fn end(&mut self) {
        self.drawn = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn the_picture_tells_master_shares_and_losses() {
        let at = |millis| Moment::from_boot(Duration::from_millis(millis));
        let outcome = |name: &str| Outcome {
            ticket: 0,
            source: Ipv4Addr::UNSPECIFIED.into(),
            began: at(9_000),
            took: Duration::from_millis(3),
            result: Ok(name.into()),
        };
        let outcomes = [outcome("mira"), outcome("mira"), outcome("mira"), outcome("vega")];
        let states = ["master".to_owned(), "backup".to_owned()];
        let scene = Scene::of(at(10_000), "both serve", ["mira", "vega"], &states, &outcomes, 1);
        assert_eq!(
            scene.line(),
            "  10.0 s  both serve | mira master 75 % | vega backup 25 % | 2/s, 4 requests, 0 lost, crossings 1"
        );
        assert!(scene.lines().contains("● mira     master      75 % ██████████████████████████████ "));
    }
}
