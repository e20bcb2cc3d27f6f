//! Who claims which address by ARP or by neighbour advertisements, over time: announcements after a takeover, and two claimants at once.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use halcyon_core::moment::Moment;

use super::PortId;
use super::frame::{Arp, Mac, NeighbourAdvert};

/// One claim of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// When the frame came in.
    pub at: Moment,
    /// Who claims, by the message (not by the frame's source).
    pub mac: Mac,
    /// Where it came in.
    pub port: PortId,
    /// Gratuitous: sent to tell everyone, not to ask or answer.
    pub announcement: bool,
}

/// All claims seen. Clients that only ask from their own address fill it by a few entries each.
#[derive(Debug, Default)]
pub struct Claims {
    by_address: BTreeMap<IpAddr, Vec<Claim>>,
}

impl Claims {
    /// Enters an ARP message in the books. Probes from 0.0.0.0 claim nothing.
    pub fn saw(&mut self, arp: &Arp, port: PortId, at: Moment) {
        if arp.sender_ip.is_unspecified() {
            return;
        }
        let claim = Claim { at, mac: arp.sender, port, announcement: arp.is_announcement() };
        self.by_address.entry(arp.sender_ip.into()).or_default().push(claim);
    }

    /// Enters a neighbour advertisement in the books.
    pub fn advertised(&mut self, advert: &NeighbourAdvert, port: PortId, at: Moment) {
        let claim = Claim { at, mac: advert.mac, port, announcement: !advert.solicited };
        self.by_address.entry(advert.target.into()).or_default().push(claim);
    }

    /// The claims of `address` from `since` on, oldest first.
    pub fn of(&self, address: impl Into<IpAddr>, since: Moment) -> impl Iterator<Item = &Claim> {
        self.by_address.get(&address.into()).into_iter().flatten().filter(move |claim| claim.at >= since)
    }

    /// The first announcement of `address` from `since` on.
    pub fn announced(&self, address: impl Into<IpAddr>, since: Moment) -> Option<&Claim> {
        self.of(address, since).find(|claim| claim.announcement)
    }

    /// Everyone who claimed `address` from `since` on: two of them are a duplicate address, or a takeover in between.
    pub fn claimants(&self, address: impl Into<IpAddr>, since: Moment) -> BTreeSet<Mac> {
        self.of(address, since).map(|claim| claim.mac).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use std::time::Duration;

    const VIP: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);

    fn at(millis: u64) -> Moment {
        Moment::from_boot(Duration::from_millis(millis))
    }

    fn claim(sender: u8, target_ip: Ipv4Addr) -> Arp {
        Arp { operation: 1, sender: Mac([2, 0, 0, 0, 0, sender]), sender_ip: VIP, target_ip }
    }

    #[test]
    fn a_takeover_is_seen_by_its_announcement() {
        let mut claims = Claims::default();
        claims.saw(&claim(1, VIP), PortId(1), at(10));
        claims.saw(&claim(2, Ipv4Addr::new(10, 0, 0, 1)), PortId(2), at(20));
        claims.saw(&claim(2, VIP), PortId(2), at(30));
        let seen = claims.announced(VIP, at(15)).expect("an announcement");
        assert_eq!((seen.at, seen.port), (at(30), PortId(2)));
        assert_eq!(claims.claimants(VIP, at(0)).len(), 2);
        assert_eq!(claims.claimants(VIP, at(15)).len(), 1);
    }

    #[test]
    fn a_probe_claims_nothing() {
        let mut claims = Claims::default();
        let probe = Arp { sender_ip: Ipv4Addr::UNSPECIFIED, ..claim(1, VIP) };
        claims.saw(&probe, PortId(1), at(1));
        assert_eq!(claims.of(Ipv4Addr::UNSPECIFIED, at(0)).count(), 0);
    }
}
