//! Documents in several generations, and the boxes that they are for.

use std::collections::BTreeSet;

use halcyon_core::config::check::check;
use halcyon_core::config::types::{Cidr, LinkName, Mac, MemberName};
use halcyon_core::config::{Config, Protocol};
use halcyon_core::plan::storm::Wire;
use halcyon_core::plan::storm::alone::Fellow;
use halcyon_core::reconcile::{LinkFacts, Observed};

/// What tells one generation of a document from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    /// Members that serve the TCP service; the UDP service is served by all.
    pub(crate) servers: usize,
    /// The TCP service's port.
    pub(crate) port: u16,
    /// There is a UDP service.
    pub(crate) udp: bool,
    /// Persistence of both.
    pub(crate) persistent: bool,
}

/// The first, and what an integrator may make of it.
pub(crate) const GENERATIONS: [Generation; 4] = [
    Generation { servers: 3, port: 8898, udp: true, persistent: false },
    Generation { servers: 1, port: 8898, udp: true, persistent: false },
    Generation { servers: 3, port: 8080, udp: true, persistent: false },
    Generation { servers: 3, port: 8898, udp: false, persistent: true },
];

/// The virtual address of all documents.
pub(crate) const VIP: [u8; 4] = [192, 168, 0, 239];
/// The UDP service's port.
pub(crate) const UDP_PORT: u16 = 5353;
/// The only segment.
pub(crate) const LAN: &str = "lan";

pub(crate) fn lan() -> LinkName {
    LAN.parse().expect("letters make a name")
}

pub(crate) fn member(number: usize) -> MemberName {
    format!("box{number}").parse().expect("letters and a digit make a name")
}

pub(crate) fn mac(number: usize) -> Mac {
    Mac([0x52, 0x54, 0, 0, 0, 0x0a + u8::try_from(number).expect("few boxes")])
}

pub(crate) fn address(number: usize) -> [u8; 4] {
    [192, 168, 0, 1 + u8::try_from(number).expect("few boxes")]
}

/// A document with `count` co-located members.
pub(crate) fn document(count: usize, generation: Generation) -> Config {
    let mut text =
        "schema = 1\n[cluster]\nname = \"explored\"\nrevision = 1\nstorm = \"weights\"\n".to_owned();
    for number in 0..count {
        let [a, b, c, d] = address(number);
        text += &format!(
            "[[member]]\nname = \"{}\"\nroles = [\"director\", \"real-server\"]\npriority = {}\n\
             [[member.interface]]\nname = \"{LAN}\"\nmac = \"{}\"\naddresses = [\"{a}.{b}.{c}.{d}/24\"]\n",
            member(number),
            100 - number,
            mac(number)
        );
    }
    let [a, b, c, d] = VIP;
    text += &format!(
        "[[vrrp]]\nid = 51\ninterface = \"{LAN}\"\nversion = 3\nadvert-interval = \"100ms\"\n\
         virtual-addresses = [\"{a}.{b}.{c}.{d}/24\"]\n"
    );
    let persistence = if generation.persistent { "persistence = \"50s\"\n" } else { "" };
    let mut service = |name: &str, protocol: &str, port: u16, check: &str, servers: usize| {
        text += &format!(
            "[[service]]\nname = \"{name}\"\naddress = \"{a}.{b}.{c}.{d}\"\nport = {port}\n\
             protocol = \"{protocol}\"\nforwarding = \"direct\"\nscheduler = \"rr\"\n{persistence}\
             [service.check]\nkind = \"tcp\"\n{check}interval = \"1s\"\ntimeout = \"300ms\"\nretries = 1\n\
             retry-delay = \"200ms\"\n"
        );
        for number in 0..servers {
            text += &format!("[[service.server]]\nmember = \"{}\"\nweight = 1\n", member(number));
        }
    };
    service("pos", "tcp", generation.port, "", generation.servers.min(count));
    if generation.udp {
        service("names", "udp", UDP_PORT, "port = 8899\n", count);
    }
    check(&text).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A box that has just started: its port has the kernel's name, nothing is set up.
pub(crate) fn booted(number: usize) -> Observed {
    let mut observed = Observed::default();
    let lo = LinkFacts { name: "lo".into(), loopback: true, up: true, ..LinkFacts::default() };
    let port = LinkFacts {
        name: "eth0".into(),
        up: true,
        carrier: true,
        mtu: 1500,
        mac: Some(mac(number)),
        permanent: Some(mac(number)),
        ..LinkFacts::default()
    };
    observed.links.insert(1, lo);
    observed.links.insert(2, port);
    observed.addresses.insert((1, Cidr::new([127, 0, 0, 1].into(), 8).expect("8 bits fit")));
    observed
}

/// The members of `config` but `me`, as `me` can know them without knowing their kernels.
pub(crate) fn fellows(config: &Config, me: &MemberName) -> Vec<Fellow> {
    let others = config.members.values().filter(|m| m.name != *me);
    others
        .map(|member| {
            let links = member.interfaces.iter().map(|(link, interface)| {
                let mac = *member.macs(link).first().expect("these documents name every MAC");
                (link.clone(), (Wire { mac, segment: link.clone() }, interface.addresses.clone()))
            });
            Fellow::new(member.name.to_string(), true, links.collect())
        })
        .collect()
}

/// What the applications of a member listen on.
pub(crate) fn serves(config: &Config, number: usize) -> BTreeSet<(Protocol, u16)> {
    let me = Some(member(number));
    let mine = config.services.values().filter(|s| s.servers.values().any(|server| server.member == me));
    mine.map(|s| (s.protocol, s.port)).collect()
}
