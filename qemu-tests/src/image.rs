//! Where the built image and its tools are, and the documents that `halctl` signs for it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Paths of the build products.
#[derive(Clone, Debug)]
pub struct Image {
    /// The slot's kernel.
    pub kernel: PathBuf,
    /// The slot's initramfs.
    pub initramfs: PathBuf,
    /// What a network start brings to be installed.
    pub medium: PathBuf,
    /// The disk image.
    pub disk: PathBuf,
    /// The workstation tool.
    pub halctl: PathBuf,
    /// The secret key whose public half the image trusts.
    pub key: PathBuf,
    /// The initramfs with Debian 12's keepalived, for the slot's kernel.
    pub peer: PathBuf,
}

impl Image {
    /// The products under `HALCYON_BUILD` (default `build`), with the slot and disk of `HALCYON_IMAGE` (default: the
    /// same directory) in place of the plain ones.
    pub fn find() -> Result<Self> {
        let directory = |variable: &str| std::env::var_os(variable).map(PathBuf::from);
        let build = directory("HALCYON_BUILD").unwrap_or_else(|| "build".into());
        let slot = directory("HALCYON_IMAGE").unwrap_or_else(|| build.clone());
        let image = Self {
            kernel: slot.join("vmlinuz"),
            initramfs: slot.join("initramfs"),
            medium: slot.join("install.cpio"),
            disk: slot.join("halcyon.img"),
            halctl: build.join("halctl"),
            key: build.join("keys/provision.key"),
            peer: build.join("peer/initramfs"),
        };
        for path in [&image.kernel, &image.initramfs, &image.halctl] {
            if !path.exists() {
                bail!("{} is missing; run `make image` first", path.display());
            }
        }
        Ok(image)
    }

    /// Runs `halctl` and returns what it printed.
    ///
    /// # Errors
    /// With both outputs when it fails.
    pub fn halctl(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.halctl)
            .args(arguments)
            .output()
            .with_context(|| format!("starting {}", self.halctl.display()))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            let complaint = String::from_utf8_lossy(&output.stderr);
            bail!("halctl {}: {}\n{said}{complaint}", arguments.join(" "), output.status);
        }
        Ok(said)
    }

    /// Signs `document` with the key in `key` and returns the signature's text.
    pub fn sign(&self, document: &str, key: &Path, scratch: &Path) -> Result<String> {
        let file = scratch.join("halcyon.toml");
        std::fs::write(&file, document).context("writing the document")?;
        self.halctl(&["sign", "-k", &key.to_string_lossy(), &file.to_string_lossy()])?;
        std::fs::read_to_string(scratch.join("halcyon.toml.minisig")).context("reading the signature")
    }
}
