//! Factory reset, by the boot menu and by `halctl`: keys, history and STATE are gone, and the box is as new.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use halcyon_qemu_tests::agent::{Agent, HALCTL};
use halcyon_qemu_tests::pair::{BOOTS_WITHIN, Pair};
use halcyon_qemu_tests::vm::hardware::{Bus, Start};
use halcyon_qemu_tests::vm::report::Reported;
use halcyon_qemu_tests::wording::Wording;

use crate::case::{Case, Story, ensure};
use crate::config::{DISK, wait_history};
use crate::disks::{add_parameters, image_on, wait_shell, wait_told, writable};

/// The cases of this file.
pub(crate) const CASES: &[Case] =
    &[Case { name: "reset::by_menu_and_verb", machines: 1, tell: factory_reset }];

/// The EFI system partition on the disk image, bytes.
const SYSTEM: std::ops::Range<u64> = 2 << 20..34 << 20;
/// The first copy of the device key, bytes.
const KEY: u64 = 546 << 20;
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

fn factory_reset(story: &mut Story) -> Result<()> {
    story.with_pair(Wording::default(), |story, pair| {
        let file = image_on(story, pair, std::fs::metadata(&pair.image.disk)?.len())?;
        pair.boxes[0].hardware.disks.insert(0, writable(&file, Bus::Virtio));
        add_parameters(pair, DISK);
        let stick = pair.boxes[0].hardware.disks[1].clone();
        let direct = pair.boxes[0].hardware.start.clone();
        let agent = pair.agent(0);
        story.step("a configured box forgets everything by its boot menu, and is as new at once", |_| {
            let old = configure(pair, &agent, &file)?;
            set_parameters(&file, "halcyon.report=ttyS1")?;
            pair.boxes[0].hardware.start = Start::Bios;
            pair.power_on(0)?;
            choose_reset(pair)?;
            wait_told(pair, "keys, history and STATE are forgotten", BOOTS_WITHIN)?;
            is_new(pair, 0, &file, &old)?;
            pair.cut_power(0);
            Ok(())
        })?;
        story.step("a configured box forgets everything by halctl, and starts as new", |story| {
            pair.boxes[0].hardware.start = direct;
            pair.boxes[0].hardware.disks.push(stick);
            let old = configure(pair, &agent, &file)?;
            pair.power_on(0)?;
            pair.wait_ready(0)?;
            wait_shell(&agent, "cat /state/mark", "kept")?;
            let mark = pair.boxes[0].machine()?.report.mark();
            // The answer may be lost: the box goes down.
            let told = agent.run(&[HALCTL, "factory-reset", "--yes"], "");
            story.note(told.unwrap_or_else(|error| error.to_string()).trim().to_owned());
            is_new(pair, mark, &file, &old)
        })
    })
}

/// Has the box take the document of its stick, and leaves it switched off and without the stick, whose document would be
/// taken again. The block with its key.
fn configure(pair: &mut Pair, agent: &Agent, disk: &Path) -> Result<Vec<u8>> {
    pair.power_on(0)?;
    pair.wait_ready(0)?;
    wait_history(agent, "* generation 1, permanent")?;
    wait_shell(agent, "cat /state/log/current", "logd")?;
    agent.shell("echo kept >/state/mark; sync", "")?;
    let key = key(disk)?;
    pair.cut_power(0);
    pair.boxes[0].hardware.disks.truncate(1);
    Ok(key)
}

/// Waits until the box, from the `mark`-th event on, has told that it has no document and a STATE made anew, and until a
/// key other than `old` is on its disk.
fn is_new(pair: &mut Pair, mark: usize, disk: &Path, old: &[u8]) -> Result<()> {
    let unconfigured = |event: &Reported| event.kind() == "ready" && event.event["unconfigured"] == true;
    let anew = |event: &Reported| event.text("what").contains("STATE is made anew");
    let report = &pair.boxes[0].machine()?.report;
    report.expect_after(mark, "unconfigured", BOOTS_WITHIN, unconfigured)?;
    report.expect_after(mark, "STATE made anew", BOOTS_WITHIN, anew)?;
    let deadline = Instant::now() + ANSWERS_WITHIN;
    loop {
        let new = key(disk)?;
        if new != old && new.iter().any(|byte| *byte != 0) {
            return Ok(());
        }
        ensure(Instant::now() < deadline, || "there is no new device key".into())?;
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Further words for the kernel in the boot loader's variables, as `grub-editenv` puts them there.
fn set_parameters(disk: &Path, words: &str) -> Result<()> {
    // The loader itself holds the first line, too.
    const TITLE: &[u8] = b"# GRUB Environment Block\norder_a=";
    let disk = File::options().read(true).write(true).open(disk).context("opening the disk")?;
    let mut system = vec![0; (SYSTEM.end - SYSTEM.start) as usize];
    disk.read_exact_at(&mut system, SYSTEM.start)?;
    let at = system.windows(TITLE.len()).position(|bytes| bytes == TITLE).context("there is no grubenv")?;
    let block = &system[at..at + 1024];
    let end = block.iter().rposition(|byte| *byte == b'\n').context("grubenv has lines")? + 1;
    let mut text = block[..end].to_vec();
    text.extend(format!("parameters={words}\n").bytes());
    text.resize(1024, b'#');
    disk.write_all_at(&text, SYSTEM.start + at as u64).context("writing grubenv")
}

/// Presses Esc while the boot loader waits for that, and chooses the last entry of its menu.
fn choose_reset(pair: &mut Pair) -> Result<()> {
    let machine = pair.boxes[0].machine()?;
    machine.console.expect("Press Esc", BOOTS_WITHIN)?;
    let deadline = Instant::now() + ANSWERS_WITHIN;
    while machine.console.expect("Factory reset", Duration::from_millis(200)).is_err() {
        ensure(Instant::now() < deadline, || "the boot loader shows no menu".into())?;
        machine.qmp().press_keys(&["esc"])?;
    }
    machine.qmp().press_keys(&["down"])?;
    machine.qmp().press_keys(&["ret"])
}

/// The block with the device key.
fn key(disk: &Path) -> Result<Vec<u8>> {
    let mut block = vec![0; 4096];
    File::open(disk)?.read_exact_at(&mut block, KEY)?;
    Ok(block)
}
