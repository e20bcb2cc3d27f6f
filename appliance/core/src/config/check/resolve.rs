//! Copies a draft without gaps into a [`Config`]: members' priorities fill in for the instances', a member's address
//! for its name. Decides nothing else; [`check`](super::check) has told every gap before.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::services::router_of;
use super::storm as strategy;
use super::{Lookup, MemberDraft};
use crate::config::draft::{CheckDraft, Draft, InterfaceDraft, Role, ServerDraft, ServiceDraft, VrrpDraft};
use crate::config::types::{Family, InstanceId, LinkName, MemberName, Priority, ServerName, ServiceName};
use crate::config::{
    Admin, Bond, Check, Cluster, Config, Device, Interface, Member, Observe, Port, Protocol, Server, Service,
    StaticRoute, Vlan, VrrpInstance,
};

/// `None`: the draft has a gap.
pub(super) fn config(draft: &Draft) -> Option<Config> {
    let cluster = draft.cluster.as_ref()?;
    let members: Option<_> = draft.members.iter().map(member).collect();
    let vrrp: Option<_> = draft.vrrp.iter().map(|router| instance(draft, router)).collect();
    let services: Option<_> = draft.services.iter().map(|written| service(draft, written)).collect();
    let observe = match &draft.observe {
        Some(observe) => Some(Observe {
            interface: observe.interface.as_ref()?.value.clone(),
            port: observe.port.as_ref()?.value,
            allow: observe.allow.items.iter().map(|subnet| subnet.value).collect(),
        }),
        None => None,
    };
    let admin = match &draft.admin {
        Some(admin) => Some(Admin { password: admin.password.as_ref()?.value.clone() }),
        None => None,
    };
    Some(Config {
        cluster: Cluster {
            name: cluster.name.as_ref()?.value.clone(),
            revision: cluster.revision.as_ref()?.value,
            storm: strategy::resolve(cluster)?,
            sync_interface: cluster.sync_interface.as_ref().map(|name| name.value.clone()),
        },
        members: members?,
        vrrp: vrrp?,
        services: services?,
        observe,
        dns: draft.dns.items.iter().map(|server| server.value).collect(),
        ntp: draft.ntp.items.iter().map(|server| server.value).collect(),
        admin,
    })
}

fn member(written: &MemberDraft) -> Option<(MemberName, Member)> {
    let name = written.name.as_ref()?.value.clone();
    let interfaces: Option<_> = written.interfaces.iter().map(interface).collect();
    let member = Member {
        name: name.clone(),
        director: written.is(Role::Director),
        real_server: written.is(Role::RealServer),
        priority: written.priority.as_ref()?.value,
        serial: written.serial.as_ref().map(|serial| serial.value.clone()),
        key: written.key.as_ref().map(|key| key.value),
        interfaces: interfaces?,
    };
    Some((name, member))
}

fn interface(written: &InterfaceDraft) -> Option<(LinkName, Interface)> {
    let name = written.name.as_ref()?.value.clone();
    let device = match (&written.mac, &written.path, &written.vlan, &written.bond) {
        (Some(mac), None, None, None) => Port::Mac(mac.value).into(),
        (None, Some(path), None, None) => Port::Path(path.value.clone()).into(),
        (None, None, Some(vlan), None) => {
            Device::Vlan(Vlan { parent: vlan.parent.as_ref()?.value.clone(), id: vlan.id.as_ref()?.value })
        }
        (None, None, None, Some(bond)) => Device::Bond(Bond {
            ports: bond.ports.items.iter().map(|port| port.value).collect(),
            mode: bond.mode.as_ref()?.value,
        }),
        _ => return None,
    };
    let routes: Option<_> = written
        .routes
        .iter()
        .map(|route| Some(StaticRoute { to: route.to.as_ref()?.value, via: route.via.as_ref()?.value }))
        .collect();
    let interface = Interface {
        name: name.clone(),
        device,
        addresses: written.addresses.items.iter().map(|address| address.value).collect(),
        dhcp: written.dhcp.as_ref()?.value,
        gateways: written.gateways.items.iter().map(|gateway| gateway.value).collect(),
        mtu: written.mtu.as_ref().map(|mtu| mtu.value),
        routes: routes?,
    };
    Some((name, interface))
}

