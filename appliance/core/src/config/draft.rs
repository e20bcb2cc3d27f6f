//! The cluster document as it was written: every key, its type, its default and its place, nothing that one part says
//! about another (that is [`check`](super::check)'s). A value that is wrong or missing is told once, here, and is
//! `None` in the draft, so that the checks say nothing more about it.

mod sections;
mod values;

use std::net::IpAddr;
use std::time::Duration;

use super::problem::{Place, Problems, Written};
use super::types::{
    Cidr, DeviceKey, LinkName, Mac, MemberName, PasswordHash, Priority, ServiceName, VlanId, Vrid, Weight,
};
use super::{BondMode, CheckKind, Fallback, Forwarding, Protocol, VrrpVersion};

/// The schedulers of Linux 6.12's IPVS by name (`net/netfilter/ipvs/ip_vs_*.c`).
pub const SCHEDULERS: [&str; 14] =
    ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "fo", "ovf", "sed", "nq", "twos"];

/// A value with its place, unless it is missing or was refused.
pub type Field<T> = Option<Written<T>>;

/// An array's elements; those that were refused are not among them.
#[derive(Clone, Debug)]
pub struct List<T> {
    /// The good ones.
    pub items: Vec<Written<T>>,
    /// None was refused.
    pub complete: bool,
}

/// Nothing was written.
impl<T> Default for List<T> {
    fn default() -> Self {
        Self { items: Vec::new(), complete: true }
    }
}

/// Reads a document. `None`: it is not TOML. Problems are added to `problems`.
pub fn read(document: &str, problems: &mut Problems) -> Option<Draft> {
    super::reader::document(document, problems, sections::document)
}

/// The document.
#[derive(Clone, Debug)]
pub struct Draft {
    /// `[cluster]`.
    pub cluster: Option<ClusterDraft>,
    /// `[[member]]`.
    pub members: Vec<MemberDraft>,
    /// `[[vrrp]]`.
    pub vrrp: Vec<VrrpDraft>,
    /// None of them was refused as a whole.
    pub vrrp_complete: bool,
    /// `[[service]]`.
    pub services: Vec<ServiceDraft>,
    /// `[observe]`.
    pub observe: Option<ObserveDraft>,
    /// `[dns] servers`.
    pub dns: List<IpAddr>,
    /// `[time] ntp`.
    pub ntp: List<IpAddr>,
    /// `[admin]`.
    pub admin: Option<AdminDraft>,
}

/// `[cluster]`.
#[derive(Clone, Debug)]
pub struct ClusterDraft {
    /// 1 to 63 printable characters.
    pub name: Field<String>,
    /// From 1.
    pub revision: Field<u64>,
    /// Default `weights`.
    pub storm: Field<Strategy>,
    /// Optional, with `standby`.
    pub probe: Option<ProbeDraft>,
    /// Required with `second-nic`.
    pub forward_interface: Field<LinkName>,
    /// Optional, with `second-nic`; default `refuse`.
    pub forward_fallback: Field<Fallback>,
    /// Where `forward-interface` stands, right or wrong.
    pub forward_at: Option<Place>,
    /// Optional.
    pub sync_interface: Field<LinkName>,
}

/// The storm strategy by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// `weights`.
    Weights,
    /// `standby`.
    Standby,
    /// `second-nic`.
    SecondNic,
}

impl Strategy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Weights, Self::Standby, Self::SecondNic];

    /// As the document has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Weights => "weights",
            Self::Standby => "standby",
            Self::SecondNic => "second-nic",
        }
    }
}

/// `probe` of `[cluster]`.
#[derive(Clone, Debug)]
pub struct ProbeDraft {
    /// The key.
    pub at: Place,
    /// Default 1 s.
    pub interval: Field<Duration>,
    /// Default 500 ms, or the interval where that is shorter.
    pub timeout: Field<Duration>,
    /// Default 3.
    pub count: Field<u8>,
}

/// `[[member]]`.
#[derive(Clone, Debug)]
pub struct MemberDraft {
    /// Its heading.
    pub at: Place,
    /// Required.
    pub name: Field<MemberName>,
    /// Required, not empty.
    pub roles: List<Role>,
    /// Default 100.
    pub priority: Field<Priority>,
    /// Optional.
    pub serial: Field<String>,
    /// Optional.
    pub key: Field<DeviceKey>,
    /// Required, not empty.
    pub interfaces: Vec<InterfaceDraft>,
}

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Takes part in VRRP and forwards.
    Director,
    /// Serves what directors forward.
    RealServer,
}

