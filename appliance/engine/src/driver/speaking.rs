//! The engine's side of the talk with the VRRP thread: which virtual routers it runs on which links, when it may begin,
//! and what follows from what it tells.

use std::net::IpAddr;
use std::time::Duration;

use halcyon_core::config::types::{Family, LinkName};
use halcyon_core::node;
use halcyon_core::plan::VrrpState;
use halcyon_core::plan::state::SyncRole;
use halcyon_core::report;
use halcyon_core::vrrp::settings::Settings;
use halcyon_kernel::Kernel;
use tracing::{error, info, warn};

use super::Driver;
use crate::clock;
use crate::status::Entered;
use crate::vrrp_thread::{self, Assignment, Command};

/// How long a box that has just been configured waits for its first healthy servers, once its link is usable, before it
/// speaks VRRP all the same.
const FIRST_CHECKS: Duration = Duration::from_millis(1500);

/// A link as the VRRP thread was last told of it: index, usable, address to speak from.
pub(super) type LinkNews = (u32, bool, Option<IpAddr>);

impl<K: Kernel> Driver<K> {
    /// What VRRP tells.
    pub(super) fn vrrp(&mut self, event: vrrp_thread::Event) {
        match event {
            vrrp_thread::Event::StateChanged { id, to, why, silent, at, .. } => {
                info!(router = %id, "{}: {why}", state_word(to));
                self.supervisor.report(&report::Event::Vrrp {
                    id: id.vrid.get(),
                    interface: id.interface.to_string(),
                    state: to,
                    why: why.to_string(),
                });
                self.entered
                    .insert(id.clone(), Entered { since: at.since_boot().as_secs(), why: why.to_string() });
                self.announcer.changed(&id, to, at);
                if to == VrrpState::Master {
                    self.roll_call.ask();
                }
                self.node.handle(node::Event::Vrrp { id, state: to, silent }, clock::now());
            }
            vrrp_thread::Event::Healed { id, other, at } => {
                warn!(router = %id, %other, "another master was heard, which yields: announcing again");
                self.announcer.healed(&id, at);
                self.roll_call.ask();
            }
            vrrp_thread::Event::Overslept { id, slept, at } => {
                warn!(router = %id, "this box did not run for {} ms: announcing again", slept.as_millis());
                self.announcer.healed(&id, at);
                self.roll_call.ask();
            }
            vrrp_thread::Event::SocketOpen { interface, family, at } => {
                info!(%interface, %family, %at, "VRRP socket open");
            }
            vrrp_thread::Event::SocketFailed { interface, error } => {
                error!(%interface, "VRRP cannot be spoken: {error}");
            }
            vrrp_thread::Event::SendFailed { id, error } => error!(router = %id, "cannot advertise: {error}"),
            vrrp_thread::Event::Weakened { what } => warn!("{what}"),
            vrrp_thread::Event::Withheld { id, master, silence } => {
                let silence = silence.as_millis();
                warn!(router = %id, %master, "no advertisement for {silence} ms, but {master} answers pings: not taking over");
            }
            vrrp_thread::Event::NoHeir { id } => warn!(router = %id, "nobody took over: staying master"),
            vrrp_thread::Event::Misfit { id, source, misfit } => {
                warn!(router = %id, %source, "an advertisement was not accepted: {misfit}");
            }
        }
    }

    /// The virtual routers of this box.
    pub(super) fn assignments(&self) -> Vec<Assignment> {
        let Some(me) = self.node.me() else { return Vec::new() };
        let config = self.node.config();
        let observed = self.reconciler.observed();
        let here = |link: &LinkName, address: IpAddr| {
            let index = observed.links.iter().find(|(_, l)| l.name == link.as_str()).map(|(&index, _)| index);
            observed.addresses.iter().any(|(i, cidr)| Some(*i) == index && cidr.address() == address)
        };
        config
            .vrrp
            .values()
            .filter_map(|instance| {
                let addresses_up =
                    instance.addresses.iter().all(|a| here(&instance.id.interface, a.address()));
                Some(Assignment { settings: Settings::of_member(instance, me)?, addresses_up })
            })
            .collect()
    }

    /// Tells the VRRP thread about the links that it speaks on; the first time only when this box could also serve as
    /// master.
    pub(super) fn tell_links(&mut self) {
        let Some(member) = self.node.me().and_then(|me| self.node.config().members.get(me)) else { return };
        let observed = self.reconciler.observed();
        let mut news = Vec::new();
        for (name, interface) in &member.interfaces {
            let link = observed.links.iter().find(|(_, l)| l.name == name.as_str());
            let (index, up) = link.map_or((0, false), |(&index, l)| (index, l.up && l.carrier));
            let mut own = interface.addresses.iter().filter(|a| a.address().is_ipv4());
            let ipv4 = own.find(|a| observed.addresses.contains(&(index, **a))).map(|a| a.address());
            // Over IPv6 VRRP speaks from the link-local address (RFC 9568 §5.1.2.1), which every port has.
            let ipv6 = link.and_then(|(_, l)| l.link_local).map(IpAddr::V6);
            for (family, primary) in [(Family::Ipv4, ipv4), (Family::Ipv6, ipv6)] {
                let key = (name.clone(), family);
                if self.links.get(&key) != Some(&(index, up, primary)) {
                    news.push((key, (index, up, primary)));
                }
            }
        }
        let usable = |(_, up, primary): &LinkNews| *up && primary.is_some();
        if let Some(since) = self.holding {
            let now = clock::now();
            let connected = news.iter().any(|(_, link)| usable(link));
            if since.is_none() && connected {
                self.holding = Some(Some(now));
                self.node.handle(node::Event::Connected, now);
                self.act();
            }
            let waited = since.is_some_and(|since| now.since(since) >= FIRST_CHECKS);
            // Asked for while the checks are under way.
            let called = connected && self.roll_called();
            let able = called && self.node.can_direct();
            if !able && !waited {
                return;
            }
            self.holding = None;
        } else if news.iter().any(|(_, link)| usable(link)) {
            self.node.handle(node::Event::Connected, clock::now());
            self.act();
        }
        for ((interface, family), (index, up, primary)) in news {
            self.command(Command::Link { interface: interface.clone(), family, index, up, primary });
            self.links.insert((interface, family), (index, up, primary));
        }
    }

    pub(super) fn command(&self, command: Command) {
        if let Err(error) = self.vrrp.send(command) {
            error!("{error}");
        }
    }

    /// Whether this box's table holds its fellows' connections, as far as they can be had; asks for them once its kernel
    /// can take them in.
    fn roll_called(&mut self) -> bool {
        if self.plan.state.sync.is_empty() {
            return true;
        }
        if !self.roll_call.has_asked() && self.reconciler.observed().sync.contains_key(&SyncRole::Backup) {
            self.roll_call.ask();
        }
        self.roll_call.has_asked() && self.roll_call.is_complete()
    }
}

fn state_word(state: VrrpState) -> &'static str {
    match state {
        VrrpState::Init => "init",
        VrrpState::Backup => "backup",
        VrrpState::Master => "master",
        VrrpState::Fault => "fault",
    }
}