fn instance(draft: &Draft, written: &VrrpDraft) -> Option<(InstanceId, VrrpInstance)> {
    let id =
        InstanceId { interface: written.interface.as_ref()?.value.clone(), vrid: written.id.as_ref()?.value };
    let mut priorities: BTreeMap<MemberName, Priority> = BTreeMap::new();
    for director in draft.members.iter().filter(|member| member.is(Role::Director)) {
        priorities.insert(director.name.as_ref()?.value.clone(), director.priority.as_ref()?.value);
    }
    for (name, priority) in &written.priorities {
        priorities.insert(name.value.clone(), *priority);
    }
    let instance = VrrpInstance {
        id: id.clone(),
        version: written.version.as_ref()?.value,
        advert_interval: written.advert_interval.as_ref()?.value,
        addresses: written.addresses.items.iter().map(|address| address.value).collect(),
        priorities,
        preempt: written.preempt.as_ref()?.value,
        preempt_delay: written.preempt_delay.as_ref()?.value,
        authentication: written.authentication.as_ref().map(|password| password.value.clone()),
        pseudo_header: written.pseudo_header.as_ref()?.value,
    };
    Some((id, instance))
}

fn service(draft: &Draft, written: &ServiceDraft) -> Option<(ServiceName, Service)> {
    let name = written.name.as_ref()?.value.clone();
    let port = written.port.as_ref()?.value;
    let address = written.address.as_ref()?.value;
    let protocol = written.protocol.as_ref()?.value;
    let check = match &written.check {
        Some(check) => checked(check)?,
        None if protocol == Protocol::Tcp => Some(Check::default()),
        None => return None,
    };
    let segment = router_of(draft, address)?.interface.as_ref()?;
    let servers: Option<_> =
        written.servers.iter().map(|one| server(draft, one, &segment.value, address, port)).collect();
    let service = Service {
        name: name.clone(),
        address,
        port,
        protocol,
        forwarding: written.forwarding.as_ref()?.value,
        scheduler: written.scheduler.as_ref()?.value.to_owned(),
        persistence: written.persistence.as_ref().map(|time| time.value),
        check,
        servers: servers?,
    };
    Some((name, service))
}

fn checked(written: &CheckDraft) -> Option<Option<Check>> {
    let Some(kind) = written.kind.as_ref()?.value else { return Some(None) };
    Some(Some(Check {
        kind,
        port: written.port.as_ref().map(|port| port.value),
        interval: written.interval.as_ref()?.value,
        timeout: written.timeout.as_ref()?.value,
        retries: written.retries.as_ref()?.value,
        retry_delay: written.retry_delay.as_ref()?.value,
    }))
}

fn server(
    draft: &Draft,
    written: &ServerDraft,
    segment: &LinkName,
    virtual_address: IpAddr,
    port: u16,
) -> Option<(ServerName, Server)> {
    let member = written.member.as_ref().map(|name| name.value.clone());
    let address: IpAddr = match (&member, &written.address) {
        (Some(name), None) => member_address(draft, name, segment, virtual_address)?,
        (None, Some(address)) => address.value,
        _ => return None,
    };
    let name = ServerName(member.as_ref().map_or_else(|| address.to_string(), ToString::to_string));
    let forward =
        member.as_ref().and_then(|member| strategy::forward_address(draft, member, Family::of(address)));
    let weight = written.weight.as_ref()?.value;
    Some((name.clone(), Server { name, member, address, forward, port, weight }))
}

/// Where a member is reached on a segment: at its first address in the virtual address's subnet, else at its
/// first of that family.
fn member_address(draft: &Draft, name: &MemberName, segment: &LinkName, near: IpAddr) -> Option<IpAddr> {
    let Lookup::Found(member) = draft.member(name) else { return None };
    let Lookup::Found(interface) = member.interface(segment) else { return None };
    let addresses = &interface.addresses.items;
    let chosen = addresses.iter().find(|own| own.value.contains(near));
    let of_its_family = || addresses.iter().find(|own| own.value.address().is_ipv4() == near.is_ipv4());
    Some(chosen.or_else(of_its_family)?.value.address())
}
