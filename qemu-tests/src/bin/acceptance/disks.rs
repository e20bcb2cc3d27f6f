//! The box's own disk and others: STATE, installation from a stick and from the network, and what a power cut leaves of it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use halcyon_qemu_tests::agent::{Agent, HALCTL};
use halcyon_qemu_tests::pair::{BOOTS_WITHIN, Pair};
use halcyon_qemu_tests::vm::hardware::{Access, Bus, Disk, Start};
use halcyon_qemu_tests::vm::report::Reported;
use halcyon_qemu_tests::wording::Wording;

use crate::boots::{self, Firmware};
use crate::case::{Case, Story, ensure};
use crate::config::{DISK, wait_history};

/// The cases of this file.
pub(crate) const CASES: &[Case] = &[
    Case { name: "disks::state", machines: 1, tell: state },
    Case {
        name: "disks::install_virtio_bios",
        machines: 1,
        tell: |story| installed(story, Bus::Virtio, "vda", Firmware::Bios),
    },
    Case {
        name: "disks::install_nvme_uefi",
        machines: 1,
        tell: |story| installed(story, Bus::Nvme, "nvme0n1", Firmware::Uefi),
    },
    Case {
        name: "disks::install_ahci_bios",
        machines: 1,
        tell: |story| installed(story, Bus::Ahci, "sda", Firmware::Bios),
    },
    Case { name: "disks::install_from_the_network", machines: 1, tell: from_network },
    Case { name: "disks::install_cut_off", machines: 1, tell: cut_off },
];

/// The port of the demo application when no kernel parameter names one.
const PLAIN_PORT: u16 = 8898;
/// STATE on the disk image begins behind everything else, bytes.
const STATE: u64 = 578 << 20;
/// The GUID of the EFI system partition in its entry of the table, bytes.
const SYSTEM_GUID: u64 = 1024 + 128 + 16;
/// Room for the image and a STATE that has to grow; a hole until it is written.
const TARGET: u64 = 1 << 30;
/// An installation ends within this, on a busy host.
const INSTALLS_WITHIN: Duration = Duration::from_secs(180);
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// A copy of the image on a disk of `bytes`.
pub(crate) fn image_on(story: &Story, pair: &Pair, bytes: u64) -> Result<PathBuf> {
    let file = story.logs.join("disk.img");
    let copied = Command::new("cp").arg("--sparse=always").arg(&pair.image.disk).arg(&file).status();
    ensure(copied.context("starting cp")?.success(), || "the disk image cannot be copied".into())?;
    File::options().write(true).open(&file)?.set_len(bytes).context("growing the disk")?;
    Ok(file)
}

fn empty_disk(story: &Story) -> Result<PathBuf> {
    let file = story.logs.join("target.img");
    File::create(&file)?.set_len(TARGET).context("making a disk")?;
    Ok(file)
}

pub(crate) fn writable(file: &Path, bus: Bus) -> Disk {
    Disk { file: file.to_owned(), bus, access: Access::Write }
}

/// Further words on the kernel's command line of the first box, which starts directly.
pub(crate) fn add_parameters(pair: &mut Pair, more: &str) {
    if let Start::Direct { parameters, .. } = &mut pair.boxes[0].hardware.start {
        parameters.push(' ');
        parameters.push_str(more);
    }
}

