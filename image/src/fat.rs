//! FAT filesystems inside the disk image, made and filled by mtools at a byte offset: no root, no loop device.
//!
//! Volume ids are given and times are the build's source time, so the same files give the same bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::boot_loader::SECTOR;
use crate::tool::{output, tool};

/// A filesystem within `image`.
#[derive(Debug)]
pub(crate) struct Fat {
    /// The disk image.
    pub(crate) image: PathBuf,
    /// Of the first byte.
    pub(crate) offset: u64,
    /// Bytes.
    pub(crate) size: u64,
    /// At most 11 characters; not `HALCYON`, which marks provisioning volumes.
    pub(crate) label: &'static str,
    /// Volume serial number.
    pub(crate) id: u32,
    /// Sectors in a cluster; large ones let GRUB, which follows the chain cluster by cluster, read a slot quickly.
    pub(crate) cluster: u32,
    /// Seconds since 1970, on every file.
    pub(crate) time: u64,
}

impl Fat {
    /// Makes the filesystem, empty.
    pub(crate) fn format(&self) -> Result<()> {
        let sectors = self.size / SECTOR as u64;
        let mut command = self.tool("mformat");
        command.args(["-T", &sectors.to_string(), "-h", "255", "-s", "63", "-c", &self.cluster.to_string()]);
        command.args(["-v", self.label, "-N", &format!("{:08x}", self.id), "::"]);
        output(&mut command)
            .map(drop)
            .with_context(|| format!("the filesystem {} cannot be made", self.label))
    }

    /// Makes a directory.
    pub(crate) fn directory(&self, path: &str) -> Result<()> {
        output(self.tool("mmd").arg(format!("::{path}")))
            .map(drop)
            .with_context(|| format!("the directory {path} cannot be made on {}", self.label))
    }

    /// Copies the file `host` to `path`.
    pub(crate) fn copy(&self, host: &Path, path: &str) -> Result<()> {
        output(self.tool("mcopy").arg(host).arg(format!("::{path}")))
            .map(drop)
            .with_context(|| format!("{path} cannot be written to {}", self.label))
    }

    /// Writes `bytes` to `path`; `work` is a directory for a moment's file.
    pub(crate) fn write(&self, bytes: &[u8], path: &str, work: &Path) -> Result<()> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let host = work.join(name);
        fs::write(&host, bytes).with_context(|| format!("cannot write {}", host.display()))?;
        self.copy(&host, path)?;
        fs::remove_file(&host)?;
        Ok(())
    }

    fn tool(&self, program: &str) -> Command {
        let mut command = tool(program);
        command.env("SOURCE_DATE_EPOCH", self.time.to_string());
        command.env("MTOOLSRC", "/dev/null").env("MTOOLS_SKIP_CHECK", "1");
        command.arg("-i").arg(format!("{}@@{}", self.image.display(), self.offset));
        command
    }
}