/// `[[member.interface]]`.
#[derive(Clone, Debug)]
pub struct InterfaceDraft {
    /// Its heading.
    pub at: Place,
    /// Required.
    pub name: Field<LinkName>,
    /// Either this …
    pub mac: Field<Mac>,
    /// … or this …
    pub path: Field<String>,
    /// … or this …
    pub vlan: Option<VlanDraft>,
    /// … or this.
    pub bond: Option<BondDraft>,
    /// Optional.
    pub addresses: List<Cidr>,
    /// Default false.
    pub dhcp: Field<bool>,
    /// Optional; one of each family.
    pub gateways: List<IpAddr>,
    /// Optional; bytes.
    pub mtu: Field<u32>,
    /// Optional.
    pub routes: Vec<RouteDraft>,
}

/// `vlan` of `[[member.interface]]`.
#[derive(Clone, Debug)]
pub struct VlanDraft {
    /// The key.
    pub at: Place,
    /// Required.
    pub parent: Field<LinkName>,
    /// Required.
    pub id: Field<VlanId>,
}

/// `bond` of `[[member.interface]]`.
#[derive(Clone, Debug)]
pub struct BondDraft {
    /// Required, not empty.
    pub ports: List<Mac>,
    /// Required.
    pub mode: Field<BondMode>,
}

/// One of `routes`.
#[derive(Clone, Debug)]
pub struct RouteDraft {
    /// Required.
    pub to: Field<Cidr>,
    /// Required.
    pub via: Field<IpAddr>,
}

/// `[[vrrp]]`.
#[derive(Clone, Debug)]
pub struct VrrpDraft {
    /// Its heading.
    pub at: Place,
    /// Required.
    pub id: Field<Vrid>,
    /// Required.
    pub interface: Field<LinkName>,
    /// Default 3.
    pub version: Field<VrrpVersion>,
    /// Default 1 s.
    pub advert_interval: Field<Duration>,
    /// Required, not empty.
    pub addresses: List<Cidr>,
    /// Optional; overrides the members'.
    pub priorities: Vec<(Written<MemberName>, Priority)>,
    /// Default true.
    pub preempt: Field<bool>,
    /// Default 0 s.
    pub preempt_delay: Field<Duration>,
    /// Optional.
    pub authentication: Field<String>,
    /// Default false.
    pub pseudo_header: Field<bool>,
}

/// `[[service]]`.
#[derive(Clone, Debug)]
pub struct ServiceDraft {
    /// Its heading.
    pub at: Place,
    /// Required.
    pub name: Field<ServiceName>,
    /// Required.
    pub address: Field<IpAddr>,
    /// Required.
    pub port: Field<u16>,
    /// Default TCP.
    pub protocol: Field<Protocol>,
    /// Default direct.
    pub forwarding: Field<Forwarding>,
    /// Default `rr`.
    pub scheduler: Field<&'static str>,
    /// Optional.
    pub persistence: Field<Duration>,
    /// `None`: no such section, and the protocol's default is taken.
    pub check: Option<CheckDraft>,
    /// Required, not empty.
    pub servers: Vec<ServerDraft>,
}

/// `[service.check]`.
#[derive(Clone, Debug)]
pub struct CheckDraft {
    /// Its heading.
    pub at: Place,
    /// Required; `None` inside: no check.
    pub kind: Field<Option<CheckKind>>,
    /// Optional.
    pub port: Field<u16>,
    /// Default 6 s.
    pub interval: Field<Duration>,
    /// Default 10 s.
    pub timeout: Field<Duration>,
    /// Default 3.
    pub retries: Field<u8>,
    /// Default 3 s.
    pub retry_delay: Field<Duration>,
}

/// `[[service.server]]`.
#[derive(Clone, Debug)]
pub struct ServerDraft {
    /// Its heading.
    pub at: Place,
    /// Either this …
    pub member: Field<MemberName>,
    /// … or this.
    pub address: Field<IpAddr>,
    /// Optional.
    pub port: Field<u16>,
    /// Default 1.
    pub weight: Field<Weight>,
}

/// `[observe]`.
#[derive(Clone, Debug)]
pub struct ObserveDraft {
    /// Required.
    pub interface: Field<LinkName>,
    /// Default 9780.
    pub port: Field<u16>,
    /// Optional.
    pub allow: List<Cidr>,
}

/// `[admin]`.
#[derive(Clone, Debug)]
pub struct AdminDraft {
    /// Required.
    pub password: Field<PasswordHash>,
}
