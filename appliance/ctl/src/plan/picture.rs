//! A plan as people and scripts are shown it: every item with the planner's reason beside it. This is its JSON; [`text`]
//! is the same in lines. Nothing here decides what is in a plan.

mod text;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use halcyon_core::config::types::{LinkName, MemberName};
use halcyon_core::config::{Config, Forwarding};
use halcyon_core::plan::state::{AddressRole, KernelState, SyncRole, Virtual, VirtualService};
use halcyon_core::plan::{Plan, Reason, View, VrrpState};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct Picture {
    member: String,
    vrrp: BTreeMap<String, VrrpState>,
    links: Vec<Link>,
    addresses: Vec<Address>,
    routes: Vec<Route>,
    sysctls: Vec<Sysctl>,
    rules: Guard,
    services: Vec<Service>,
    sync: Vec<Sync>,
    /// All of them, also why something is *not* there.
    reasons: Vec<Reason>,
}

#[derive(Serialize)]
struct Link {
    name: String,
    /// Bytes; absent: as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u32>,
    /// What it is made of.
    why: Option<String>,
}

#[derive(Serialize)]
struct Address {
    address: String,
    link: String,
    role: &'static str,
    why: Option<String>,
}

#[derive(Serialize)]
struct Route {
    to: String,
    via: String,
    link: String,
    why: Option<String>,
}

#[derive(Serialize)]
struct Sysctl {
    name: String,
    value: String,
    why: Option<String>,
}

#[derive(Serialize)]
struct Guard {
    /// The input filter's openings; all else is dropped.
    accept: Vec<Rule>,
    /// Frames from these are a fellow director's.
    peers: Vec<Peer>,
    /// What fellow directors may forward to this box.
    guarded: Vec<String>,
    /// What is answered with a TCP reset before the filter.
    refuse: Vec<String>,
}

#[derive(Serialize)]
struct Rule {
    rule: String,
    why: Option<String>,
}

#[derive(Serialize)]
struct Peer {
    mac: String,
    link: String,
    why: Option<String>,
}

#[derive(Serialize)]
struct Service {
    /// The document's name; absent for a firewall mark.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// `tcp 192.0.2.9:80`, or `mark 7`.
    matches: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    port: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mark: Option<u32>,
    scheduler: String,
    /// Seconds; 0: none.
    persistence: u32,
    servers: Vec<Server>,
    why: Option<String>,
}

#[derive(Serialize)]
struct Server {
    name: String,
    address: IpAddr,
    port: u16,
    weight: u16,
    forwarding: &'static str,
    why: Option<String>,
}

#[derive(Serialize)]
struct Sync {
    role: &'static str,
    link: String,
    id: u8,
    why: Option<String>,
}

/// The planner's reasons by item.
struct Reasons<'p>(BTreeMap<&'p str, &'p str>);

impl Reasons<'_> {
    fn why(&self, item: &str) -> Option<String> {
        self.0.get(item).map(|why| (*why).to_owned())
    }

    fn why_like(&self, beginning: &str) -> Option<String> {
        let (item, why) = self.0.range(beginning..).next()?;
        item.starts_with(beginning).then(|| (*why).to_owned())
    }
}

impl Picture {
    pub(super) fn of(config: &Config, me: &MemberName, view: &View, plan: &Plan) -> Self {
        let reasons = Reasons(plan.reasons.iter().map(|r| (r.item.as_str(), r.why.as_str())).collect());
        let state = &plan.state;
        Self {
            member: me.to_string(),
            vrrp: view.vrrp.iter().map(|(id, state)| (id.to_string(), *state)).collect(),
            links: links(state, &reasons),
            addresses: addresses(state, &reasons),
            routes: routes(state, &reasons),
            sysctls: sysctls(state, &reasons),
            rules: rules(plan, &reasons),
            services: state.services.iter().map(|(v, s)| service(config, v, s, &reasons)).collect(),
            sync: sync(state, &reasons),
            reasons: plan.reasons.clone(),
        }
    }
}

fn links(state: &KernelState, reasons: &Reasons<'_>) -> Vec<Link> {
    let picture = |(name, link): (&LinkName, &halcyon_core::plan::state::Link)| Link {
        why: reasons.why(&format!("link {name}")),
        name: name.to_string(),
        mtu: link.mtu,
    };
    state.links.iter().map(picture).collect()
}

