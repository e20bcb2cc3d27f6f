//! A cluster from a seed: addresses, hardware addresses, names, VRID and port.
//!
//! Every test draws its own, so that nothing in the product can come to know a fixed one. What its document says beside
//! them is in [`crate::wording`].

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use crate::seed::Seed;
use crate::switch::frame::Mac;
use crate::wording::Wording;

/// Client machines of every cluster.
pub const CLIENTS: usize = 40;

/// Client machines beside them: as many again, and some more.
pub const GUESTS: usize = CLIENTS + 20;

/// Length of the prefix of the clients' segment in IPv6.
pub const IPV6_PREFIX: u8 = 64;

const NAMES: [&str; 12] = [
    "castor", "pollux", "vega", "altair", "deneb", "rigel", "mira", "spica", "atlas", "maia", "electra",
    "merope",
];
const LINKS: [&str; 4] = ["lan", "front", "shop", "floor"];
const BACK_LINKS: [&str; 3] = ["back", "inner", "ring"];
const SERVICES: [&str; 4] = ["pos", "gateway", "till", "orders"];

/// A drawn cluster of two members or more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its name.
    pub name: String,
    /// The logical name of the clients' segment.
    pub link: String,
    /// The logical name of the segment between the boxes, where the strategy has one.
    pub back_link: String,
    /// The members, by falling priority.
    pub members: Vec<Member>,
    /// The virtual address.
    pub vip: Ipv4Addr,
    /// The segment's prefix length.
    pub prefix: u8,
    /// The segment's IPv6 network, of [`IPV6_PREFIX`] bits.
    pub ipv6_network: Ipv6Addr,
    /// The gateway's address.
    pub gateway: Ipv4Addr,
    /// The gateway's hardware address.
    pub gateway_mac: Mac,
    /// Virtual router identifier.
    pub vrid: u8,
    /// The service's name.
    pub service: String,
    /// The service's port.
    pub port: u16,
    /// Client machines.
    pub clients: Vec<(Mac, Ipv4Addr)>,
    /// More of them, for what must not leave traces under the addresses of the others.
    pub guests: Vec<(Mac, Ipv4Addr)>,
}

/// A drawn member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its name, which is its host name.
    pub name: String,
    /// Its card's permanent address.
    pub mac: Mac,
    /// Its own address.
    pub address: Ipv4Addr,
    /// Permanent address of its second card, on the segment between the boxes or of a bond.
    pub back_mac: Mac,
    /// Its own address there.
    pub back_address: Ipv4Addr,
    /// VRRP priority.
    pub priority: u8,
}

impl Cluster {
    /// Draws one of two members.
    pub fn draw(seed: &Seed) -> Self {
        Self::draw_of(seed, 2)
    }

    /// Draws one of `size` members.
    ///
    /// # Panics
    /// When `size` is less than 2 or more than there are names.
    pub fn draw_of(seed: &Seed, size: usize) -> Self {
        let mut seed = seed.fork("cluster");
        let network = match seed.between(0, 2) {
            0 => Ipv4Addr::new(10, seed.between(0, 255) as u8, seed.between(0, 255) as u8, 0),
            1 => Ipv4Addr::new(172, seed.between(16, 31) as u8, seed.between(0, 255) as u8, 0),
            _ => Ipv4Addr::new(192, 168, seed.between(1, 255) as u8, 0),
        };
        let prefix = seed.between(22, 25) as u8;
        // The first 126 addresses behind a /24 boundary lie inside any prefix up to /25.
        let mut hosts: Vec<u8> = (1..=126).collect();
        seed.shuffle(&mut hosts);
        let base = network.octets();
        let mut hosts = hosts.into_iter().map(|host| Ipv4Addr::new(base[0], base[1], base[2], host));
        let mut address = move || hosts.next().expect("a cluster needs fewer than 126 addresses");
        let vendor =
            [2 | (seed.between(0, 63) as u8) << 2, seed.draw() as u8, seed.draw() as u8, seed.draw() as u8];
        let mut count = seed.between(0, 20_000) as u16;
        let mut mac = move || {
            count += 1;
            let [high, low] = count.to_be_bytes();
            Mac([vendor[0], vendor[1], vendor[2], vendor[3], high, low])
        };
        let mut names = NAMES;
        seed.shuffle(&mut names);
        let low = seed.between(NAMES.len() as u64, 253) as u8;
        let high = seed.between(u64::from(low) + 1, 254) as u8;
        // Drawn apart, so that a cluster is the same one with a second segment and without.
        let mut apart = seed.fork("back");
        let back =
            Ipv4Addr::new(198, 18 + apart.between(0, 1) as u8, apart.between(0, 255) as u8, 0).octets();
        let mut back_host = apart.between(1, 200) as u8;
        let mut member = |name: &str, priority| {
            let mac = mac();
            back_host += 1;
            Member {
                name: name.into(),
                mac,
                address: address(),
                // Numbers of the other cards stay far below the highest bit.
                back_mac: Mac([mac.0[0], mac.0[1], mac.0[2], mac.0[3], mac.0[4] | 0x80, mac.0[5]]),
                back_address: Ipv4Addr::new(back[0], back[1], back[2], back_host),
                priority,
            }
        };
        let mut members = vec![member(names[0], high), member(names[1], low)];
        for (behind, name) in (1..).zip(&names[2..size]) {
            members.push(member(name, low - behind));
        }
        Self {
            name: format!("site-{:04}", seed.between(0, 9999)),
            link: (*seed.pick(&LINKS)).into(),
            back_link: (*apart.pick(&BACK_LINKS)).into(),
            members,
            vip: address(),
            gateway: address(),
            gateway_mac: mac(),
            prefix,
            ipv6_network: unique_local(&mut seed.fork("ipv6")),
            vrid: seed.between(1, 255) as u8,
            service: (*seed.pick(&SERVICES)).into(),
            // Not where the boxes' own services may be, and below the range of source ports.
            port: seed.between(1_024, 9_000) as u16,
            clients: (0..CLIENTS).map(|_| (mac(), address())).collect(),
            guests: (0..GUESTS).map(|_| (mac(), address())).collect(),
        }
    }

