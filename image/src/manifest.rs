//! `manifest.json`: everything that went into an image and came out of it, for audits and for comparing builds.
//!
//! Holds no time of building, no host name and no path of the build host: two builds of the same inputs write the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;

use crate::digest;
use crate::kmod::devices::Kept;
use crate::packages::Package;
use crate::tool::{output, tool};

/// The host packages whose programs shape the products.
const HOST_PACKAGES: &[&str] = &[
    "dpkg",
    "e2fsprogs",
    "grub-common",
    "grub-efi-amd64-bin",
    "grub-pc-bin",
    "mtools",
    "squashfs-tools",
    "xz-utils",
];

/// The manifest.
#[derive(Debug, Serialize)]
pub(crate) struct Manifest<'a> {
    /// Of Halcyon.
    pub(crate) version: &'static str,
    /// The time on everything in the image, seconds since 1970.
    pub(crate) source_time: u64,
    /// Debian packages in the image, by name.
    pub(crate) packages: &'a BTreeMap<String, Package>,
    /// Versions of the build host's packages that made the products.
    pub(crate) host_packages: BTreeMap<String, String>,
    /// The products beside this file, by name.
    pub(crate) products: BTreeMap<String, Product>,
    /// Kernel modules in the image, by name, with their paths below `/lib/modules/VERSION/`.
    pub(crate) modules: BTreeMap<&'a str, &'a str>,
    /// Hardware that the image promises to drive, by PCI id.
    pub(crate) devices: &'a BTreeMap<String, Kept>,
    /// Firmware that no package holds, with the modules that may ask for it.
    pub(crate) firmware_absent: &'a BTreeMap<String, Vec<String>>,
    /// Firmware in the image, below `/lib/firmware/`.
    pub(crate) firmware_present: BTreeSet<&'a str>,
    /// SHA-256 of every file in the root image by path.
    pub(crate) files: &'a BTreeMap<String, String>,
}

/// A file that the build made.
#[derive(Debug, Serialize)]
pub(crate) struct Product {
    /// Bytes.
    pub(crate) size: u64,
    pub(crate) sha256: String,
}

impl Product {
    /// Measures the file at `path`.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        let size = path.metadata().with_context(|| format!("cannot read {}", path.display()))?.len();
        Ok(Self { size, sha256: digest::of_file(path)? })
    }
}

/// The installed versions of [`HOST_PACKAGES`].
///
/// # Errors
/// One of them is not installed.
pub(crate) fn host_packages() -> Result<BTreeMap<String, String>> {
    let list = output(tool("dpkg-query").args(["-W", "-f", "${Package} ${Version}\n"]).args(HOST_PACKAGES))
        .context("a host package is missing; run image/host-packages")?;
    let pair = |line: &str| line.split_once(' ').map(|(name, version)| (name.to_owned(), version.to_owned()));
    Ok(String::from_utf8_lossy(&list).lines().filter_map(pair).collect())
}

/// The manifest's text.
pub(crate) fn text(manifest: &Manifest<'_>) -> Result<String> {
    Ok(serde_json::to_string_pretty(manifest)? + "\n")
}
