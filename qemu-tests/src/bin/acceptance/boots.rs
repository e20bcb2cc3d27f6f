//! Every way in which a box starts: direct, from its disk by both firmwares, on the buses and cards of real servers.
//!
//! A box that starts from its disk has the image's own kernel parameters and thus no report tty: it is judged by what it
//! puts on the wire and on its console.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use halcyon_qemu_tests::client::load::Tally;
use halcyon_qemu_tests::pair::{BOOTS_WITHIN, Pair};
use halcyon_qemu_tests::vm::hardware::{Access, Bus, CardModel, Disk, Hardware, Start};
use halcyon_qemu_tests::wording::Wording;

use crate::case::{Case, Story, ensure};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[
    Case { name: "boots::direct_without_a_document", machines: 1, tell: unconfigured },
    Case { name: "boots::direct_e1000e", machines: 1, tell: direct_e1000e },
    Case {
        name: "boots::bios_virtio",
        machines: 1,
        tell: |story| disk(story, Firmware::Bios, Bus::Virtio, &[]),
    },
    Case {
        name: "boots::bios_ahci_twin",
        machines: 1,
        tell: |story| disk(story, Firmware::Bios, Bus::Ahci, &[Bus::Ahci]),
    },
    Case { name: "boots::bios_nvme", machines: 1, tell: |story| disk(story, Firmware::Bios, Bus::Nvme, &[]) },
    Case { name: "boots::uefi_ahci", machines: 1, tell: |story| disk(story, Firmware::Uefi, Bus::Ahci, &[]) },
    Case { name: "boots::uefi_nvme", machines: 1, tell: |story| disk(story, Firmware::Uefi, Bus::Nvme, &[]) },
    Case {
        name: "boots::uefi_virtio_twin",
        machines: 1,
        tell: |story| disk(story, Firmware::Uefi, Bus::Virtio, &[Bus::Virtio]),
    },
];

/// What starts the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Firmware {
    /// SeaBIOS.
    Bios,
    /// OVMF.
    Uefi,
}

/// When Debian 13 came out, 2025-08-09, in seconds since 1970: no image is older.
const DEBIAN_13: u64 = 1_754_697_600;

/// The port of the demo application when no kernel parameter names one.
const PLAIN_PORT: u16 = 8898;

fn unconfigured(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        pair.boxes[0].hardware.disks.clear();
        story.step("without a disk and a document it waits, and says so", |_| {
            pair.power_on(0)?;
            let machine = pair.boxes[0].machine()?;
            let ready = machine.report.expect("ready", BOOTS_WITHIN, |event| event.kind() == "ready")?;
            ensure(ready.event["unconfigured"] == true, || format!("ready says {}", ready.event))?;
            let mac = pair.cluster.members[0].mac.to_string();
            pair.boxes[0].machine()?.console.expect("HALCYON", Duration::from_secs(30)).with_context(|| {
                format!(
                    "the console should say that a volume labelled HALCYON is wanted, and that it found {mac}"
                )
            })
        })?;
        story.step("nothing of it is on the wire that looks like a member", |_| {
            let port = pair.boxes[0].port;
            let adverts = pair.lab.with(move |network| network.switch.adverts.last_from(port).is_some());
            ensure(!adverts, || "it sends advertisements".into())
        })
    })
}

fn direct_e1000e(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        let hardware = &mut pair.boxes[0].hardware;
        hardware.cards[0].model = CardModel::E1000e;
        hardware.disks[0].bus = Bus::Usb;
        hardware.more.extend(["-rtc".into(), "base=1990-01-01T00:00:00".into()]);
        story.step("with an Intel card, the document on a USB stick", |story| {
            pair.power_on(0)?;
            pair.wait_ready(0)?;
            serves_alone(story, pair)
        })?;
        story.step("with a dead clock battery its time is the image's", |story| {
            let stat = pair.agent(0).read("/proc/stat")?;
            let btime = stat.lines().find_map(|line| line.strip_prefix("btime ")).context("no btime")?;
            let began: u64 = btime.trim().parse()?;
            story.note(format!("started at {began}"));
            ensure(began >= DEBIAN_13, || format!("the box believes that it started at {began}"))
        })
    })
}

fn disk(story: &mut Story, firmware: Firmware, bus: Bus, twins: &[Bus]) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        pair.cluster.port = PLAIN_PORT;
        let image = pair.image.disk.clone();
        let attach = |bus: Bus| Disk { file: image.clone(), bus, access: Access::Scratch };
        let stick = pair.boxes[0].hardware.disks.remove(0);
        let hardware = &mut pair.boxes[0].hardware;
        hardware.disks.push(attach(bus));
        hardware.disks.extend(twins.iter().map(|bus| attach(*bus)));
        hardware.disks.push(stick);
        start_by(firmware, hardware, story)?;
        story.step("starts from its disk and serves", |story| {
            pair.power_on(0)?;
            let port = pair.boxes[0].port;
            serves_alone(story, pair)?;
            let advertises = pair.lab.with(move |network| network.switch.adverts.last_from(port).is_some());
            ensure(advertises, || "it serves without advertising".into())
        })
    })
}

/// Has the machine start from its first disk, with the memory that takes.
pub(crate) fn start_by(firmware: Firmware, hardware: &mut Hardware, story: &Story) -> Result<()> {
    (hardware.start, hardware.memory) = match firmware {
        Firmware::Bios => (Start::Bios, 256),
        Firmware::Uefi => (uefi(story)?, 512),
    };
    Ok(())
}

/// OVMF's code, and a copy of its variables for this machine.
fn uefi(story: &Story) -> Result<Start> {
    let find = |names: [&str; 2]| {
        let paths = names.map(|name| PathBuf::from("/usr/share/OVMF").join(name));
        paths
            .into_iter()
            .find(|path| path.exists())
            .context("no OVMF in /usr/share/OVMF; install the package ovmf")
    };
    let code = find(["OVMF_CODE_4M.fd", "OVMF_CODE.fd"])?;
    let template = find(["OVMF_VARS_4M.fd", "OVMF_VARS.fd"])?;
    let variables = story.logs.join("variables.fd");
    std::fs::copy(&template, &variables).with_context(|| format!("copying {}", template.display()))?;
    Ok(Start::Uefi { code, variables })
}

/// The box serves everything by itself.
fn serves_alone(story: &mut Story, pair: &mut Pair) -> Result<()> {
    let name = pair.cluster.members[0].name.clone();
    if let Err(error) = pair.wait_served_by(&[&name]) {
        let screen = pair.boxes[0].machine()?.console.screen();
        bail!("{error:#}; the console shows:\n{screen}");
    }
    let machine = pair.boxes[0].machine()?;
    let since = machine.started();
    story.note(format!("serves {:.1} s after power on", pair.lab.now().since(since).as_secs_f64()));
    let tally = Tally::of(&pair.requests(40));
    ensure(tally.lost() == 0, || tally.to_string())
}
