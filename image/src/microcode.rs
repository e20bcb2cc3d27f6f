//! Processor microcode as the kernel wants it before anything else: an uncompressed archive in front of the initramfs.
//!
//! Source: Documentation/arch/x86/microcode.rst. The loader takes the one update that fits the processor out of the
//! concatenation of all. Intel ships an update once for every processor it fits; here each is kept once.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result, bail};

use crate::cpio::{Archive, Entry};
use crate::digest;
use crate::packages::Packages;
use crate::unpacked::files_below;

/// Directory of the updates, and the file that the kernel looks for.
const VENDORS: [(&str, &str); 2] = [
    ("/usr/lib/firmware/amd-ucode", "AuthenticAMD.bin"),
    ("/usr/lib/firmware/intel-ucode", "GenuineIntel.bin"),
];

/// The archive with all updates of both vendors.
pub(crate) fn archive(packages: &Packages) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for directory in ["kernel", "kernel/x86", "kernel/x86/microcode"] {
        archive.add(directory, &Entry::Directory { mode: 0o755 });
    }
    for (directory, name) in VENDORS {
        let mut all = Vec::new();
        let mut seen = BTreeSet::new();
        for (_, tree) in packages.trees() {
            let Some(found) = tree.find(directory) else { continue };
            for path in files_below(&found)?.iter().filter(|path| is_update(path)) {
                let data = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
                let updates =
                    if name.starts_with("Genuine") { intel_updates(&data) } else { vec![&data[..]] };
                for update in updates {
                    if seen.insert(digest::of_bytes(update)) {
                        all.extend_from_slice(update);
                    }
                }
            }
        }
        if all.is_empty() {
            bail!("no package holds microcode in {directory}");
        }
        archive.add(&format!("kernel/x86/microcode/{name}"), &Entry::File { mode: 0o644, data: &all });
    }
    Ok(archive.finish())
}

/// The updates in one of Intel's files: each begins with a header of 48 bytes that holds the whole length at byte 32, where 0
/// means 2048 (Intel SDM volume 3A, 11.11.1). What is no update is passed on as it is, for the kernel to judge.
fn intel_updates(data: &[u8]) -> Vec<&[u8]> {
    let mut updates = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let field = rest.get(32..36).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_le_bytes);
        let length = if field == 0 { 2048 } else { field as usize };
        let (update, tail) = rest.split_at(length.min(rest.len()));
        updates.push(update);
        rest = tail;
    }
    updates
}

/// Intel's updates are named `06-55-04`, AMD's `microcode_amd_fam19h.bin`; beside them lie signatures and readmes.
fn is_update(path: &std::path::Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Debian marks updates that are safe only this early with a suffix.
    let name = name.strip_suffix(".initramfs").unwrap_or(&name);
    let intel = name.len() == 8
        && name.bytes().enumerate().all(|(at, byte)| match at {
            2 | 5 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    intel || (name.starts_with("microcode_amd") && name.ends_with(".bin"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn intel_files_are_split_at_the_lengths_they_state() {
        let mut long = vec![1; 3072];
        long[32..36].copy_from_slice(&3072_u32.to_le_bytes());
        let mut short = vec![2; 2048];
        short[32..36].fill(0);
        let all = [long.clone(), short.clone(), vec![9; 10]].concat();
        assert_eq!(intel_updates(&all), [&long[..], &short[..], &[9; 10][..]]);
        assert!(intel_updates(&[]).is_empty());
    }

    #[test]
    fn only_updates_are_taken() {
        for (name, expected) in [
            ("06-55-04", true),
            ("06-4f-01.initramfs", true),
            ("microcode_amd_fam19h.bin", true),
            ("microcode_amd.bin.asc", false),
            ("README", false),
            ("06-55-0x", false),
        ] {
            assert_eq!(is_update(Path::new(name)), expected, "{name}");
        }
    }
}
