//! What a cluster's document says beside the drawn values, and the document itself.
//!
//! Written by hand, not with the product's types: a test that wrote what the product writes would not notice a key that
//! both have wrong.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::draw::{Cluster, IPV6_PREFIX, Member};

/// Length of the prefix of the segment between the boxes.
const BACK_PREFIX: u8 = 24;

/// What the bond is called that carries a VLAN.
pub const TRUNK: &str = "trunk";

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
    /// The segment is this VLAN on a bond of two cards, of which one sends at a time.
    pub trunk: Option<u16>,
    /// The virtual address and the services are IPv6's; members have both families.
    pub ipv6: bool,
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
            trunk: None,
            ipv6: false,
            services: Vec::new(),
            more: String::new(),
        }
    }
}

impl Cluster {
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

    /// The virtual address of the wording's family.
    pub fn vip(&self, wording: &Wording) -> IpAddr {
        if wording.ipv6 { self.ipv6(self.vip).into() } else { self.vip.into() }
    }

    /// The service as clients know it.
    pub fn service_address(&self, wording: &Wording) -> SocketAddr {
        SocketAddr::new(self.vip(wording), self.port)
    }

    /// The cluster document.
    pub fn document(&self, wording: &Wording) -> String {
        let Self { name, link, members, prefix, gateway, vrid, .. } = self;
        let mut text =
            format!("schema = 1\n\n[cluster]\nname = \"{name}\"\nrevision = {}\n", wording.revision);
        wording.strategy.write(&mut text, &self.back_link);
        for Member { name, mac, address, priority, back_mac, back_address } in members {
            let mut addresses = format!("\"{address}/{prefix}\"");
            if wording.ipv6 {
                let _ = write!(addresses, ", \"{}/{IPV6_PREFIX}\"", self.ipv6(*address));
            }
            let _ = write!(
                text,
                "\n[[member]]\nname = \"{name}\"\nroles = [\"director\", \"real-server\"]\npriority = {priority}\n"
            );
            let device = match wording.trunk {
                None => format!("mac = \"{mac}\""),
                Some(id) => {
                    let _ = write!(
                        text,
                        "\n[[member.interface]]\nname = \"{TRUNK}\"\n\
                         bond = {{ ports = [\"{mac}\", \"{back_mac}\"], mode = \"active-backup\" }}\n"
                    );
                    format!("vlan = {{ parent = \"{TRUNK}\", id = {id} }}")
                }
            };
            let _ = write!(
                text,
                "\n[[member.interface]]\nname = \"{link}\"\n{device}\naddresses = [{addresses}]\n\
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
        let (vip, prefix) = (self.vip(wording), if wording.ipv6 { IPV6_PREFIX } else { *prefix });
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
    /// As the document calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Standby { .. } => "standby",
            Self::SecondNic { .. } => "second-nic",
        }
    }

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
        let (vip, protocol) = (cluster.vip(wording), if self.udp { "udp" } else { "tcp" });
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
