//! A cluster from a seed: addresses, hardware addresses, names, VRID and port, and the cluster document that says so.
//!
//! Every test draws its own, so that nothing in the product can come to know a fixed one.

use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::seed::Seed;
use crate::switch::frame::Mac;

/// Client machines of every cluster.
pub const CLIENTS: usize = 40;

/// Client machines beside them: as many again, and some more.
pub const GUESTS: usize = CLIENTS + 20;

const NAMES: [&str; 12] = [
    "castor", "pollux", "vega", "altair", "deneb", "rigel", "mira", "spica", "atlas", "maia", "electra",
    "merope",
];
const LINKS: [&str; 4] = ["lan", "front", "shop", "floor"];
const BACK_LINKS: [&str; 3] = ["back", "inner", "ring"];
/// Length of the prefix of the segment between the boxes.
const BACK_PREFIX: u8 = 24;
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
    /// Permanent address of its card on the segment between the boxes.
    pub back_mac: Mac,
    /// Its own address there.
    pub back_address: Ipv4Addr,
    /// VRRP priority.
    pub priority: u8,
}

/// What a document says beside the drawn values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wording {
    /// `[cluster] revision`.
    pub revision: u64,
    /// VRRP version, 2 or 3.
    pub version: u8,
    /// Between advertisements.
    pub interval: Duration,
    /// Version 2: the password.
    pub password: Option<String>,
    /// `pseudo-header` in version 3.
    pub pseudo_header: bool,
    /// Persistence, none when `None`.
    pub persistence: Option<Duration>,
    /// Between two health checks of a server.
    pub check_interval: Duration,
    /// A health check fails after this.
    pub check_timeout: Duration,
    /// The servers' weight.
    pub weight: u16,
    /// The storm strategy.
    pub strategy: Strategy,
    /// Services beside the first.
    pub services: Vec<Service>,
    /// More lines at the end.
    pub more: String,
}

/// How the boxes are kept from bouncing packets: `storm` and its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Weighting by origin.
    Weights,
    /// One director at a time, which its fellow pings.
    Standby {
        /// Between two pings.
        interval: Duration,
        /// An answer after this is none.
        timeout: Duration,
        /// So many are silence.
        count: u8,
    },
    /// Forwarding over a segment of its own: the boxes have a second card.
    SecondNic {
        /// `lan` or `refuse`: what happens while that segment is down.
        fallback: &'static str,
    },
}

impl Strategy {
    /// A standby that knows after 3.5 seconds, as a document without `probe` has it.
    pub const STANDBY: Self =
        Self::Standby { interval: Duration::from_secs(1), timeout: Duration::from_millis(500), count: 3 };
}

/// A service beside the cluster's first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Datagrams, not connections.
    pub udp: bool,
    /// Its port at the virtual address.
    pub port: u16,
    /// Persistence, none when `None`.
    pub persistence: Option<Duration>,
}

