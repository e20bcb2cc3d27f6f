//! What a box asks of its site: the time and names, by servers that the document gives, and an address for a port beside,
//! by DHCP.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, bail};
use halcyon_qemu_tests::agent::{Agent, BUSYBOX, HALCTL};
use halcyon_qemu_tests::draw::Cluster;
use halcyon_qemu_tests::pair::Pair;
use halcyon_qemu_tests::servant::{Lending, Servant};
use halcyon_qemu_tests::switch::frame::Mac;
use halcyon_qemu_tests::switch::{PortId, Segment};
use halcyon_qemu_tests::vm::hardware::{Card, CardModel};
use halcyon_qemu_tests::wording::Wording;

use crate::case::{Case, Story, ensure};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[Case { name: "network::site", machines: 1, tell: site }];

/// How far the site's clock is ahead of the box's: nobody reaches that by drifting.
const AHEAD: Duration = Duration::from_secs(7 * 86_400);
/// A box has asked, been told and acted within this, under emulation and on a busy host.
const DONE_WITHIN: Duration = Duration::from_secs(90);
/// A test host's clock and a box's that agree differ by less, however late an answer is.
const AGREE: Duration = Duration::from_secs(60);
/// Half of it passes before the box asks for more.
const LEASE: Duration = Duration::from_secs(30);

/// The servers' cards; no drawn ones are like them.
const SITE_MAC: Mac = Mac([0x06, 0, 0, 0, 0, 2]);
const LENDER_MAC: Mac = Mac([0x06, 0, 0, 0, 0, 3]);

/// On the segment beside: the lender, and what it lends.
const LENDER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
const LENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 77);

/// The box of the story: what a document says at its end belongs to its last member.
const BOX: usize = 1;

fn site(story: &mut Story) -> Result<()> {
    let cluster = Cluster::draw(&story.seed);
    let address = unused(&cluster).context("the segment is full")?;
    let port = cluster.members[BOX].back_mac;
    let more = format!(
        "\n[dns]\nservers = [\"{address}\"]\n\n[time]\nntp = [\"{address}\"]\n\n\
         [[member.interface]]\nname = \"office\"\nmac = \"{port}\"\ndhcp = true\n"
    );
    story.with_pair(Wording { more, ..Wording::default() }, |story, pair| {
        let mut servant = Servant::new(SITE_MAC, address);
        servant.ahead = AHEAD;
        servant.host = pair.cluster.gateway;
        let servant = pair.lab.with(move |network| network.add_servant(Segment::Front, servant));
        let mut lender = Servant::new(LENDER_MAC, LENDER);
        lender.lending = Some(Lending { address: LENT, prefix: 24, router: LENDER, lease: LEASE });
        let lender = pair.lab.with(move |network| network.add_servant(Segment::Back, lender));
        beside(pair)?;
        story.step("boots", |_| {
            pair.power_on(BOX)?;
            pair.wait_ready(BOX)?;
            let name = pair.cluster.members[BOX].name.clone();
            pair.wait_served_by(&[&name])
        })?;
        let agent = pair.agent(BOX);
        story.step("follows the site's clock, and no virtual router moves", |story| {
            clock(story, pair, &agent, servant)
        })?;
        story.step("its programs can look up names", |_| {
            let told = agent.shell(&format!("{BUSYBOX} nslookup till.example.net"), "")?;
            ensure(told.contains(&pair.cluster.gateway.to_string()), || told)
        })?;
        story.step("is lent an address, answers there, and asks for more in time", |story| {
            lease(story, pair, &agent, lender)
        })?;
        story.step("gives an address up that it is refused", |_| {
            with(pair, lender, |lender| lender.lending = None)?;
            until(|| Ok(!status(&agent)?.contains(&LENT.to_string())))
        })
    })
}

/// Gives the box a second card, on the segment beside.
fn beside(pair: &mut Pair) -> Result<()> {
    let hardware = &mut pair.boxes[BOX].hardware;
    let socket = hardware.cards[0].socket.with_extension("office");
    pair.lab.plug(&socket, Segment::Back)?;
    hardware.cards.push(Card { mac: pair.cluster.members[BOX].back_mac, model: CardModel::Virtio, socket });
    Ok(())
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
    until(|| {
        let seconds: u64 = agent.shell(&format!("{BUSYBOX} date +%s"), "")?.trim().parse()?;
        let here = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)? + AHEAD;
        Ok(here.abs_diff(Duration::from_secs(seconds)) < AGREE)
    })?;
    until(|| Ok(status(agent)?.contains("\"synchronised\":true")))?;
    story.note(format!("asked {:?}", with(pair, servant, |servant| servant.asked.clone())?));
    let vrid = pair.cluster.vrid;
    let events = pair.boxes[BOX].machine()?.report.events();
    let since = events.iter().skip_while(|event| !event.is_vrrp(vrid, "master"));
    let states: Vec<&str> =
        since.filter(|event| event.kind() == "vrrp").map(|event| event.text("state")).collect();
    ensure(states == ["master"], || format!("the virtual router went through {states:?}"))
}

fn lease(story: &mut Story, pair: &mut Pair, agent: &Agent, lender: PortId) -> Result<()> {
    until(|| Ok(status(agent)?.contains(&format!("\"address\":\"{LENT}/24\""))))?;
    let card = pair.cluster.members[BOX].back_mac;
    until(|| {
        with(pair, lender, move |lender| {
            lender.ping(card, LENT);
            lender.asked.contains_key("echo")
        })
    })?;
    let renewals =
        |pair: &Pair| with(pair, lender, |lender| lender.asked.get("renewal").copied().unwrap_or(0));
    let before = renewals(pair)?;
    until(|| Ok(renewals(pair)? > before))?;
    story.note(format!("asked {:?}", with(pair, lender, |lender| lender.asked.clone())?));
    ensure(status(agent)?.contains(&LENT.to_string()), || "the address is gone".into())
}

/// Waits until it holds.
fn until(mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + DONE_WITHIN;
    while !holds()? {
        if Instant::now() > deadline {
            bail!("it did not come to that within {} s", DONE_WITHIN.as_secs());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

fn status(agent: &Agent) -> Result<String> {
    agent.shell(&format!("{HALCTL} status --json"), "")
}

/// Has the network thread do something with a server.
fn with<R: Send + 'static>(
    pair: &Pair,
    port: PortId,
    work: impl FnOnce(&mut Servant) -> R + Send + 'static,
) -> Result<R> {
    pair.lab.with(move |network| network.servant(port).map(work)).context("no server there")
}