    /// The IPv6 address of whoever has this IPv4 address: a number of the same network that holds it.
    pub fn ipv6(&self, address: Ipv4Addr) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.ipv6_network.to_bits() | u128::from(address.to_bits()))
    }

    /// How long the member waits for advertisements before it takes over: Master_Down_Interval, RFC 9568 §6.1 and
    /// RFC 3768 §6.1.
    pub fn master_down_interval(&self, member: usize, wording: &Wording) -> Duration {
        3 * wording.interval + self.skew_time(member, wording)
    }

    /// The member's Skew_Time; version 2 counts it in seconds, whatever the interval.
    pub fn skew_time(&self, member: usize, wording: &Wording) -> Duration {
        let unit = if wording.version == 2 { Duration::from_secs(1) } else { wording.interval };
        unit * (256 - u32::from(self.members[member].priority)) / 256
    }
}

/// A network of the range that everyone may draw their own from (RFC 4193 §3.1).
fn unique_local(seed: &mut Seed) -> Ipv6Addr {
    let drawn = seed.draw().to_be_bytes();
    let network =
        u64::from_be_bytes([0xfd, drawn[0], drawn[1], drawn[2], drawn[3], drawn[4], drawn[5], drawn[6]]);
    Ipv6Addr::from_bits(u128::from(network) << 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_address_is_drawn_twice() {
        for number in 0..200 {
            let cluster = Cluster::draw_of(&Seed::new(number), 2 + number as usize % 3);
            let own = cluster.members.iter().map(|member| (member.mac, member.address));
            let back = cluster.members.iter().map(|member| (member.back_mac, member.back_address));
            let members = own.chain(back);
            let all: Vec<_> = members
                .chain(cluster.clients.iter().chain(&cluster.guests).copied())
                .chain([(cluster.gateway_mac, cluster.gateway)])
                .collect();
            let macs: BTreeSet<_> = all.iter().map(|one| one.0).collect();
            let ips: BTreeSet<_> = all.iter().map(|one| one.1).chain([cluster.vip]).collect();
            assert_eq!((macs.len(), ips.len()), (all.len(), all.len() + 1), "seed {number}");
            assert!(macs.iter().all(|mac| !mac.is_group()), "seed {number}");
            let falling = cluster.members.is_sorted_by(|one, next| one.priority > next.priority);
            assert!(falling && cluster.members[1].priority > 0, "seed {number}");
        }
    }

    #[test]
    fn ipv6_addresses_are_the_others_in_a_network_of_their_own() {
        let cluster = Cluster::draw(&Seed::new(1));
        let six = cluster.ipv6(cluster.vip);
        assert!(six.is_unique_local(), "{six}");
        assert_eq!(six.to_bits() as u32, cluster.vip.to_bits());
        assert_ne!(six, cluster.ipv6(cluster.gateway));
        assert_ne!(cluster.ipv6_network, Cluster::draw(&Seed::new(2)).ipv6_network);
    }

    #[test]
    fn the_interval_of_silence_is_the_standards() {
        let mut cluster = Cluster::draw(&Seed::new(1));
        cluster.members[1].priority = 100;
        let three = Wording { interval: Duration::from_millis(10), ..Wording::default() };
        assert_eq!(cluster.master_down_interval(1, &three), Duration::from_nanos(36_093_750));
        let two = Wording { version: 2, interval: Duration::from_secs(1), ..Wording::default() };
        assert_eq!(cluster.master_down_interval(1, &two), Duration::from_nanos(3_609_375_000));
    }
}
