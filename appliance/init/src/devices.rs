//! The unit `devices`: loads drivers for the hardware that is there and for what is plugged in later.
//!
//! A driver may look for its hardware for seconds inside the system call that loads it, so this is a process of its own
//! and never PID 1. It holds `CAP_SYS_MODULE` and nothing else. What the engine starts with comes first: network ports and
//! the disks of virtual machines. Then it says that it is ready, and goes on at leisure, so that the engine gets the
//! processor: packet rules, the load balancer, disks, all the rest.

use std::collections::BTreeSet;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, poll};

use crate::modules::load::Loader;
use crate::uevent::{News, Uevents};

/// The PCI base class of network controllers, as the beginning of a device's `class`.
const NETWORK: &str = "0x02";

/// Of mass storage controllers, whose drivers may look for disks for seconds.
const STORAGE: &str = "0x01";

/// Virtual machines' own buses: few devices, quick drivers.
const VIRTUAL_BUSES: &[&str] = &["/sys/bus/virtio/devices", "/sys/bus/vmbus/devices", "/sys/bus/xen/devices"];

/// What the engine opens when it starts. Everything else that the kernel wants it asks for by itself.
const FIRST_MODULES: &[&str] = &["nfnetlink"];

/// What its first plan uses, in this order.
const SECOND_MODULES: &[&str] = &["nf_tables", "nft_socket", "ip_vs"];

/// Loaded at leisure: what would otherwise be asked for in the middle of a change.
const LATER_MODULES: &[&str] = &[
    "nft_ct",
    "nft_log",
    "nft_limit",
    "nft_reject_inet",
    "ip_vs_rr",
    "ip_vs_wrr",
    "ip_vs_lc",
    "ip_vs_wlc",
    "ip_vs_lblc",
    "ip_vs_lblcr",
    "ip_vs_dh",
    "ip_vs_sh",
    "ip_vs_sed",
    "ip_vs_nq",
    "ip_vs_fo",
    "ip_vs_ovf",
    "ip_vs_mh",
    "ip_vs_twos",
    "sd_mod",
    "evdev",
    "nls_ascii",
    "nls_cp437",
];

/// Runs until killed.
pub(crate) fn run() -> ExitCode {
    let mut loader = match Loader::open() {
        Ok(loader) => loader,
        Err(error) => {
            eprintln!("no modules can be loaded: /lib/modules of this kernel: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Before the first look, so that nothing that appears meanwhile is missed.
    let uevents = Uevents::subscribe().inspect_err(|error| eprintln!("no news of devices: {error}")).ok();
    let mut seen = BTreeSet::new();
    rounds(&mut loader, &mut seen, &[NETWORK]);
    FIRST_MODULES.iter().for_each(|module| tell(loader.load(module)));
    ready();
    let _ = rustix::process::nice(10);
    SECOND_MODULES.iter().for_each(|module| tell(loader.load(module)));
    rounds(&mut loader, &mut seen, &[NETWORK, STORAGE]);
    LATER_MODULES.iter().for_each(|module| tell(loader.load(module)));
    coldplug(&mut loader, &mut seen);
    tell_loaded(&mut loader);
    if let Some(uevents) = uevents {
        hotplug(&mut loader, &mut seen, &uevents);
    }
    ExitCode::SUCCESS
}

/// Loads drivers for controllers of these classes and for what appears behind them.
fn rounds(loader: &mut Loader, seen: &mut BTreeSet<String>, classes: &[&str]) {
    loop {
        let new: BTreeSet<String> = controllers(classes).difference(seen).cloned().collect();
        if new.is_empty() {
            return;
        }
        tell(loader.load_for(&new));
        seen.extend(new);
    }
}

fn hotplug(loader: &mut Loader, seen: &mut BTreeSet<String>, uevents: &Uevents) {
    loop {
        let mut fds = [PollFd::from_borrowed_fd(uevents.as_fd(), PollFlags::IN)];
        if poll(&mut fds, None).is_err() {
            continue; // interrupted
        }
        let mut wanted = BTreeSet::new();
        while let Some(news) = uevents.next() {
            match news {
                News::Event(event) => wanted.extend(event.wanted_module().map(str::to_owned)),
                News::Lost => {
                    coldplug(loader, seen);
                }
            }
        }
        if !wanted.is_empty() {
            tell(loader.load_for(&wanted));
        }
        tell_loaded(loader);
    }
}

/// Loads drivers for every device there is and has not been looked at.
fn coldplug(loader: &mut Loader, seen: &mut BTreeSet<String>) {
    loop {
        let mut all = BTreeSet::new();
        collect_modaliases(Path::new("/sys/devices"), &mut all);
        let new: BTreeSet<String> = all.difference(seen).cloned().collect();
        if new.is_empty() {
            return;
        }
        tell(loader.load_for(&new));
        seen.extend(new);
    }
}

fn controllers(classes: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for device in entries("/sys/bus/pci/devices") {
        let class = fs::read_to_string(device.join("class")).unwrap_or_default();
        if classes.iter().any(|wanted| class.starts_with(wanted)) || is_virtio(&device) {
            found.extend(modalias(&device));
        }
    }
    for bus in VIRTUAL_BUSES {
        found.extend(entries(bus).iter().filter_map(|device| modalias(device)));
    }
    found
}

/// Any virtio function: all have one driver, behind which the devices proper appear.
fn is_virtio(device: &Path) -> bool {
    fs::read_to_string(device.join("vendor")).is_ok_and(|vendor| vendor.trim() == "0x1af4")
}

fn collect_modaliases(directory: &Path, found: &mut BTreeSet<String>) {
    let Ok(list) = fs::read_dir(directory) else { return };
    for entry in list.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() {
            collect_modaliases(&entry.path(), found);
        } else if kind.is_file() && entry.file_name() == "modalias" {
            found.extend(modalias(directory));
        }
    }
}

fn modalias(device: &Path) -> Option<String> {
    let text = fs::read_to_string(device.join("modalias")).ok()?;
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

fn entries(directory: &str) -> Vec<std::path::PathBuf> {
    let Ok(list) = fs::read_dir(directory) else { return Vec::new() };
    let mut paths: Vec<_> = list.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn tell_loaded(loader: &mut Loader) {
    let news = loader.news();
    if !news.is_empty() {
        eprintln!("drivers and protocols loaded: {}", news.join(" "));
    }
}

fn tell(problems: Vec<String>) {
    for problem in problems {
        eprintln!("{problem}");
    }
}

/// `READY=1`, as `sd_notify(3)` describes it.
pub(crate) fn ready() {
    if let Some(path) = std::env::var_os("NOTIFY_SOCKET")
        && let Ok(socket) = UnixDatagram::unbound()
    {
        let _ = socket.send_to(b"READY=1", path);
    }
}
