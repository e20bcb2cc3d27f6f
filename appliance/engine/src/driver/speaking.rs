//! The engine's side of the talk with the VRRP thread: which virtual routers it runs on which links, when it may begin,
//! and what follows from what it tells.

use std::net::IpAddr;
use std::time::Duration;

use halcyon_core::config::VrrpInstance;
use halcyon_core::config::types::{Family, LinkName};
use halcyon_core::moment::Moment;
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

/// How long a box that has just started waits for its first healthy servers, once its link is usable and its
/// applications may start, before it speaks VRRP all the same.
const FIRST_CHECKS: Duration = Duration::from_millis(1500);
/// How often it checks them meanwhile.
const IMPATIENCE: Duration = Duration::from_millis(100);

/// Whether this box takes part in VRRP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Voice {
    /// Not yet: it listens.
    Silent {
        /// Since when a link is usable, if one is.
        connected: Option<Moment>,
        /// When to check again the servers that were checked in vain.
        again: Moment,
    },
    /// For good.
    Speaking,
}

/// What the VRRP thread was told of a link in one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    /// The kernel's index; 0: this box has no such link.
    index: u32,
    /// The address to speak from; `None` while it is down, has no carrier or no such address.
    primary: Option<IpAddr>,
}

impl<K: Kernel> Driver<K> {
    /// What VRRP tells.
    pub(super) fn vrrp(&mut self, event: vrrp_thread::Event) {
        match event {
            vrrp_thread::Event::StateChanged { id, to, why, silent, at, .. } => {
                info!(router = %id, "{to}: {why}");
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
        let assignment = |instance: &VrrpInstance| {
            let link = observed.by_name(instance.id.interface.as_str());
            let addresses_up = link.is_some_and(|(index, _)| {
                instance.addresses.iter().all(|own| observed.has(index, own.address()))
            });
            Some(Assignment { settings: Settings::of_member(instance, me)?, addresses_up })
        };
        config.vrrp.values().filter_map(assignment).collect()
    }

    /// Tells the VRRP thread about the links that it speaks on, and has it begin once this box could also serve as
    /// master.
    pub(super) fn tell_links(&mut self) {
        let mut connected = false;
        for ((interface, family), link) in self.news_of_links() {
            let Told { index, primary } = link;
            // A box that starts has no use for links that are not there yet.
            if primary.is_none() && self.voice != Voice::Speaking {
                continue;
            }
            self.command(Command::Link { interface: interface.clone(), family, index, primary });
            self.links.insert((interface, family), link);
            connected |= primary.is_some();
        }
        if connected {
            self.connected();
        }
        self.begin_if_able();
    }

    /// The links of this box of which the thread was told something else than what is observed.
    fn news_of_links(&self) -> Vec<((LinkName, Family), Told)> {
        let member = self.node.me().and_then(|me| self.node.config().members.get(me));
        let observed = self.reconciler.observed();
        let mut news = Vec::new();
        for (name, interface) in member.iter().flat_map(|member| &member.interfaces) {
            let link = observed.by_name(name.as_str());
            let index = link.map_or(0, |(index, _)| index);
            let usable = link.filter(|(_, facts)| facts.up && facts.carrier);
            let ipv4 = usable.and_then(|(index, _)| {
                let mut own = interface.addresses.iter().filter(|own| own.address().is_ipv4());
                own.find(|own| observed.addresses.contains(&(index, **own))).map(|own| own.address())
            });
            // Over IPv6 VRRP speaks from the link-local address (RFC 9568 §5.1.2.1), which every port has.
            let ipv6 = usable.and_then(|(_, facts)| facts.link_local).map(IpAddr::V6);
            for (family, primary) in [(Family::Ipv4, ipv4), (Family::Ipv6, ipv6)] {
                let (key, link) = ((name.clone(), family), Told { index, primary });
                if self.links.get(&key) != Some(&link) {
                    news.push((key, link));
                }
            }
        }
        news
    }

    /// A link became usable: what was checked in vain is checked again.
    fn connected(&mut self) {
        let now = clock::now();
        if let Voice::Silent { connected: connected @ None, again } = &mut self.voice {
            (*connected, *again) = (Some(now), now + IMPATIENCE);
        }
        self.node.handle(node::Event::Connected, now);
        self.act();
    }

    /// Begins with VRRP once a server of every service is healthy, or was waited for long enough.
    fn begin_if_able(&mut self) {
        // Whoever is elected has to have its rules and services.
        let Some(ready) = self.ready_since else { return };
        let now = clock::now();
        let Voice::Silent { connected: Some(connected), again } = &mut self.voice else { return };
        let (connected, due) = (*connected, *again <= now);
        if due {
            *again = now + IMPATIENCE;
        }
        let waited = now.since(ready.max(connected)) >= FIRST_CHECKS;
        // Asked for while the checks are under way.
        let able = self.roll_called() && self.node.can_direct();
        if able || waited {
            self.begin();
        } else if due {
            self.node.handle(node::Event::Awaited, now);
            self.act();
        }
    }

    /// Takes part in VRRP from now on.
    pub(super) fn begin(&mut self) {
        self.voice = Voice::Speaking;
        self.command(Command::Begin);
    }

    /// When a box that waits for its first healthy servers wants to check them again.
    pub(super) fn awaited_at(&self) -> Option<Moment> {
        match self.voice {
            Voice::Silent { connected: Some(_), again } => Some(again),
            Voice::Silent { connected: None, .. } | Voice::Speaking => None,
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
