//! Packages unpacked in the cache, each once per version; kernel modules are stored uncompressed.
//!
//! An unpacked tree appears under its final name only when it is complete, so an interrupted build leaves nothing half done.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context, Result, bail};

use crate::tool::{output, tool};

/// Modules handed to one run of `xz`.
const BATCH: usize = 200;

/// An unpacked package.
#[derive(Debug, Clone)]
pub(crate) struct Unpacked {
    root: PathBuf,
}

impl Unpacked {
    /// Where the package's `path` (absolute on the box) is on the build host.
    ///
    /// Debian 13 has merged `/usr`, but packages may still ship under `/lib`: both are looked at.
    pub(crate) fn find(&self, path: &str) -> Option<PathBuf> {
        let relative = path.trim_start_matches('/');
        let plain = relative.strip_prefix("usr/").unwrap_or(relative);
        [self.root.join(relative), self.root.join("usr").join(plain), self.root.join(plain)]
            .into_iter()
            .find(|candidate| candidate.symlink_metadata().is_ok())
    }
}

/// The tree of `deb`, unpacked now or by an earlier build.
pub(crate) fn package(cache: &Path, name: &str, version: &str, deb: &Path) -> Result<Unpacked> {
    let root = directory(cache).join(directory_name(name, version));
    if root.exists() {
        return Ok(Unpacked { root });
    }
    let partial = root.with_added_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("cannot clear {}", partial.display()))?;
    }
    fs::create_dir_all(&partial).with_context(|| format!("cannot make {}", partial.display()))?;
    output(tool("dpkg-deb").arg("-x").arg(deb).arg(&partial)).with_context(|| {
        format!("the package {} cannot be unpacked; delete it and build again", deb.display())
    })?;
    decompress_modules(&partial)?;
    fs::rename(&partial, &root)?;
    Ok(Unpacked { root })
}

/// Where the unpacked packages are.
pub(crate) fn directory(cache: &Path) -> PathBuf {
    cache.join("unpacked")
}

/// The name of a package's tree there.
pub(crate) fn directory_name(name: &str, version: &str) -> String {
    format!("{name}_{}", version.replace(':', "%3a"))
}

/// Replaces every `.ko.xz` below `root` by its `.ko`: the root image is compressed as a whole, and a module that the
/// kernel need not decompress again loads faster.
fn decompress_modules(root: &Path) -> Result<()> {
    let modules: Vec<_> = files_below(root)?
        .into_iter()
        .filter(|path| path.to_str().is_some_and(|name| name.ends_with(".ko.xz")))
        .collect();
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let decompress = |batch: &[PathBuf]| output(tool("xz").arg("-d").args(batch)).map(drop);
    thread::scope(|scope| {
        let share = modules.len().div_ceil(workers).max(1);
        let running: Vec<_> = modules
            .chunks(share)
            .map(|share| scope.spawn(move || share.chunks(BATCH).try_for_each(decompress)))
            .collect();
        running.into_iter().try_for_each(|worker| match worker.join() {
            Ok(result) => result,
            Err(_) => bail!("a thread that unpacks kernel modules died"),
        })
    })
}

/// Every file and symbolic link below `root`, sorted, with `root` in front.
pub(crate) fn files_below(root: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let entries =
            fs::read_dir(&directory).with_context(|| format!("cannot list {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
            } else {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}
