//! What a box asks of its site: the time and names, by servers that the document gives.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
use halcyon_qemu_tests::agent::{Agent, BUSYBOX, HALCTL};
use halcyon_qemu_tests::draw::Cluster;
use halcyon_qemu_tests::pair::Pair;
use halcyon_qemu_tests::servant::Servant;
use halcyon_qemu_tests::switch::frame::Mac;
use halcyon_qemu_tests::switch::{PortId, Segment};
use halcyon_qemu_tests::wording::Wording;

use crate::case::{Case, Story, ensure};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[Case { name: "network::site", machines: 1, tell: site }];

/// How far the site's clock is ahead of the box's: nobody reaches that by drifting.
const AHEAD: Duration = Duration::from_secs(7 * 86_400);
/// A box has asked, been told and acted within this, under emulation and on a busy host.
const DONE_WITHIN: Duration = Duration::from_secs(60);
/// A test host's clock and a box's that agree differ by less, however late an answer is.
const AGREE: Duration = Duration::from_secs(60);

/// The server's card; no drawn one is like it.
const SITE_MAC: Mac = Mac([0x06, 0, 0, 0, 0, 2]);

fn site(story: &mut Story) -> Result<()> {
    let cluster = Cluster::draw(&story.seed);
    let (mac, address) = (SITE_MAC, unused(&cluster).context("the segment is full")?);
    let more = format!("\n[dns]\nservers = [\"{address}\"]\n\n[time]\nntp = [\"{address}\"]\n");
    story.with_pair(Wording { more, ..Wording::default() }, |story, pair| {
        let mut servant = Servant::new(mac, address);
        servant.ahead = AHEAD;
        servant.host = pair.cluster.gateway;
        let port = pair.lab.with(move |network| network.add_servant(Segment::Front, servant));
        story.step("boots", |_| {
            pair.power_on(0)?;
            pair.wait_ready(0)?;
            let name = pair.cluster.members[0].name.clone();
            pair.wait_served_by(&[&name])
        })?;
        let agent = pair.agent(0);
        story.step("follows the site's clock, and no virtual router moves", |story| {
            clock(story, pair, &agent, port)
        })?;
        story.step("its programs can look up names", |_| {
            let told = agent.shell(&format!("{BUSYBOX} nslookup till.example.net"), "")?;
            ensure(told.contains(&pair.cluster.gateway.to_string()), || told)
        })
    })
}

/// An address of the clients' segment that nobody has.
fn unused(cluster: &Cluster) -> Option<Ipv4Addr> {
    let base = cluster.gateway.octets();
    let taken: Vec<Ipv4Addr> = cluster
        .clients
        .iter()
        .chain(&cluster.guests)
        .map(|(_, address)| *address)
        .chain(cluster.members.iter().map(|member| member.address))
        .chain([cluster.vip, cluster.gateway])
        .collect();
    (1..=126).map(|host| Ipv4Addr::new(base[0], base[1], base[2], host)).find(|own| !taken.contains(own))
}

/// The box takes a time that is a week ahead, while it is master.
fn clock(story: &mut Story, pair: &mut Pair, agent: &Agent, servant: PortId) -> Result<()> {
    let deadline = Instant::now() + DONE_WITHIN;
    let moved = loop {
        let seconds: u64 = agent.shell(&format!("{BUSYBOX} date +%s"), "")?.trim().parse()?;
        let here = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)? + AHEAD;
        let apart = here.abs_diff(Duration::from_secs(seconds));
        if apart < AGREE {
            break true;
        }
        if Instant::now() > deadline {
            break false;
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    let asked =
        pair.lab.with(move |network| network.servant(servant).map(|s| s.asked.clone())).unwrap_or_default();
    ensure(moved, || format!("the clock stands where it stood; the server was asked {asked:?}"))?;
    let status = agent.shell(&format!("{HALCTL} status --json"), "")?;
    story.note(format!("asked {asked:?}"));
    ensure(status.contains("\"synchronised\":true"), || status)?;
    let vrid = pair.cluster.vrid;
    let events = pair.boxes[0].machine()?.report.events();
    let left = events
        .iter()
        .skip_while(|event| !event.is_vrrp(vrid, "master"))
        .filter(|event| event.kind() == "vrrp");
    let states: Vec<&str> = left.map(|event| event.text("state")).collect();
    ensure(states == ["master"], || format!("the virtual router went through {states:?}"))
}