impl Default for Wording {
    /// As the case has it, with 100 ms between advertisements, and without persistence: a source that keeps asking would
    /// keep its first server for good, whatever happens to the others.
    fn default() -> Self {
        Self {
            revision: 1,
            version: 3,
            interval: Duration::from_millis(100),
            password: None,
            pseudo_header: false,
            persistence: None,
            check_interval: Duration::from_secs(6),
            check_timeout: Duration::from_secs(10),
            weight: 1,
            strategy: Strategy::Weights,
            services: Vec::new(),
            more: String::new(),
        }
    }
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
            vrid: seed.between(1, 255) as u8,
            service: (*seed.pick(&SERVICES)).into(),
            // Not where the boxes' own services may be, and below the range of source ports.
            port: seed.between(1_024, 9_000) as u16,
            clients: (0..CLIENTS).map(|_| (mac(), address())).collect(),
            guests: (0..GUESTS).map(|_| (mac(), address())).collect(),
        }
    }

    /// The service as clients know it.
    pub fn service_address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.vip, self.port)
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

    /// All services: the cluster's own, and those of the wording.
    pub fn services(&self, wording: &Wording) -> Vec<Service> {
        let own = Service {
            name: self.service.clone(),
            udp: false,
            port: self.port,
            persistence: wording.persistence,
        };
        std::iter::once(own).chain(wording.services.iter().cloned()).collect()
    }

    /// The cluster document.
    pub fn document(&self, wording: &Wording) -> String {
        let Self { name, link, members, vip, prefix, gateway, vrid, .. } = self;
        let mut text =
            format!("schema = 1\n\n[cluster]\nname = \"{name}\"\nrevision = {}\n", wording.revision);
        wording.strategy.write(&mut text, &self.back_link);
        for Member { name, mac, address, priority, back_mac, back_address } in members {
            let _ = write!(
                text,
                "\n[[member]]\nname = \"{name}\"\nroles = [\"director\", \"real-server\"]\npriority = {priority}\n\
                 \n[[member.interface]]\nname = \"{link}\"\nmac = \"{mac}\"\naddresses = [\"{address}/{prefix}\"]\n\
                 gateway = \"{gateway}\"\n"
            );
            if let Strategy::SecondNic { .. } = wording.strategy {
                let _ = write!(
                    text,
                    "\n[[member.interface]]\nname = \"{}\"\nmac = \"{back_mac}\"\n\
                     addresses = [\"{back_address}/{BACK_PREFIX}\"]\n",
                    self.back_link
                );
            }
        }
        let interval = duration(wording.interval);
        let _ = write!(
            text,
            "\n[[vrrp]]\nid = {vrid}\ninterface = \"{link}\"\nversion = {}\nadvert-interval = \"{interval}\"\n\
             virtual-addresses = [\"{vip}/{prefix}\"]\n",
            wording.version
        );
        if let Some(password) = &wording.password {
            let _ = writeln!(text, "authentication = \"{password}\"");
        }
        if wording.pseudo_header {
            text.push_str("pseudo-header = true\n");
        }
        for service in self.services(wording) {
            service.write(&mut text, self, wording);
        }
        text.push_str(&wording.more);
        text
    }
}

impl Strategy {
    /// Its lines of `[cluster]`.
    fn write(self, text: &mut String, back_link: &str) {
        let _ = match self {
            Self::Weights => writeln!(text, "storm = \"weights\""),
            Self::Standby { interval, timeout, count } => writeln!(
                text,
                "storm = \"standby\"\nprobe = {{ interval = \"{}\", timeout = \"{}\", count = {count} }}",
                duration(interval),
                duration(timeout)
            ),
            Self::SecondNic { fallback } => writeln!(
                text,
                "storm = \"second-nic\"\nforward-interface = \"{back_link}\"\nforward-fallback = \"{fallback}\""
            ),
        };
    }
}

impl Service {
    /// IP protocol number.
    pub fn protocol(&self) -> u8 {
        if self.udp { 17 } else { 6 }
    }

    /// Its part of the document. Applications answer on TCP, too, where they answer datagrams: the check connects.
    fn write(&self, text: &mut String, cluster: &Cluster, wording: &Wording) {
        let Self { name, port, .. } = self;
        let (vip, protocol) = (cluster.vip, if self.udp { "udp" } else { "tcp" });
        let _ = write!(
            text,
            "\n[[service]]\nname = \"{name}\"\naddress = \"{vip}\"\nport = {port}\nprotocol = \"{protocol}\"\n\
             forwarding = \"direct\"\nscheduler = \"rr\"\n"
        );
        if let Some(persistence) = self.persistence {
            let _ = writeln!(text, "persistence = \"{}\"", duration(persistence));
        }
        let _ = write!(
            text,
            "\n[service.check]\nkind = \"tcp\"\ninterval = \"{}\"\ntimeout = \"{}\"\nretries = 3\nretry-delay = \"3s\"\n",
            duration(wording.check_interval),
            duration(wording.check_timeout)
        );
        if self.udp {
            let _ = writeln!(text, "port = {port}");
        }
        for member in &cluster.members {
            let _ = write!(
                text,
                "\n[[service.server]]\nmember = \"{}\"\nweight = {}\n",
                member.name, wording.weight
            );
        }
    }
}

/// As the document writes durations: `100ms`, `3s`.
fn duration(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
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
    fn the_interval_of_silence_is_the_standards() {
        let mut cluster = Cluster::draw(&Seed::new(1));
        cluster.members[1].priority = 100;
        let three = Wording { interval: Duration::from_millis(10), ..Wording::default() };
        assert_eq!(cluster.master_down_interval(1, &three), Duration::from_nanos(36_093_750));
        let two = Wording { version: 2, interval: Duration::from_secs(1), ..Wording::default() };
        assert_eq!(cluster.master_down_interval(1, &two), Duration::from_nanos(3_609_375_000));
    }
}
