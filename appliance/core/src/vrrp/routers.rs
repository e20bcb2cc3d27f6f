//! All virtual routers of a box: finds the [`Instance`] that an event is for, and keeps what is known of the links for
//! instances that come later.
//!
//! It decides nothing about states; that is [`machine`](super::machine)'s. It never sends or waits.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use super::machine::{Action, Event, Instance, Link, Start};
use super::settings::Settings;
use super::statistics::Statistics;
use super::wire::{Malformed, Packet};
use crate::config::types::{Family, InstanceId, LinkName};
use crate::moment::Moment;
use crate::plan::VrrpState;

/// The virtual routers of a box.
#[derive(Clone, Debug, Default)]
pub struct Routers {
    instances: BTreeMap<InstanceId, Instance>,
    links: BTreeMap<(LinkName, Family), Link>,
    answering: BTreeSet<IpAddr>,
    actions: VecDeque<(InstanceId, Action)>,
    unknown: BTreeMap<LinkName, u64>,
}

/// What can be told about one virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its settings.
    pub settings: Settings,
    /// Its state.
    pub state: VrrpState,
    /// The master that it follows as backup.
    pub master: Option<IpAddr>,
    /// It has handed over and does not preempt.
    pub holds: bool,
    /// Its counters.
    pub statistics: Statistics,
}

impl Routers {
    /// Makes these the virtual routers of the box. Those that are there keep their state, those that are new begin as
    /// `start` says, those that are gone stop.
    pub fn configure(&mut self, all: Vec<Settings>, start: impl Fn(&InstanceId) -> Start, now: Moment) {
        let mut before = std::mem::take(&mut self.instances);
        for settings in all {
            let id = settings.id.clone();
            let instance = match before.remove(&id) {
                Some(mut instance) => {
                    instance.reconfigure(settings, now);
                    instance
                }
                None => Instance::new(settings, start(&id), now),
            };
            self.instances.insert(id.clone(), instance);
            self.tell(&id, Event::Answering(self.answering.clone()), now);
            let port = (id.interface.clone(), self.instances[&id].settings().family());
            if let Some(link) = self.links.get(&port) {
                self.tell(&id, Event::Link(*link), now);
            }
        }
        for (id, mut gone) in before {
            gone.handle(Event::Stop, now);
            self.collect(id, gone);
        }
    }

    /// What is known of `interface` for virtual routers of `family`; may be repeated.
    pub fn link(&mut self, interface: &LinkName, family: Family, link: Link, now: Moment) {
        self.links.insert((interface.clone(), family), link);
        let here = |(id, instance): &(&InstanceId, &Instance)| {
            id.interface == *interface && instance.settings().family() == family
        };
        let here: Vec<_> = self.instances.iter().filter(here).map(|(id, _)| id.clone()).collect();
        for id in here {
            self.tell(&id, Event::Link(link), now);
        }
    }

    /// Which fellow directors answer pings; see [`Event::Answering`].
    pub fn answering(&mut self, answering: BTreeSet<IpAddr>, now: Moment) {
        self.answering = answering;
        self.tell_all(&Event::Answering(self.answering.clone()), now);
    }

    /// A packet of IP protocol 112 arrived on `interface`, or something that is none.
    pub fn receive(&mut self, interface: &LinkName, packet: Result<Packet<'_>, Malformed>, now: Moment) {
        let found = packet.ok().and_then(|packet| {
            let id = InstanceId { interface: interface.clone(), vrid: packet.vrid()? };
            // The number is one family's here; the other's may be counted for itself elsewhere (RFC 9568 §5.2.3).
            let family = Family::of(packet.source);
            self.instances.get(&id).filter(|instance| instance.settings().family() == family)?;
            let mut instance = self.instances.remove(&id)?;
            instance.receive(&packet, now);
            Some((id, instance))
        });
        match found {
            Some((id, instance)) => {
                let instance = self.collect(id.clone(), instance);
                self.instances.insert(id, instance);
            }
            // Another virtual router of the segment, or noise: no affair of this box, but worth a number.
            None => *self.unknown.entry(interface.clone()).or_default() += 1,
        }
    }

