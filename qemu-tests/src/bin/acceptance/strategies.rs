//! What tells the strategies `standby` and `second-nic` from `weights`, on a pair with four services.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::Result;
use halcyon_core::moment::Moment;
use halcyon_qemu_tests::agent::BUSYBOX;
use halcyon_qemu_tests::draw::Member;
use halcyon_qemu_tests::storm::figures::Promise;
use halcyon_qemu_tests::storm::quartet;
use halcyon_qemu_tests::storm::site::{Make, Manner, Site};
use halcyon_qemu_tests::switch::crossings::Summary;
use halcyon_qemu_tests::switch::faults::{Fault, Traffic};
use halcyon_qemu_tests::tables;
use halcyon_qemu_tests::wording::Strategy;

use crate::case::{Case, Story, ensure};
use crate::serving::{all_answered, crossings};
use crate::storm::kept;

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[
    Case { name: "strategies::standby", machines: 2, tell: standby },
    Case { name: "strategies::second_nic", machines: 2, tell: second_nic },
];

/// Connections (or queries) to each service in each state.
const ASKED: usize = 200;

/// Between two requests to a service while something happens.
const PACE: Duration = Duration::from_millis(50);

/// ICMP's protocol number (RFC 792).
const ICMP: u8 = 1;

/// A box notices and has acted within this, under emulation and on a busy host.
const NOTICED_WITHIN: Duration = Duration::from_secs(60);

fn standby(story: &mut Story) -> Result<()> {
    story.with_site(Make::Halcyon, Strategy::STANDBY, |story, site| {
        story.step("boots, and the backup neither directs nor holds the address", |_| {
            site.boot()?;
            wait_idle(site, 1)
        })?;
        story
            .step("the backup serves what is forwarded to it", |story| serves(story, site, true).map(drop))?;
        story.step("VRRP alone falling silent moves nothing while pings are answered", |story| {
            silence(site, &[Traffic::Vrrp]);
            let began = site.pair.lab.now();
            // Of everything that could make the backup move, this much passes several times.
            let patience = 4 * site.pair.cluster.master_down_interval(1, &site.pair.wording);
            while site.pair.lab.now().since(began) < patience {
                serves(story, site, true)?;
            }
            ensure(!advertised(site, 1, began), || "the backup became master".into())?;
            wait_idle(site, 1)
        })?;
        story.step("both falling silent, it takes over", |story| {
            while_asked(story, site, |site| {
                silence(site, &[Traffic::Vrrp, Traffic::Ip(ICMP)]);
                site.pair.wait_masters(&[0, 1])
            })
        })?;
        story.step("two directors at a time do not bounce packets", |story| {
            site.pair.wait_settled()?;
            serves(story, site, false).map(drop)
        })?;
        story.step("it hands back, and lets the address go", |story| {
            while_asked(story, site, Site::heal)?;
            // Its table stays for a minute, for those who have not noticed.
            wait_without_address(site, 1)?;
            site.wait_master(0)
        })?;
        story.step("both serve as before", |story| serves(story, site, true).map(drop))
    })
}

fn second_nic(story: &mut Story) -> Result<()> {
    let strategy = Strategy::SecondNic { fallback: "lan" };
    story.with_site(Make::Halcyon, strategy, |story, site| {
        story.step("boots", |_| site.boot())?;
        story.step("forwards over the second segment only", |story| over_the_back(story, site))?;
        story.step("with that segment dark, it falls back to the first", |story| {
            site.pair.set_back_switch(false)?;
            wait_forwards_to(site, |member| member.address)?;
            let seen = serves(story, site, true)?;
            ensure(seen.frames > 0 && seen.frames_back == 0, || format!("{seen:?}"))
        })?;
        story.step("lit again, the second segment is used again", |story| {
            light_up(site)?;
            over_the_back(story, site)
        })?;
        story.step("by another document, it refuses to fall back", |story| {
            site.pair.wording.strategy = Strategy::SecondNic { fallback: "refuse" };
            site.change_document()?;
            site.wait_master(0)?;
            site.wait_tables(&[0, 1], &[0, 1])?;
            site.pair.set_back_switch(false)?;
            for which in [0, 1] {
                site.wait_tables(&[which], &[which])?;
            }
            let seen = serves(story, site, false)?;
            ensure(seen.frames == 0, || format!("something was forwarded: {seen:?}"))
        })?;
        story.step("lit again, both serve", |story| {
            light_up(site)?;
            over_the_back(story, site)
        })
    })
}