/// Waits until a script on the box prints something that holds `text`.
pub(crate) fn wait_shell(agent: &Agent, script: &str, text: &str) -> Result<String> {
    let deadline = Instant::now() + ANSWERS_WITHIN;
    loop {
        let told = agent.shell(script, "");
        if let Ok(told) = &told
            && told.contains(text)
        {
            return Ok(told.clone());
        }
        if Instant::now() > deadline {
            bail!("waiting for “{text}” from `{script}`, which is: {told:?}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

pub(crate) fn wait_told(pair: &mut Pair, text: &str, within: Duration) -> Result<()> {
    let is = |event: &Reported| event.kind() == "disk" && event.text("what").contains(text);
    pair.boxes[0].machine()?.report.expect(text, within, is).map(drop)
}

/// Mebibytes of STATE, as the box sees it.
const SIZE: &str = "/opt/test/busybox df -m /state | /opt/test/busybox tail -n 1";

fn state(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        let file = image_on(story, pair, TARGET)?;
        pair.boxes[0].hardware.disks.insert(0, writable(&file, Bus::Virtio));
        add_parameters(pair, DISK);
        let agent = pair.agent(0);
        story.step("at the first start it is made, as large as the disk allows", |story| {
            pair.power_on(0)?;
            pair.wait_ready(0)?;
            wait_shell(&agent, "cat /state/log/current", "logd")?;
            let told = agent.shell(SIZE, "")?;
            let size = told.split_whitespace().nth(1).and_then(|size| size.parse::<u64>().ok());
            story.note(format!("{size:?} MiB"));
            // The image is 643 MiB large, 64 of them STATE.
            ensure(size.is_some_and(|size| size > 400), || told.clone())?;
            agent.shell("echo kept >/state/mark; sync", "").map(drop)
        })?;
        story.step("the disk that the box runs from is shown, and refused", |story| {
            let told = agent.run(&[HALCTL, "install"], "")?;
            story.note(told.trim().to_owned());
            ensure(told.contains("a Halcyon, this box was started from it, in use"), || told.clone())?;
            let refused = agent.run(&[HALCTL, "install", "vda", "--yes"], "");
            let why = refused.err().map(|error| error.to_string()).unwrap_or_default();
            ensure(why.contains("the box was started from vda"), || why.clone())
        })?;
        story.step(
            "after a power cut, with a dead clock battery, it is there, and so is the time",
            |story| {
                let then: u64 = agent.read("/state/clock")?.trim().parse().context("the time on STATE")?;
                pair.cut_power(0);
                pair.boxes[0].hardware.more.extend(["-rtc".into(), "base=1990-01-01T00:00:00".into()]);
                pair.power_on(0)?;
                pair.wait_ready(0)?;
                wait_shell(&agent, "cat /state/mark", "kept")?;
                wait_shell(&agent, "cat /state/log/current", "the clock was set to the last known time")?;
                let now: u64 = agent.shell("date +%s", "")?.trim().parse().context("the time on the box")?;
                story.note(format!("{} s later", now.saturating_sub(then)));
                let before = agent.run(&[HALCTL, "logs", "100", "--boot", "-1"], "")?;
                let own = before.contains("the clock was set to the last known time");
                ensure(before.lines().count() > 5 && !own, || before.clone())?;
                ensure((then..then + 3600).contains(&now), || format!("{then}, then {now}"))
            },
        )?;
        story.step("damaged, it is made anew, and the box serves", |_| {
            pair.cut_power(0);
            let disk = File::options().write(true).open(&file).context("opening the disk")?;
            // The superblock, and what describes the first blocks.
            disk.write_all_at(&[0xa5; 16 * 1024], STATE).context("damaging STATE")?;
            pair.power_on(0)?;
            pair.wait_ready(0)?;
            wait_told(pair, "STATE is made anew", BOOTS_WITHIN)?;
            wait_shell(&agent, "ls -A /state", "clock")?;
            let left = agent.shell("ls /state", "")?;
            ensure(!left.contains("mark"), || left.clone())?;
            let name = pair.cluster.members[0].name.clone();
            pair.wait_served_by(&[&name])
        })
    })
}

/// Has the first box start from a stick with the image, `target` as its other disk, and install to `name`.
fn from_stick(story: &Story, pair: &mut Pair, target: &Path, bus: Bus, name: &str) -> Result<()> {
    pair.cluster.port = PLAIN_PORT;
    let stick = image_on(story, pair, std::fs::metadata(&pair.image.disk)?.len())?;
    let document = pair.boxes[0].hardware.disks.remove(0);
    pair.boxes[0].hardware.disks =
        vec![writable(&stick, Bus::Usb), writable(target, bus), Disk { bus: Bus::Usb, ..document }];
    add_parameters(pair, &format!("{DISK} halcyon.install={name}"));
    Ok(())
}

fn installed(story: &mut Story, bus: Bus, name: &str, firmware: Firmware) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        let target = empty_disk(story)?;
        from_stick(story, pair, &target, bus, name)?;
        story.step("a box installs itself from a stick, and switches itself off", |story| {
            pair.power_on(0)?;
            wait_told(pair, "installed on", INSTALLS_WITHIN)?;
            let began = pair.boxes[0].machine()?.started();
            pair.wait_off(0, ANSWERS_WITHIN)?;
            story.note(format!("{:.0} s after power on", pair.lab.now().since(began).as_secs_f64()));
            ensure(boots_from(&target)?, || "there is nothing to start from".into())
        })?;
        story.step("the disk alone starts and serves, with the configuration", |story| {
            pair.boxes[0].hardware.disks = vec![writable(&target, bus)];
            boots::start_by(firmware, &mut pair.boxes[0].hardware, story)?;
            pair.power_on(0)?;
            let member = pair.cluster.members[0].name.clone();
            pair.wait_served_by(&[&member])?;
            let agent = pair.agent(0);
            let told = agent.run(&[HALCTL, "config", "history"], "")?;
            ensure(told.contains("* generation 1, permanent"), || told.clone())?;
            wait_shell(&agent, "cat /state/log/current", "logd").map(drop)
        })
    })
}

