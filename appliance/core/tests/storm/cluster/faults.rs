//! What goes wrong, or is done, from time to time.

use std::time::Duration;

use halcyon_core::node;
use halcyon_core::vrrp::machine::Event;

use super::world::World;
use crate::documents::member;

impl World {
    /// One fault, or the end of one, drawn by lot.
    pub(crate) fn befall(&mut self) {
        let number = usize::try_from(self.chance(self.machines.len() as u64)).unwrap_or(0);
        let now = self.now;
        let name = member(number);
        match self.chance(14) {
            0 => {
                self.loss = u8::try_from(self.chance(200)).unwrap_or(0);
                let loss = self.loss;
                self.note(|| format!("loss {loss}/256"));
            }
            1 => {
                self.delay = Duration::from_millis(self.chance(400));
                let delay = self.delay;
                self.note(|| format!("delay up to {delay:?}"));
            }
            2 => {
                self.loss = 0;
                self.delay = Duration::ZERO;
                self.part(|_| 0);
                self.note(|| "the wire is whole".into());
            }
            3 | 4 => {
                let bits = self.chance(8);
                self.part(|n| u8::from(bits >> n & 1 == 1));
                self.note(|| format!("partition {bits:03b}"));
            }
            5 if self.machines[number].alive => {
                self.machines[number].kill();
                let station = &mut self.cluster.stations[number];
                station.entries.clear();
                station.templates.clear();
                station.sockets.clear();
                self.refresh(number);
                self.note(|| format!("{name} loses power"));
            }
            6..=8 if !self.machines[number].alive => {
                self.machines[number].boot(&self.documents, now);
                self.refresh(number);
                self.note(|| format!("{name} boots"));
            }
            6 => {
                self.machines[number].crash();
                self.machines[number].starts_at = Some(now + Duration::from_millis(self.chance(3000)));
                self.note(|| format!("the engine of {name} crashes"));
            }
            7 => {
                let pause = Duration::from_millis(self.chance(2000));
                self.machines[number].stalled_until = now + pause;
                self.note(|| format!("the engine of {name} stalls for {pause:?}"));
            }
            8 | 9 => {
                let app = !self.machines[number].app;
                self.machines[number].app = app;
                if !app {
                    self.cluster.stations[number].sockets.clear();
                }
                self.refresh(number);
                self.note(|| format!("the application of {name} {}", if app { "starts" } else { "dies" }));
            }
            10 | 11 => {
                let document = usize::try_from(self.chance(self.documents.len() as u64)).unwrap_or(0);
                self.machines[number].configure(&self.documents, document, now);
                self.refresh(number);
                self.note(|| format!("{name} gets document {document}"));
            }
            12 => {
                let wishes = self.machines[number].tell_vrrp(Event::HandOver, now);
                self.grant(number, wishes);
                self.note(|| format!("{name} hands over"));
            }
            _ => {
                self.machines[number].leaving = self.machines[number].alive;
                let wishes = self.machines[number].tell(node::Event::Leaving, now);
                self.grant(number, wishes);
                self.note(|| format!("{name} is about to stop"));
            }
        }
    }

    fn part(&mut self, group: impl Fn(usize) -> u8) {
        for number in 0..self.machines.len() {
            self.group[number] = group(number);
            self.refresh(number);
        }
    }
}