/// Both serve, and whatever is forwarded passes on the second segment.
fn over_the_back(story: &mut Story, site: &Site) -> Result<()> {
    let seen = serves(story, site, true)?;
    ensure(seen.frames > 0 && seen.frames == seen.frames_back, || {
        format!("{} of {} frames crossed on the second segment", seen.frames_back, seen.frames)
    })
}

fn light_up(site: &mut Site) -> Result<()> {
    site.pair.set_back_switch(true)?;
    wait_forwards_to(site, |member| member.back_address)
}

/// Waits until each box's table names the other by `wanted`, one of its addresses, and nowhere by the other one.
fn wait_forwards_to(site: &Site, wanted: fn(&Member) -> Ipv4Addr) -> Result<()> {
    for which in [0, 1] {
        let other = &site.pair.cluster.members[1 - which];
        let named = |table: &str, address: Ipv4Addr| table.contains(&format!(" -r {address}:"));
        let all = [other.address, other.back_address];
        tables::wait_for(
            site.agent(which),
            &format!("{} alone for the other box", wanted(other)),
            |table| all.iter().all(|address| named(table, *address) == (*address == wanted(other))),
        )?;
    }
    site.wait_tables(&[0, 1], &[0, 1])
}

/// Asks all services: everything is answered and nothing crosses twice. What the switch saw meanwhile.
fn serves(story: &mut Story, site: &Site, balanced: bool) -> Result<Summary> {
    let figures = site.load(ASKED, Manner::default());
    kept(story, &figures, |column| promise(balanced && !quartet::is_sticky(column)))?;
    Ok(site.pair.lab.with(|network| network.switch.crossings.summary().clone()))
}

/// Requests to all services while something happens, and well past it: none fails but those under way while the virtual
/// address moved, and nothing crosses twice.
fn while_asked(
    story: &mut Story,
    site: &mut Site,
    meanwhile: impl FnOnce(&mut Site) -> Result<()>,
) -> Result<()> {
    site.pair.lab.with(|network| network.switch.crossings.reset());
    let streams = site.streams(PACE, Manner::default());
    // So many answers later the streams are under way.
    site.pair.requests(40);
    meanwhile(site)?;
    site.pair.requests(ASKED);
    for stream in streams {
        all_answered(story, &site.pair, &stream.stop())?;
    }
    crossings(story, &site.pair)
}

/// Clients that persistence bound to a server while it was alone stay with it.
fn promise(balanced: bool) -> Promise {
    Promise { boxes: 2, balanced, bound: !balanced }
}

/// Cuts these kinds of traffic between the boxes.
fn silence(site: &Site, traffic: &[Traffic]) {
    let ports = site.pair.ports();
    let faults = traffic.iter().map(|one| Fault::partition(*one, ports[0], ports[1])).collect();
    site.pair.lab.with(|network| network.switch.faults.set(faults));
}

/// Whether a box sent an advertisement since then.
fn advertised(site: &Site, which: usize, since: Moment) -> bool {
    let port = site.pair.boxes[which].port;
    site.pair.lab.with(move |network| network.switch.adverts.first_from(port, since).is_some())
}

/// Waits until the box has no virtual service, and the virtual address on no link.
fn wait_idle(site: &Site, which: usize) -> Result<()> {
    tables::wait_for(site.agent(which), "nothing", |table| table.trim().is_empty())?;
    wait_without_address(site, which)
}

/// Waits until the box has the virtual address on no link.
fn wait_without_address(site: &Site, which: usize) -> Result<()> {
    let agent = site.agent(which);
    let vip = format!("inet {}/", site.pair.cluster.vip);
    let deadline = Instant::now() + NOTICED_WITHIN;
    loop {
        let shown = agent.run(&[BUSYBOX, "ip", "-4", "addr", "show", "dev", &site.pair.cluster.link], "")?;
        if !shown.contains(&vip) {
            return Ok(());
        }
        ensure(Instant::now() < deadline, || format!("the virtual address stays:\n{shown}"))?;
    }
}
