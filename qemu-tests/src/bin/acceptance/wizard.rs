//! The wizard over a serial line, as a person with a terminal sees and drives it: from factory-fresh to a serving address.
//! What came of it is judged on the wire, by what clients learn and are answered, and not by the screen.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use halcyon_core::moment::Moment;
use halcyon_qemu_tests::pair::{BOOTS_WITHIN, Pair};
use halcyon_qemu_tests::wording::Wording;

use crate::case::{Case, Story, ensure};
use crate::config::{install, started_from_disk};

/// The cases of this file.
pub(crate) const CASES: &[Case] =
    &[Case { name: "wizard::factory_to_serving", machines: 1, tell: factory_to_serving }];

/// A screen follows a key within this, on a busy host too.
const SHOWS_WITHIN: Duration = Duration::from_secs(60);
/// The administrator's.
const PASSWORD: &str = "correct horse battery";
/// Empties the field.
const CLEAR: &str = "\x15";

/// Types on the first box's console and waits until the screen shows something.
fn answer(pair: &mut Pair, keys: &str, then: &str) -> Result<()> {
    let console = &mut pair.boxes[0].machine()?.console;
    console.type_keys(keys)?;
    console.expect_on_screen(then, SHOWS_WITHIN)
}

fn factory_to_serving(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        pair.boxes[0].hardware.disks.clear();
        install(story, pair)?;
        started_from_disk(pair);
        let (mine, other) = (pair.cluster.members[0].clone(), pair.cluster.members[1].clone());
        let (prefix, vip) = (pair.cluster.prefix, pair.cluster.vip);
        story.step("a factory-fresh box asks", |_| {
            pair.power_on(0)?;
            let console = &pair.boxes[0].machine()?.console;
            console.expect_on_screen("step 1 of 10", BOOTS_WITHIN)
        })?;
        story.step("what it refuses it refuses with a reason", |_| {
            let name = pair.cluster.name.clone();
            answer(pair, "\t\r", "step 2 of 10")?;
            answer(pair, "12345678\r12345679\r\r", "the two are not the same")?;
            pair.boxes[0].machine()?.console.expect_on_screen("it can be guessed", SHOWS_WITHIN)?;
            let keys = format!("{CLEAR}{PASSWORD}\r{CLEAR}{PASSWORD}\r\r");
            answer(pair, &keys, "step 3 of 10")?;
            let keys = format!("{CLEAR}{name}\r{CLEAR}{}\r", mine.name);
            answer(pair, &keys, &mine.mac.to_string())?;
            answer(pair, "\r\r", "step 4 of 10")?;
            answer(pair, &format!("{}\r", mine.address), "has no prefix length")
        })?;
        story.step("its screens lead to a document without a fault", |_| {
            let (gateway, vrid) = (pair.cluster.gateway, pair.cluster.vrid);
            let (service, port) = (pair.cluster.service.clone(), pair.cluster.port);
            let keys = format!("\x1b[A{CLEAR}{}/{prefix}\r{gateway}\r\r", mine.address);
            answer(pair, &keys, "step 5 of 10")?;
            answer(pair, "\r\r", "step 6 of 10")?;
            let keys = format!("{CLEAR}{}\r{}\r{}/{prefix}\r\r\r", other.name, other.mac, other.address);
            answer(pair, &keys, "step 7 of 10")?;
            let keys = format!("{vip}/{prefix}\r{CLEAR}{vrid}\r\r{CLEAR}100ms\r\r");
            answer(pair, &keys, "step 8 of 10")?;
            let keys = format!("\r{CLEAR}{service}\r{CLEAR}{port}\r\r\r{CLEAR}\r\r\r\r\r");
            answer(pair, &keys, "step 9 of 10")?;
            answer(pair, "\r\r", "step 10 of 10")?;
            pair.boxes[0].machine()?.console.expect_on_screen("Try it", SHOWS_WITHIN)
        })?;
        story.step("what is tried can be undone, and the box is without a document again", |_| {
            answer(pair, "\r", "seconds left")?;
            pair.wait_ready(0)?;
            let mark = pair.boxes[0].machine()?.report.mark();
            answer(pair, "\t\r", "step 10 of 10")?;
            let report = &pair.boxes[0].machine()?.report;
            report
                .expect_after(mark, "unconfigured", BOOTS_WITHIN, |event| event.event["unconfigured"] == true)
                .map(drop)
        })?;
        story.step("what is tried and kept serves", |_| {
            let mark = pair.boxes[0].machine()?.report.mark();
            answer(pair, "\r", "seconds left")?;
            pair.wait_vrrp(0, mark, "master", BOOTS_WITHIN)?;
            answer(pair, "\r", &format!("{} of {}", mine.name, pair.cluster.name))?;
            pair.wait_served_by(&[&mine.name])?;
            let claimants = pair.lab.with(move |network| network.switch.claims.claimants(vip, Moment::ZERO));
            let only = BTreeSet::from([mine.mac]);
            ensure(claimants == only, || format!("{vip} is claimed by {claimants:?}, not {only:?}"))
        })?;
        story.step("its dashboard tells so, and leads to the command line and back", |_| {
            let console = &pair.boxes[0].machine()?.console;
            console.expect_on_screen("MASTER", SHOWS_WITHIN)?;
            answer(pair, "c", "Admin password")?;
            answer(pair, &format!("{PASSWORD}\r"), "halctl>")?;
            answer(pair, "dashboard\r", "m menu").context("the way back")
        })?;
        story.step("a change is tried behind the password", |_| change(pair))?;
        story.step("after a power cut it serves without a question, as before the change", |_| {
            pair.cut_power(0);
            pair.power_on(0)?;
            pair.wait_ready(0)?;
            pair.wait_served_by(&[&mine.name])?;
            let console = &pair.boxes[0].machine()?.console;
            console.expect_on_screen("MASTER", SHOWS_WITHIN)?;
            console.expect_on_screen("document revision 1,", SHOWS_WITHIN)
        })?;
        story.step("a change that is tried and kept stays, and serves", |_| {
            change(pair)?;
            answer(pair, "\r", "Change the configuration")?;
            answer(pair, "\x1b", "document revision 2,")?;
            pair.boxes[0].machine()?.console.expect_on_screen(", wrr", SHOWS_WITHIN)?;
            pair.wait_served_by(&[&mine.name])
        })?;
        story.step("who does not know the password is told so", |_| {
            answer(pair, "m", "Change the configuration")?;
            answer(pair, "8", "document revision 2,")?;
            answer(pair, "m", "Admin password")?;
            answer(pair, "12345678\r", "that is not the admin password")
        })
    })
}

/// Has the box's one service scheduled otherwise, up to the trial.
fn change(pair: &mut Pair) -> Result<()> {
    answer(pair, "m", "Admin password")?;
    answer(pair, &format!("{PASSWORD}\r"), "Change the configuration")?;
    answer(pair, "1", "step 1 of 8")?;
    answer(pair, "\r\r\r", "step 2 of 8")?;
    answer(pair, "\r\r", "step 3 of 8")?;
    answer(pair, "\r\r\r", "step 4 of 8")?;
    answer(pair, "\r\r\r", "step 5 of 8")?;
    answer(pair, "\r\r\r\r\r", "step 6 of 8")?;
    answer(pair, "\r\r\r\x1b[C\r\r\r\r\r\r", "step 7 of 8")?;
    answer(pair, "\r\r", "step 8 of 8")?;
    pair.boxes[0].machine()?.console.expect_on_screen("+scheduler = \"wrr\"", SHOWS_WITHIN)?;
    answer(pair, "\r", "seconds left")
}