    /// Lets every timer expire that is due.
    pub fn expire(&mut self, now: Moment) {
        let due = |instance: &Instance| instance.poll_timeout().is_some_and(|(at, _)| at <= now);
        let due: Vec<_> = self.instances.iter().filter(|(_, i)| due(i)).map(|(id, _)| id.clone()).collect();
        for id in due {
            self.tell(&id, Event::Timeout, now);
        }
    }

    /// When [`expire`](Self::expire) is wanted.
    pub fn poll_timeout(&self) -> Option<Moment> {
        self.instances.values().filter_map(|instance| Some(instance.poll_timeout()?.0)).min()
    }

    /// Tells one virtual router; does nothing when there is none of that name.
    pub fn tell(&mut self, id: &InstanceId, event: Event, now: Moment) {
        let Some(mut instance) = self.instances.remove(id) else { return };
        instance.handle(event, now);
        let instance = self.collect(id.clone(), instance);
        self.instances.insert(id.clone(), instance);
    }

    /// Tells every virtual router.
    pub fn tell_all(&mut self, event: &Event, now: Moment) {
        let all: Vec<_> = self.instances.keys().cloned().collect();
        for id in all {
            self.tell(&id, event.clone(), now);
        }
    }

    /// The next thing to do, in order; to be called until `None` after every other call.
    pub fn poll_action(&mut self) -> Option<(InstanceId, Action)> {
        self.actions.pop_front()
    }

    /// The interfaces that have a virtual router, with its family.
    pub fn interfaces(&self) -> BTreeSet<(LinkName, Family)> {
        let port =
            |(id, instance): (&InstanceId, &Instance)| (id.interface.clone(), instance.settings().family());
        self.instances.iter().map(port).collect()
    }

    /// What can be told, by virtual router.
    pub fn report(&self) -> BTreeMap<InstanceId, Report> {
        let report = |instance: &Instance| Report {
            settings: instance.settings().clone(),
            state: instance.state(),
            master: instance.master(),
            holds: instance.holds(),
            statistics: instance.statistics().clone(),
        };
        self.instances.iter().map(|(id, instance)| (id.clone(), report(instance))).collect()
    }

    /// Packets that no virtual router of this box was meant by, by interface.
    pub fn unknown(&self) -> &BTreeMap<LinkName, u64> {
        &self.unknown
    }

