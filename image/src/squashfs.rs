//! The read-only root image: a tree packed by Debian's `mksquashfs`, the same bytes for the same tree.
//!
//! Packed images are kept in the cache under the digest of what went in, so an unchanged tree is not packed again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::digest;
use crate::tool::{output, tool};
use crate::tree::Tree;

/// How the image is packed; part of the cache key.
///
/// zstd unpacks several times faster than xz at nearly its size; level 12 packs twice as fast as 15 for 5 % more; a block of 128 KiB
/// is what one page fault has to unpack.
const OPTIONS: &[&str] = &[
    "-comp",
    "zstd",
    "-Xcompression-level",
    "12",
    "-b",
    "131072",
    "-all-root",
    "-no-xattrs",
    "-no-exports",
    "-noappend",
    "-no-progress",
    "-quiet",
];

/// Images kept in the cache: a few variants (with and without overlays) are built by turns.
const KEPT: usize = 6;

/// Whether an image packed by an earlier build will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reuse {
    Cached,
    Never,
}

/// The packed image of `tree`, whose digest is `tree_digest`; `time` (seconds since 1970) the time on every file.
pub(crate) fn pack(cache: &Path, tree: &Tree, tree_digest: &str, time: u64, reuse: Reuse) -> Result<PathBuf> {
    let directory = cache.join("squashfs");
    fs::create_dir_all(&directory).with_context(|| format!("cannot make {}", directory.display()))?;
    let key = digest::of_bytes(format!("{tree_digest} {time} {OPTIONS:?}").as_bytes());
    let image = directory.join(format!("{key}.squashfs"));
    if reuse == Reuse::Cached && image.exists() {
        return Ok(image);
    }
    let stage = directory.join("stage");
    if stage.exists() {
        fs::remove_dir_all(&stage).with_context(|| format!("cannot clear {}", stage.display()))?;
    }
    let partial = stage.with_extension("partial");
    tree.write(&stage)?;
    let time = time.to_string();
    let packed = output(
        tool("mksquashfs")
            .arg(&stage)
            .arg(&partial)
            .args(OPTIONS)
            .args(["-mkfs-time", &time, "-all-time", &time])
            // It refuses times given twice; ours are given above.
            .env_remove("SOURCE_DATE_EPOCH"),
    );
    fs::remove_dir_all(&stage).with_context(|| format!("cannot clear {}", stage.display()))?;
    packed.context("the root image cannot be packed")?;
    fs::rename(&partial, &image)?;
    forget_old(&directory)?;
    Ok(image)
}

fn forget_old(directory: &Path) -> Result<()> {
    let mut images = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.path().extension().is_some_and(|extension| extension == "squashfs") {
            images.push((entry.metadata()?.modified().unwrap_or(SystemTime::UNIX_EPOCH), entry.path()));
        }
    }
    images.sort();
    let surplus = images.len().saturating_sub(KEPT);
    for (_, path) in images.into_iter().take(surplus) {
        fs::remove_file(&path).with_context(|| format!("cannot delete {}", path.display()))?;
    }
    Ok(())
}
