//! Faults of the wire: which frames get lost or come late, by kind of traffic and by port, decided by the seed.

use std::time::Duration;

use super::PortId;
use super::frame::{Kind, PROTOCOL_VRRP, Summary};
use crate::seed::Seed;

/// A kind of traffic that a fault can be limited to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Traffic {
    /// Every frame.
    All,
    /// VRRP advertisements.
    Vrrp,
    /// ARP.
    Arp,
    /// IPv4 and IPv6 of this protocol number.
    Ip(u8),
    /// Everything but VRRP.
    AllButVrrp,
}

impl Traffic {
    /// Whether `frame` is of this kind.
    pub fn covers(self, frame: &Summary) -> bool {
        let protocol = match &frame.kind {
            Kind::Ip(packet) | Kind::Neighbour(packet, _) => Some(packet.id.protocol),
            Kind::Arp(_) | Kind::Other => None,
        };
        match self {
            Self::All => true,
            Self::Vrrp => protocol == Some(PROTOCOL_VRRP),
            Self::AllButVrrp => protocol != Some(PROTOCOL_VRRP),
            Self::Arp => matches!(frame.kind, Kind::Arp(_)),
            Self::Ip(number) => protocol == Some(number),
        }
    }
}

/// One fault: it strikes frames of `traffic` that go from one of `from` to one of `to` (`None`: any port).
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// Which traffic.
    pub traffic: Traffic,
    /// Where it enters.
    pub from: Option<Vec<PortId>>,
    /// Where it would leave.
    pub to: Option<Vec<PortId>>,
    /// What happens.
    pub effect: Effect,
}

/// What a fault does to a frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// Lost with this probability, 0.0..=1.0.
    Lose(f64),
    /// Late by this much, plus up to `jitter` drawn per frame.
    Delay {
        /// At least this late.
        by: Duration,
        /// At most this much later still.
        jitter: Duration,
    },
}

impl Fault {
    /// Loses all `traffic` between the two ports, both ways: a partition.
    pub fn partition(traffic: Traffic, one: PortId, other: PortId) -> Self {
        let ports = vec![one, other];
        Self { traffic, from: Some(ports.clone()), to: Some(ports), effect: Effect::Lose(1.0) }
    }

    fn strikes(&self, frame: &Summary, from: PortId, to: PortId) -> bool {
        let named =
            |ports: &Option<Vec<PortId>>, port| ports.as_ref().is_none_or(|ports| ports.contains(&port));
        self.traffic.covers(frame) && named(&self.from, from) && named(&self.to, to)
    }
}

/// The faults in force.
#[derive(Debug)]
pub struct Faults {
    list: Vec<Fault>,
    seed: Seed,
}

impl Faults {
    /// No fault; later ones draw from `seed`.
    pub fn new(seed: Seed) -> Self {
        Self { list: Vec::new(), seed }
    }

    /// Puts `faults` in force in place of those before.
    pub fn set(&mut self, faults: Vec<Fault>) {
        self.list = faults;
    }

    /// What becomes of `frame` on its way from one port to another: its delay, or `None` when it is lost.
    pub fn judge(&mut self, frame: &Summary, from: PortId, to: PortId) -> Option<Duration> {
        let mut delay = Duration::ZERO;
        for fault in self.list.iter().filter(|fault| fault.strikes(frame, from, to)) {
            match fault.effect {
                Effect::Lose(share) if self.seed.chance(share) => return None,
                Effect::Lose(_) => {}
                Effect::Delay { by, jitter } => {
                    let extra = self.seed.between(0, jitter.as_micros() as u64);
                    delay += by + Duration::from_micros(extra);
                }
            }
        }
        Some(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::switch::frame::{Mac, summarise, tests::arp, tests::udp};
    use std::net::Ipv4Addr;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
    const IP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

    #[test]
    fn a_partition_by_protocol_spares_the_rest() {
        let mut faults = Faults::new(Seed::new(1));
        faults.set(vec![Fault::partition(Traffic::Arp, PortId(1), PortId(2))]);
        let (ask, data) =
            (summarise(&arp(1, MAC, IP, IP)).unwrap(), summarise(&udp(MAC, MAC, IP, IP, 1, 64)).unwrap());
        assert_eq!(faults.judge(&ask, PortId(1), PortId(2)), None);
        assert_eq!(faults.judge(&ask, PortId(2), PortId(1)), None);
        assert_eq!(faults.judge(&ask, PortId(1), PortId(3)), Some(Duration::ZERO));
        assert_eq!(faults.judge(&data, PortId(1), PortId(2)), Some(Duration::ZERO));
    }

    #[test]
    fn delays_stay_in_their_bounds_and_loss_near_its_share() {
        let (by, jitter) = (Duration::from_millis(20), Duration::from_millis(10));
        let mut faults = Faults::new(Seed::new(2));
        faults.set(vec![
            Fault { traffic: Traffic::All, from: None, to: None, effect: Effect::Delay { by, jitter } },
            Fault { traffic: Traffic::All, from: None, to: None, effect: Effect::Lose(0.5) },
        ]);
        let frame = summarise(&udp(MAC, MAC, IP, IP, 1, 64)).unwrap();
        let fates: Vec<_> = (0..1000).filter_map(|_| faults.judge(&frame, PortId(0), PortId(1))).collect();
        assert!((400..600).contains(&fates.len()), "{} of 1000 arrived at 50 % loss", fates.len());
        assert!(fates.iter().all(|late| (by..=by + jitter).contains(late)));
    }
}