    fn collect(&mut self, id: InstanceId, mut instance: Instance) -> Instance {
        while let Some(action) = instance.poll_action() {
            self.actions.push_back((id.clone(), action));
        }
        instance
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::Duration;

    use super::*;
    use crate::config::types::{Priority, Vrid};
    use crate::vrrp::wire::{Addresses, Coverage, Form, GROUP, PROTOCOL};

    fn settings(interface: &str, vrid: u8) -> Settings {
        Settings {
            id: InstanceId { interface: interface.parse().unwrap(), vrid: Vrid::new(vrid).unwrap() },
            priority: Priority::new(100).unwrap(),
            interval: Duration::from_secs(1),
            addresses: Addresses::new(vec![Ipv4Addr::new(10, 0, 0, vrid)]).unwrap(),
            preempt: true,
            preempt_delay: Duration::ZERO,
            form: Form::V3 { checksum: Coverage::Message },
        }
    }

    fn datagram(settings: &Settings, priority: u8) -> Vec<u8> {
        let source = Ipv4Addr::new(10, 0, 0, 201);
        let message = settings.advert(priority).emit(source.into());
        let total = u16::try_from(20 + message.len()).unwrap().to_be_bytes();
        let header = [0x45, 0xc0, total[0], total[1], 0, 0, 0, 0, 255, PROTOCOL, 0, 0];
        [&header[..], &source.octets(), &GROUP.octets(), &message].concat()
    }

    fn up() -> Link {
        Link::Up { primary: [10, 0, 0, 200].into() }
    }

    fn states(routers: &Routers) -> Vec<(String, VrrpState)> {
        routers.report().into_iter().map(|(id, report)| (id.to_string(), report.state)).collect()
    }

    #[test]
    fn each_is_told_what_concerns_it() {
        use VrrpState::{Backup, Init, Master};
        let (lan, wan) = ("lan".parse().unwrap(), "wan".parse().unwrap());
        let now = Moment::ZERO + Duration::from_secs(9);
        let mut routers = Routers::default();
        routers.link(&lan, Family::Ipv4, up(), now);
        let all = vec![settings("lan", 1), settings("lan", 2), settings("wan", 1)];
        routers.configure(all.clone(), |_| Start::Resume { last_advert: now }, now);
        let expected = [("lan/1", Master), ("lan/2", Master), ("wan/1", Init)];
        assert_eq!(states(&routers), expected.map(|(id, state)| (id.to_owned(), state)));
        routers.receive(&lan, Packet::from_ip(&datagram(&all[1], 200)), now);
        routers.receive(&wan, Packet::from_ip(&datagram(&all[0], 200)), now);
        routers.receive(&wan, Packet::from_ip(&datagram(&settings("wan", 9), 200)), now);
        routers.receive(&wan, Packet::from_ip(&[0; 5]), now);
        let expected = [("lan/1", Master), ("lan/2", Backup), ("wan/1", Init)];
        assert_eq!(states(&routers), expected.map(|(id, state)| (id.to_owned(), state)));
        assert_eq!(routers.unknown(), &BTreeMap::from([(wan, 2)]));
    }

    #[test]
    fn another_document_stops_what_is_gone_and_touches_nothing_else() {
        let lan = "lan".parse().unwrap();
        let now = Moment::ZERO + Duration::from_secs(9);
        let mut routers = Routers::default();
        routers.configure(
            vec![settings("lan", 1), settings("lan", 2)],
            |_| Start::Resume { last_advert: now },
            now,
        );
        routers.link(&lan, Family::Ipv4, up(), now);
        while routers.poll_action().is_some() {}
        routers.configure(vec![settings("lan", 2), settings("lan", 3)], |_| Start::Fresh, now);
        let done: Vec<_> = std::iter::from_fn(|| routers.poll_action())
            .map(|(id, action)| match action {
                Action::Send(advert) => format!("{id} send {}", advert.priority),
                Action::Changed { from, to, .. } => format!("{id} {from:?} → {to:?}"),
                other => format!("{id} {other:?}"),
            })
            .collect();
        assert_eq!(done, ["lan/3 Init → Backup", "lan/1 send 0", "lan/1 Master → Init"]);
        assert_eq!(states(&routers).len(), 2);
    }

    #[test]
    fn the_earliest_timer_counts_and_all_that_are_due_expire() {
        let (lan, now) = ("lan".parse().unwrap(), Moment::ZERO);
        let mut routers = Routers::default();
        assert_eq!(routers.poll_timeout(), None);
        let slow = Settings { interval: Duration::from_secs(10), ..settings("lan", 2) };
        routers.configure(vec![settings("lan", 1), slow], |_| Start::Fresh, now);
        routers.link(&lan, Family::Ipv4, up(), now);
        let first = routers.poll_timeout().unwrap();
        assert_eq!(first.since_boot(), Duration::from_nanos(3_609_375_000));
        routers.expire(first);
        assert_eq!(states(&routers)[0].1, VrrpState::Master);
        assert_eq!(states(&routers)[1].1, VrrpState::Backup);
        routers.expire(first + Duration::from_secs(60));
        assert_eq!(states(&routers)[1].1, VrrpState::Master);
    }
}
