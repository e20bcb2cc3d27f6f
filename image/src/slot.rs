//! A slot: the kernel and the initramfs that boot by themselves, from a disk, a network or `-kernel`/`-initrd`.
//!
//! The initramfs is the microcode archive, then one archive with `/init`, the modules that mount the root image
//! (`/modules/order` lists their files in the order of loading) and the root image itself, `/rootfs.squashfs`. It is stored
//! uncompressed: the root image is compressed already, and the kernel copies faster than it unpacks.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::cpio::{Archive, Entry};
use crate::kmod::closure::{Needs, load_order};
use crate::kmod::modinfo::Catalogue;
use crate::kmod::wanted::BEFORE_ROOT;

const MIB: u64 = 1024 * 1024;

/// The largest slot without an integrator's overlays, bytes.
const BASE_LIMIT: u64 = 64 * MIB;

/// What fits into a boot partition beside its filesystem's own structures, bytes.
const LIMIT: u64 = 255 * MIB;

/// Mount points that `/init` needs before it has a root.
const DIRECTORIES: &[&str] = &["dev", "proc", "sys", "run", "root", "modules"];

/// The initramfs, whole.
pub(crate) fn initramfs(
    microcode: Vec<u8>,
    init: &Path,
    modules: &Path,
    catalogue: &Catalogue,
    rootfs: &Path,
) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for path in DIRECTORIES {
        archive.add(path, &Entry::Directory { mode: 0o755 });
    }
    archive.add("init", &Entry::File { mode: 0o755, data: &read(init)? });
    let mut order = String::new();
    for name in load_order(catalogue, BEFORE_ROOT, Needs::HardAndSoft)? {
        let data = read(&modules.join(&catalogue.modules[&name].path))?;
        archive.add(&format!("modules/{name}.ko"), &Entry::File { mode: 0o644, data: &data });
        order.push_str(&format!("{name}.ko\n"));
    }
    archive.add("modules/order", &Entry::File { mode: 0o644, data: order.as_bytes() });
    archive.add("rootfs.squashfs", &Entry::File { mode: 0o644, data: &read(rootfs)? });
    let mut bytes = microcode;
    bytes.append(&mut archive.finish());
    Ok(bytes)
}

/// Whether the image is Halcyon's own or carries an integrator's trees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    Base,
    WithOverlays,
}

/// Holds the slot to its limit.
pub(crate) fn check_size(bytes: u64, contents: Contents) -> Result<()> {
    let limit = match contents {
        Contents::Base => BASE_LIMIT,
        Contents::WithOverlays => LIMIT,
    };
    if bytes > limit {
        let advice = match contents {
            Contents::Base => "carry fewer modules (image/src/kmod/wanted.rs)",
            Contents::WithOverlays => "make the overlays smaller",
        };
        bail!("the slot is {} MiB large and may be {} MiB; {advice}", bytes.div_ceil(MIB), limit / MIB);
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        assert!(check_size(64 * MIB, Contents::Base).is_ok());
        let error = check_size(64 * MIB + 1, Contents::Base).unwrap_err().to_string();
        assert!(error.starts_with("the slot is 65 MiB large and may be 64 MiB"), "{error}");
        assert!(check_size(64 * MIB + 1, Contents::WithOverlays).is_ok());
        assert!(check_size(256 * MIB, Contents::WithOverlays).is_err());
    }
}
