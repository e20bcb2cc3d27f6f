//! The cluster's configuration as the rest of the program sees it: parsed once, checked once, valid for ever.
//!
//! A [`Config`] comes from [`check`](check::check)ing a [`Draft`](draft::Draft) and from nowhere else, so nothing
//! downstream checks again or doubts. It holds no facts about this box: the same value is used on every member.

pub mod check;
pub mod draft;
pub mod seal;
pub mod types;

pub mod bind;
pub mod difference;
pub mod duration;
pub mod problem;
pub mod redact;

pub(crate) mod address;
mod device;
mod reader;
mod scalar;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use types::{
    Cidr, DeviceKey, Family, InstanceId, LinkName, MemberName, PasswordHash, Priority, ServerName,
    ServiceName, Weight,
};

pub use device::{Bond, BondMode, Device, Port, Vlan};

/// A checked cluster document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `[cluster]`.
    pub cluster: Cluster,
    /// `[[member]]` by name.
    pub members: BTreeMap<MemberName, Member>,
    /// `[[vrrp]]` by interface and VRID.
    pub vrrp: BTreeMap<InstanceId, VrrpInstance>,
    /// `[[service]]` by name.
    pub services: BTreeMap<ServiceName, Service>,
    /// `[observe]`; `None`: no listener at all.
    pub observe: Option<Observe>,
    /// `[dns] servers`, in the order in which they are asked; empty: none, or those that a DHCP server names.
    pub dns: Vec<IpAddr>,
    /// `[time] ntp`; empty: the clock is left alone.
    pub ntp: Vec<IpAddr>,
    /// `[admin]`; `None`: consoles only look.
    pub admin: Option<Admin>,
}

/// `[admin]`: who may change this box at its consoles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The hash of the password.
    pub password: PasswordHash,
}

/// `[cluster]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The site's name, for people.
    pub name: String,
    /// Rises with every change of the document.
    pub revision: u64,
    /// How two directors that are real servers too are kept from bouncing packets.
    pub storm: Storm,
    /// Where connection synchronisation runs; `None`: none.
    pub sync_interface: Option<LinkName>,
}

/// The storm strategy: how co-located directors share the work and stay free of loops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storm {
    /// Same table on every box, weighting by origin.
    Weights,
    /// Only the master directs. A backup takes over when the master is silent in VRRP and to pings.
    Standby(Probing),
    /// Same table on every box; members forward to each other over a segment of their own, which tells the origin.
    SecondNic(Forward),
}

/// `probe`: how a standby pings its fellow directors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probing {
    /// Between two echo requests, 100 ms to 60 s.
    pub interval: Duration,
    /// An answer that takes longer is none, 10 ms to `interval`.
    pub timeout: Duration,
    /// So many requests in a row without an answer are silence, 1..=100.
    pub count: u8,
}

impl Default for Probing {
    /// What a document without `probe` means, and what each key of one defaults to. A neighbour on the segment answers in
    /// a millisecond, a busy one in some hundreds.
    fn default() -> Self {
        Self { interval: Duration::from_secs(1), timeout: Duration::from_millis(500), count: 3 }
    }
}

/// `forward-interface` with `forward-fallback`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// The segment on which members forward to each other; no virtual router runs there.
    pub interface: LinkName,
    /// What takes its place while it is down.
    pub fallback: Fallback,
}

/// `forward-fallback`: what becomes of forwarding between members while the segment for it is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fallback {
    /// Nothing: each box serves alone.
    Refuse,
    /// The service's own segment.
    Lan,
}

/// `[[member]]`: one box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Host name of the box.
    pub name: MemberName,
    /// Takes part in VRRP and forwards.
    pub director: bool,
    /// Serves what directors forward to it.
    pub real_server: bool,
    /// Its VRRP priority where the instance states no other.
    pub priority: Priority,
    /// DMI system serial number that identifies the box, beside its interfaces' MACs.
    pub serial: Option<String>,
    /// The public half of the key that signs what the box keeps, written when it joined.
    pub key: Option<DeviceKey>,
    /// Its interfaces by logical name.
    pub interfaces: BTreeMap<LinkName, Interface>,
}

/// `[[member.interface]]`: one link of one box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// Logical name, the same on every member; the kernel's link is renamed to it.
    pub name: LinkName,
    /// What it is made of.
    pub device: Device,
    /// Static addresses with their subnets.
    pub addresses: Vec<Cidr>,
    /// A DHCP server gives it an IPv4 address; `addresses` has none then.
    pub dhcp: bool,
    /// Default gateways, at most one of each family.
    pub gateways: Vec<IpAddr>,
    /// Bytes; `None`: as the driver has it, or what carries it.
    pub mtu: Option<u32>,
    /// Further routes.
    pub routes: Vec<StaticRoute>,
}

