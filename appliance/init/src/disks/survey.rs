//! The disks that are there: what sysfs says of each, its partition table, what is on it. Reads; never writes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use fatfs::{FileSystem, FsOptions};
use halcyon_core::disk::NAMES;
use halcyon_core::disk::gpt::{self, NoTable, Placed, Table};
use halcyon_core::disk::install::{Disk, unfit_medium};
use halcyon_core::disk::origin::{Origin, Unknown};

use super::content;
use super::window::Window;
use crate::early::MEDIUM;

const DISKS: &str = "/sys/block";

/// Bytes from the beginning of a disk that tell what is on it.
const HEAD: usize = 68 * 1024;

/// Names of the disks that hold data for long: no loop devices, memory, optical drives or floppies.
pub(super) fn names() -> Vec<String> {
    let list = fs::read_dir(DISKS).into_iter().flatten().flatten();
    let mut names: Vec<_> = list.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| {
        !["loop", "ram", "zram", "dm-", "md", "sr", "fd", "nbd"].iter().any(|kind| name.starts_with(kind))
    });
    names.sort();
    names
}

/// The device node of a disk or a partition.
pub(super) fn node(name: &str) -> PathBuf {
    Path::new("/dev").join(name)
}

/// Sectors of a disk; sysfs counts in 512 bytes whatever a sector is.
pub(super) fn sectors(disk: &str) -> u64 {
    number(disk, "size")
}

/// The name of a disk's partition by number.
pub(super) fn partition(disk: &str, number: u32) -> Option<String> {
    let list = fs::read_dir(Path::new(DISKS).join(disk)).ok()?.flatten();
    let mut names = list.filter_map(|entry| entry.file_name().into_string().ok());
    names.find(|name| fact(&format!("{disk}/{name}"), "partition").parse() == Ok(number))
}

/// The primary partition table.
pub(super) fn table(device: &File) -> Result<Placed, NoTable> {
    gpt::primary(|at, room| device.read_exact_at(room, at).is_ok())
}

/// The disk that the box was started from.
///
/// # Errors
/// Why it is not known; it may appear later.
pub(super) fn origin(origin: &Origin) -> Result<String, Unknown> {
    let read = |name: &String| Some((name.clone(), table(&File::open(node(name)).ok()?).ok()?.table));
    let tables: BTreeMap<String, Table> = names().iter().filter_map(read).collect();
    origin.choose(&tables, |name| stamp(name, &tables[name])).map(ToOwned::to_owned)
}

/// The loop device with what a network start brought to be installed (`backing_file`, drivers/block/loop.c).
pub(super) fn network_medium() -> Option<String> {
    let list = fs::read_dir(DISKS).ok()?.flatten();
    let mut names = list.filter_map(|entry| entry.file_name().into_string().ok());
    names.find(|name| fact(name, "loop/backing_file") == MEDIUM)
}

/// The time that the boot loader left in `grubenv`.
fn stamp(disk: &str, table: &Table) -> Option<String> {
    let system = Window::of_partition(File::open(node(disk)).ok()?, table.named(NAMES[1])?);
    let system = FileSystem::new(system, FsOptions::new().update_accessed_date(false)).ok()?;
    let mut text = String::new();
    system.root_dir().open_file(super::GRUBENV).ok()?.take(1024).read_to_string(&mut text).ok()?;
    text.lines().find_map(|line| line.strip_prefix("stamp=")).map(ToOwned::to_owned)
}

/// Every disk as a person knows it; `origin` is the one that the box was started from.
pub(super) fn disks(origin: Option<&str>) -> Vec<Disk> {
    names().into_iter().filter(|name| sectors(name) > 0).map(|name| disk(name, origin)).collect()
}

fn disk(name: String, origin: Option<&str>) -> Disk {
    let device = File::open(node(&name));
    let mut head = vec![0; HEAD];
    let read = device.as_ref().is_ok_and(|device| device.read_exact_at(&mut head, 0).is_ok());
    let table = device.ok().and_then(|device| table(&device).ok()).map(|placed| placed.table);
    let holds = if read { content::of(&head, table.as_ref()) } else { Some("it cannot be read".to_owned()) };
    Disk {
        model: model(&name),
        serial: serial(&name),
        bytes: sectors(&name) * 512,
        sector: number(&name, "queue/logical_block_size"),
        halcyon: table.is_some_and(|table| unfit_medium(&table).is_none()),
        holds,
        read_only: number(&name, "ro") == 1,
        busy: is_busy(&name),
        origin: origin == Some(name.as_str()),
        name,
    }
}

/// Maker and model; a virtual disk's maker is a number, and it has no model.
fn model(disk: &str) -> String {
    let known = [fact(disk, "device/vendor"), fact(disk, "device/model")];
    known
        .iter()
        .filter(|text| !text.starts_with("0x"))
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" ")
        .trim()
        .to_owned()
}

/// virtio and NVMe disks have a file for it, SCSI and SATA disks a page of their own (SPC-4 §7.8.15).
fn serial(disk: &str) -> String {
    let files = ["serial", "device/serial"].map(|file| fact(disk, file));
    if let Some(serial) = files.into_iter().find(|serial| !serial.is_empty()) {
        return serial;
    }
    let page = fs::read(Path::new(DISKS).join(disk).join("device/vpd_pg80")).unwrap_or_default();
    String::from_utf8_lossy(page.get(4..).unwrap_or_default()).trim_matches(['\0', ' ']).to_owned()
}

/// Mounted, swapped to, or part of something.
fn is_busy(disk: &str) -> bool {
    let device = format!("/dev/{disk}");
    let uses = |table: &str| {
        let text = fs::read_to_string(table).unwrap_or_default();
        text.lines().any(|line| line.split(' ').next().is_some_and(|source| source.starts_with(&device)))
    };
    let is_held = |directory: PathBuf| {
        fs::read_dir(directory.join("holders")).is_ok_and(|mut list| list.next().is_some())
    };
    let own = Path::new(DISKS).join(disk);
    let parts = fs::read_dir(&own).into_iter().flatten().flatten().map(|entry| entry.path());
    uses("/proc/self/mounts") || uses("/proc/swaps") || is_held(own) || parts.into_iter().any(is_held)
}

fn fact(disk: &str, file: &str) -> String {
    fs::read_to_string(Path::new(DISKS).join(disk).join(file)).unwrap_or_default().trim().to_owned()
}

fn number(disk: &str, file: &str) -> u64 {
    fact(disk, file).parse().unwrap_or(0)
}
