//! `install.cpio`: what an installation copies where there is no stick to copy from. A network start passes it to the kernel
//! behind the slot's initramfs, and then its one file, `/install.img`, lies beside the root image.
//!
//! That file is the disk image from its first sector to the last that slot A uses: tables, both boot loaders, the slot.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use anyhow::{Context, Result};
use halcyon_core::disk::SECTOR;
use halcyon_core::disk::fat::Layout;
use halcyon_core::disk::gpt;

use crate::cpio::{Archive, Entry};

/// The archive for the disk image at `path`.
pub(crate) fn archive(path: &Path) -> Result<Vec<u8>> {
    let image = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut head = vec![0; usize::try_from(end(&image)?).context("the image is too large")?];
    image.read_exact_at(&mut head, 0)?;
    let mut archive = Archive::default();
    archive.add("install.img", &Entry::File { mode: 0o400, data: &head });
    Ok(archive.finish())
}

/// Bytes up to the end of what slot A uses.
fn end(image: &File) -> Result<u64> {
    let table = gpt::primary(|at, room| image.read_exact_at(room, at).is_ok())?.table;
    let slot = table.named("boot-a").context("the image has no slot A")?;
    let mut boot = [0; SECTOR as usize];
    image.read_exact_at(&mut boot, slot.first * SECTOR)?;
    let layout = Layout::read(&boot).context("slot A holds no filesystem")?;
    let mut clusters = vec![0; (layout.table_sectors * SECTOR) as usize];
    image.read_exact_at(&mut clusters, (slot.first + layout.table) * SECTOR)?;
    Ok((slot.first + layout.used(&clusters)) * SECTOR)
}
