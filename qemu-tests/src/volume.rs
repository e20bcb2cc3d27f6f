//! The provisioning volume: a FAT filesystem labelled `HALCYON` with the document and its signature.

use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use fatfs::{FileSystem, FormatVolumeOptions, FsOptions};

/// Enough for a FAT12 filesystem and a document; the size of a floppy disk.
const SIZE: u64 = 1_474_560;

/// The label, padded as FAT wants it.
const LABEL: [u8; 11] = *b"HALCYON    ";

/// Writes a volume with these files (name, content) to `path`.
pub fn write(path: &Path, files: &[(&str, &[u8])]) -> Result<()> {
    let image = std::fs::File::options().read(true).write(true).create(true).truncate(true).open(path);
    let image = image.with_context(|| format!("creating {}", path.display()))?;
    image.set_len(SIZE)?;
    fatfs::format_volume(&image, FormatVolumeOptions::new().volume_label(LABEL))
        .context("formatting the volume")?;
    let volume = FileSystem::new(&image, FsOptions::new()).context("opening the volume")?;
    // BIOS parameter block and root directory both carry the label; some readers look at one only.
    let root = volume.root_dir();
    for (name, content) in files {
        let mut file = root.create_file(name).with_context(|| format!("creating {name} on the volume"))?;
        file.write_all(content).and_then(|()| file.flush()).with_context(|| format!("writing {name}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_volume_has_its_label_and_files() {
        let path = std::env::temp_dir().join(format!("halcyon-volume-{}", std::process::id()));
        write(&path, &[("halcyon.toml", b"schema = 1"), ("halcyon.toml.minisig", b"untrusted")])
            .expect("a volume");
        let volume = FileSystem::new(std::fs::File::open(&path).unwrap(), FsOptions::new()).expect("FAT");
        assert_eq!(volume.volume_label(), "HALCYON");
        let mut text = String::new();
        volume.root_dir().open_file("halcyon.toml.minisig").unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "untrusted");
        drop(volume);
        std::fs::remove_file(path).expect("the volume was written");
    }
}