fn addresses(state: &KernelState, reasons: &Reasons<'_>) -> Vec<Address> {
    let picture = |address: &halcyon_core::plan::state::Address| {
        let link = address.link.as_ref().map_or_else(|| "lo".to_owned(), ToString::to_string);
        Address {
            why: reasons.why(&format!("address {} on {link}", address.cidr)),
            address: address.cidr.to_string(),
            link,
            role: match address.role {
                AddressRole::Own => "own",
                AddressRole::Virtual => "virtual",
                AddressRole::Served => "served",
            },
        }
    };
    state.addresses.iter().map(picture).collect()
}

fn routes(state: &KernelState, reasons: &Reasons<'_>) -> Vec<Route> {
    let picture = |route: &halcyon_core::plan::state::Route| Route {
        why: reasons.why(&format!("route {} via {}", route.to, route.via)),
        to: route.to.to_string(),
        via: route.via.to_string(),
        link: route.link.to_string(),
    };
    state.routes.iter().map(picture).collect()
}

fn sysctls(state: &KernelState, reasons: &Reasons<'_>) -> Vec<Sysctl> {
    let picture = |(path, value): (&String, &String)| {
        let name = path.replace('/', ".");
        Sysctl { why: reasons.why(&format!("sysctl {name} = {value}")), name, value: value.clone() }
    };
    state.sysctls.iter().map(picture).collect()
}

fn rules(plan: &Plan, reasons: &Reasons<'_>) -> Guard {
    let beginning = |kind: &'static str| {
        plan.reasons.iter().filter_map(move |r| Some((r.item.strip_prefix(kind)?.to_owned(), r.why.clone())))
    };
    Guard {
        accept: beginning("input filter: ").map(|(rule, why)| Rule { rule, why: Some(why) }).collect(),
        peers: plan
            .guarded
            .peers
            .iter()
            .map(|(link, mac)| Peer {
                mac: mac.to_string(),
                link: link.to_string(),
                why: reasons.why(&format!("guard: frames from {mac} on {link}")),
            })
            .collect(),
        guarded: plan
            .guarded
            .services
            .iter()
            .map(|(address, protocol, port)| format!("{protocol} {}", SocketAddr::new(*address, *port)))
            .collect(),
        refuse: beginning("input filter refuses: ").map(|(rule, _)| rule).collect(),
    }
}

fn service(config: &Config, key: &Virtual, service: &VirtualService, reasons: &Reasons<'_>) -> Service {
    let written = config.services.values().find(|written| match *key {
        Virtual::Address { protocol, address, port } => {
            (written.protocol, written.address, written.port) == (protocol, address, port)
        }
        Virtual::Mark { .. } => false,
    });
    let servers = service.destinations.iter().map(|(&(address, port), destination)| {
        let name = server_name(config, address);
        let why = match written {
            Some(written) => reasons.why(&format!("server {name} of {}", written.name)),
            None if destination.weight > 0 => Some("this box".to_owned()),
            None => Some("another box".to_owned()),
        };
        Server {
            name,
            address,
            port,
            weight: destination.weight,
            forwarding: word(destination.forwarding),
            why,
        }
    });
    let mut picture = Service {
        name: written.map(|written| written.name.to_string()),
        matches: String::new(),
        address: None,
        port: None,
        protocol: None,
        mark: None,
        scheduler: service.scheduler.clone(),
        persistence: service.persistence,
        servers: servers.collect(),
        why: None,
    };
    match *key {
        Virtual::Address { protocol, address, port } => {
            picture.matches = format!("{protocol} {address}:{port}");
            picture.address = Some(address);
            picture.port = Some(port);
            picture.protocol = Some(protocol.to_string());
            picture.why = Some("the document's; the same on every director in every state".to_owned());
        }
        Virtual::Mark { mark, .. } => {
            picture.matches = format!("mark {mark}");
            picture.mark = Some(mark);
            picture.why = reasons.why_like(&format!("mark {mark}: "));
        }
    }
    picture
}

fn word(forwarding: Forwarding) -> &'static str {
    match forwarding {
        Forwarding::Direct => "direct",
    }
}

/// The document's name for a server's address.
fn server_name(config: &Config, address: IpAddr) -> String {
    let mut servers = config.services.values().flat_map(|service| service.servers.values());
    let found = servers.find(|server| server.address == address);
    found.map_or_else(|| address.to_string(), |server| server.name.to_string())
}

fn sync(state: &KernelState, reasons: &Reasons<'_>) -> Vec<Sync> {
    let picture = |(role, daemon): (&SyncRole, &halcyon_core::plan::state::SyncDaemon)| Sync {
        role: match role {
            SyncRole::Master => "master",
            SyncRole::Backup => "backup",
        },
        link: daemon.link.to_string(),
        id: daemon.id,
        why: reasons.why(&format!("synchronisation {} on {}", daemon.id, daemon.link)),
    };
    state.sync.iter().map(picture).collect()
}