fn from_network(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        pair.cluster.port = PLAIN_PORT;
        let target = empty_disk(story)?;
        let both = story.logs.join("initrd");
        let mut bytes = std::fs::read(&pair.image.initramfs).context("reading the initramfs")?;
        bytes.extend(std::fs::read(&pair.image.medium).context("reading what is to be installed")?);
        std::fs::write(&both, bytes).context("writing both archives")?;
        let hardware = &mut pair.boxes[0].hardware;
        hardware.memory = 768;
        hardware.disks.insert(0, writable(&target, Bus::Virtio));
        if let Start::Direct { initramfs, .. } = &mut hardware.start {
            *initramfs = both;
        }
        story.step("a box that was started without a disk installs itself, asked by halctl", |story| {
            pair.power_on(0)?;
            pair.wait_ready(0)?;
            // The answer may come later than it is waited for.
            let told = pair.agent(0).run(&[HALCTL, "install", "vda", "--yes"], "");
            story.note(told.unwrap_or_else(|error| error.to_string()).trim().replace('\n', "; "));
            let deadline = Instant::now() + INSTALLS_WITHIN;
            while !boots_from(&target)? {
                ensure(Instant::now() < deadline, || "there is nothing to start from".into())?;
                std::thread::sleep(Duration::from_millis(200));
            }
            pair.cut_power(0);
            Ok(())
        })?;
        story.step("the disk starts and serves", |_| {
            let hardware = &mut pair.boxes[0].hardware;
            (hardware.start, hardware.memory) = (Start::Bios, 256);
            pair.power_on(0)?;
            let member = pair.cluster.members[0].name.clone();
            pair.wait_served_by(&[&member])?;
            wait_history(&pair.agent(0), "* generation 1, permanent")
        })
    })
}

/// Whether firmware or kernel would see a system: sector 0 with its signature, the table in sector 1.
fn boots_from(disk: &Path) -> Result<bool> {
    let mut first = [0; 1024];
    File::open(disk)?.read_exact_at(&mut first, 0)?;
    Ok(first[510..512] == [0x55, 0xaa] && first[512..].starts_with(b"EFI PART"))
}

fn cut_off(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        let target = image_on(story, pair, TARGET)?;
        let target = {
            let renamed = story.logs.join("target.img");
            std::fs::rename(&target, &renamed)?;
            // Without a stamp, which a direct start has none of, a twin of the stick would hide the stick.
            File::options().write(true).open(&renamed)?.write_all_at(&[0x42; 16], SYSTEM_GUID)?;
            renamed
        };
        from_stick(story, pair, &target, Bus::Virtio, "vda")?;
        story.step("a disk that held a Halcyon, cut off while it is written, cannot be started", |_| {
            ensure(boots_from(&target)?, || "the image itself cannot be started".into())?;
            pair.power_on(0)?;
            wait_told(pair, "system: 3", INSTALLS_WITHIN)?;
            pair.cut_power(0);
            let (mut first, mut last) = (vec![0; 1 << 20], vec![0; 1 << 20]);
            let disk = File::open(&target)?;
            disk.read_exact_at(&mut first, 0)?;
            disk.read_exact_at(&mut last, TARGET - (1 << 20))?;
            let empty = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
            ensure(empty(&first) && empty(&last), || "there is a table, or boot code".into())
        })?;
        story.step("the next attempt ends it", |_| {
            pair.power_on(0)?;
            wait_told(pair, "installed on", INSTALLS_WITHIN)?;
            pair.wait_off(0, ANSWERS_WITHIN)?;
            ensure(boots_from(&target)?, || "there is nothing to start from".into())
        })
    })
}
