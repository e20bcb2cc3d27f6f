//! What lies where in the root image.
//!
//! Decides the layout only; where the pieces come from is the business of the modules that find them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::firmware::Firmware;
use crate::kmod::index::index;
use crate::kmod::modinfo::Catalogue;
use crate::packages::Packages;
use crate::tree::Tree;
use crate::{libraries, overlay};

/// Debian's merged `/usr`.
const LINKS: &[(&str, &str)] = &[
    ("/bin", "usr/bin"),
    ("/sbin", "usr/sbin"),
    ("/lib", "usr/lib"),
    ("/lib64", "usr/lib64"),
    ("/var/run", "/run"),
    ("/var/tmp", "/tmp"),
    ("/etc/mtab", "/proc/self/mounts"),
    // What the engine writes there.
    ("/etc/resolv.conf", "/run/halcyon/resolv.conf"),
];

/// What PID 1 mounts something on, and what programs expect to be there.
const DIRECTORIES: &[&str] = &[
    "/dev",
    "/etc",
    "/mnt",
    "/opt",
    "/proc",
    "/root",
    "/run",
    "/state",
    "/sys",
    "/tmp",
    "/usr/bin",
    "/usr/lib",
    "/usr/lib64",
    "/usr/sbin",
    "/usr/lib/halcyon/units",
];

/// This workspace's programs on the box.
const PROGRAMS: &[&str] = &["init", "halcyond", "halctl"];

/// Debian's programs on the box.
const DEBIAN_PROGRAMS: &[&str] = &["/usr/sbin/nft", "/usr/bin/ntp-daemon"];

/// The pieces of a root image.
#[derive(Debug)]
pub(crate) struct Pieces<'a> {
    pub(crate) packages: &'a Packages,
    /// `/lib/modules/VERSION` of the kernel package on the build host.
    pub(crate) modules: &'a Path,
    pub(crate) catalogue: &'a Catalogue,
    pub(crate) taken: &'a BTreeSet<String>,
    pub(crate) firmware: &'a Firmware,
    /// The directory with this workspace's programs.
    pub(crate) programs: &'a Path,
    pub(crate) provision_pubkey: &'a Path,
    /// An empty STATE.
    pub(crate) state: &'a Path,
    pub(crate) overlays: &'a [PathBuf],
}

/// Puts the pieces where they belong.
pub(crate) fn assemble(pieces: &Pieces<'_>) -> Result<Tree> {
    let mut tree = Tree::default();
    for (path, target) in LINKS {
        tree.symlink(path, target)?;
    }
    for path in DIRECTORIES {
        tree.directory(path)?;
    }
    for program in PROGRAMS {
        tree.file(&format!("/usr/lib/halcyon/bin/{program}"), pieces.programs.join(program), 0o755)?;
    }
    tree.bytes("/usr/lib/halcyon/version", concat!(env!("CARGO_PKG_VERSION"), "\n"), 0o644)?;
    tree.file("/usr/lib/halcyon/keys/provision.pub", pieces.provision_pubkey, 0o644)?;
    tree.file("/usr/lib/halcyon/state.ext4", pieces.state.to_owned(), 0o644)?;
    for program in DEBIAN_PROGRAMS {
        for (path, host) in libraries::closure(pieces.packages, program)? {
            tree.file(&path, host, 0o755)?;
        }
    }
    modules(&mut tree, pieces)?;
    for (path, host) in &pieces.firmware.present {
        tree.file(&format!("/usr/lib/firmware/{path}"), host, 0o644)?;
    }
    for directory in pieces.overlays {
        overlay::apply(&mut tree, directory)?;
    }
    Ok(tree)
}

fn modules(tree: &mut Tree, pieces: &Pieces<'_>) -> Result<()> {
    let version = pieces.modules.file_name().context("the modules lie in no directory")?.to_string_lossy();
    let base = format!("/usr/lib/modules/{version}");
    for name in pieces.taken {
        let path = &pieces.catalogue.modules[name].path;
        tree.file(&format!("{base}/{path}"), pieces.modules.join(path), 0o644)?;
    }
    let index = index(pieces.catalogue, pieces.taken)?;
    tree.bytes(&format!("{base}/modules.dep"), index.dep, 0o644)?;
    tree.bytes(&format!("{base}/modules.alias"), index.alias, 0o644)?;
    tree.bytes(&format!("{base}/modules.softdep"), index.softdep, 0o644)?;
    for name in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
        let host = pieces.modules.join(name);
        fs::metadata(&host).with_context(|| format!("the kernel package has no {name}"))?;
        tree.file(&format!("{base}/{name}"), host, 0o644)?;
    }
    Ok(())
}