/// One static route.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StaticRoute {
    /// Destination prefix.
    pub to: Cidr,
    /// Next hop.
    pub via: IpAddr,
}

/// `[[vrrp]]`: one virtual router.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VrrpInstance {
    /// Interface and VRID.
    pub id: InstanceId,
    /// Protocol version on the wire.
    pub version: VrrpVersion,
    /// Time between advertisements: v2 whole seconds 1..=255 s, v3 10 ms..=40.95 s in centiseconds.
    pub advert_interval: Duration,
    /// The virtual IP addresses, as written.
    pub addresses: Vec<Cidr>,
    /// Priority of every director member (document order of precedence already applied).
    pub priorities: BTreeMap<MemberName, Priority>,
    /// A higher priority takes over from a working lower one.
    pub preempt: bool,
    /// How long a preempting backup waits after it came up.
    pub preempt_delay: Duration,
    /// v2 PASS authentication data, zero-padded to 8 octets on the wire (RFC 2338 §5.3.6).
    pub authentication: Option<String>,
    /// v3 over IPv4: compute the checksum with a pseudo-header (RFC 5798) instead of without (RFC 9568).
    pub pseudo_header: bool,
}

/// VRRP protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum VrrpVersion {
    /// RFC 3768.
    V2,
    /// RFC 9568.
    V3,
}

/// `[[service]]`: one virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Its name, for people.
    pub name: ServiceName,
    /// The VIP it listens on; always one of a VRRP instance's addresses.
    pub address: IpAddr,
    /// Its port, 1..=65535.
    pub port: u16,
    /// Transport protocol.
    pub protocol: Protocol,
    /// Forwarding method.
    pub forwarding: Forwarding,
    /// IPVS scheduler by its kernel name.
    pub scheduler: String,
    /// Persistence timeout; `None`: none. Whole seconds, at least 1 s.
    pub persistence: Option<Duration>,
    /// How servers are checked; `None`: `kind = "none"`, always healthy.
    pub check: Option<Check>,
    /// Its real servers by name.
    pub servers: BTreeMap<ServerName, Server>,
}

/// Transport protocol of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

impl Protocol {
    /// Its IP protocol number (IANA, assigned internet protocol numbers).
    pub fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
            Self::Sctp => 132,
        }
    }
}

/// IPVS forwarding method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Forwarding {
    /// Direct routing: the frame goes to the real server's MAC unchanged.
    Direct,
}

/// `[service.check]`: a health check's kind and times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What is done.
    pub kind: CheckKind,
    /// Port, when it differs from the server's.
    pub port: Option<u16>,
    /// Time between the starts of two checks of a server.
    pub interval: Duration,
    /// Total deadline of one attempt.
    pub timeout: Duration,
    /// Further attempts before a server counts as down, 0..=100.
    pub retries: u8,
    /// Pause before each further attempt.
    pub retry_delay: Duration,
}

/// How a TCP service is checked whose document says nothing of it.
impl Default for Check {
    fn default() -> Self {
        Self {
            kind: CheckKind::Tcp,
            port: None,
            interval: Duration::from_secs(6),
            timeout: Duration::from_secs(10),
            retries: 3,
            retry_delay: Duration::from_secs(3),
        }
    }
}

/// What a health check does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckKind {
    /// A TCP connection is opened and closed.
    Tcp,
}

/// `[[service.server]]`: a real server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The member's name, or the address of one that is none.
    pub name: ServerName,
    /// Set when the server is a member.
    pub member: Option<MemberName>,
    /// Where it is reached: for a member its address on the service's interface.
    pub address: IpAddr,
    /// With [`Storm::SecondNic`], a member's address on the segment for forwarding, which comes before `address`.
    pub forward: Option<IpAddr>,
    /// Port; the service's unless the method can translate.
    pub port: u16,
    /// Share of new connections, 0..=65535.
    pub weight: Weight,
}

/// `[observe]`: where `/status` and `/metrics` are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observe {
    /// On whose addresses.
    pub interface: LinkName,
    /// TCP port.
    pub port: u16,
    /// Who may ask; empty: the interface's own subnets.
    pub allow: Vec<Cidr>,
}

impl VrrpInstance {
    /// The family of its virtual addresses; checked documents mix none.
    pub fn family(&self) -> Family {
        self.addresses.first().map_or(Family::Ipv4, |first| Family::of(first.address()))
    }
}

impl Config {
    /// An empty configuration: what an unconfigured box runs.
    pub fn empty() -> Self {
        Self {
            cluster: Cluster {
                name: String::new(),
                revision: 0,
                storm: Storm::Weights,
                sync_interface: None,
            },
            members: BTreeMap::new(),
            vrrp: BTreeMap::new(),
            services: BTreeMap::new(),
            observe: None,
            dns: Vec::new(),
            ntp: Vec::new(),
            admin: None,
        }
    }
}

impl std::fmt::Display for Protocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}
