//! Provisioning volumes: finds block devices with a FAT filesystem labelled `HALCYON` and reads the document and its
//! signature off them. Decides nothing about what was read; [`provision`](crate::provision) does.
//!
//! The filesystem is read here, in user space, and never mounted: a hostile stick meets no kernel code but the block
//! layer, and a broken one costs an error message.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use fatfs::{FileSystem, FsOptions, ReadWriteSeek};

/// The volume's label.
pub const LABEL: &str = "HALCYON";
/// The document's name on it.
pub const DOCUMENT: &str = "halcyon.toml";
/// Longest file that is read, in bytes.
const LONGEST: u64 = 1 << 20;
/// Most entries of the root directory that are looked at: a damaged one can be endless.
const MOST_ENTRIES: usize = 4096;

/// What a labelled volume holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// The device, e.g. `sdb1`.
    pub device: String,
    /// `halcyon.toml`, or another one that was asked for; or why there is none.
    pub document: Result<Vec<u8>, String>,
    /// What lies beside it with `.minisig` behind its name, or why there is none.
    pub signature: Result<Vec<u8>, String>,
}

/// Looks for volumes on devices that were not there at the last call.
#[derive(Debug, Default)]
pub struct Scanner {
    seen: BTreeSet<(String, String)>,
}

impl Scanner {
    /// Every labelled volume on a new device.
    pub fn scan(&mut self) -> Vec<Volume> {
        let now = devices(Path::new("/sys/class/block"));
        self.seen.retain(|device| now.contains(device));
        let mut volumes = Vec::new();
        for device in now {
            let path = Path::new("/dev").join(&device.0);
            // A stick is listed before it can be read; it is looked at again until it can.
            if !self.seen.contains(&device) && answers(&path) {
                volumes.extend(read(&device.0, &path));
                self.seen.insert(device);
            }
        }
        volumes
    }
}

/// Names of the block devices, each with its sequence number: a stick pulled and put back is a new device.
fn devices(class: &Path) -> BTreeSet<(String, String)> {
    let Ok(entries) = fs::read_dir(class) else { return BTreeSet::new() };
    entries
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .filter(|name| !["loop", "ram", "zram", "dm-", "fd"].iter().any(|prefix| name.starts_with(prefix)))
        .map(|name| {
            let own = fs::read_to_string(class.join(&name).join("diskseq"));
            let sequence = own.or_else(|_| fs::read_to_string(class.join(&name).join("../diskseq")));
            (name, sequence.unwrap_or_default())
        })
        .collect()
}

/// Whether the first sector can be read.
fn answers(path: &Path) -> bool {
    File::open(path).and_then(|mut device| device.read_exact(&mut [0; 512])).is_ok()
}

/// What a look for documents found.
#[derive(Debug, PartialEq, Eq)]
pub struct Shelf {
    /// The device, e.g. `sdb1`.
    pub device: String,
    /// Names of the documents at its top level, or why they cannot be told.
    pub documents: Result<Vec<String>, String>,
}

/// The labelled volumes that are plugged in, and the documents on them. Waits for disks.
pub fn shelves() -> Vec<Shelf> {
    each_device(|device, path| {
        let documents = guarded(path, |disk| documents(&labelled(disk)?))?;
        Some(Shelf { device: device.to_owned(), documents: documents.and_then(|found| found) })
    })
}

/// What the labelled volumes that are plugged in hold under another name than [`DOCUMENT`]. Waits for disks.
pub fn named(document: &str) -> Vec<Volume> {
    each_device(|device, path| read_as(device, path, document))
}

fn each_device<T>(look: impl Fn(&str, &Path) -> Option<T>) -> Vec<T> {
    let devices = devices(Path::new("/sys/class/block"));
    devices.iter().filter_map(|(name, _)| look(name, &Path::new("/dev").join(name))).collect()
}

/// Reads one device; `None` when it is no volume of ours.
pub fn read(device: &str, path: &Path) -> Option<Volume> {
    read_as(device, path, DOCUMENT)
}

fn read_as(device: &str, path: &Path, document: &str) -> Option<Volume> {
    guarded(path, |disk| read_filesystem(device, disk, document))?.map_or_else(
        |why| {
            Some(Volume { device: device.to_owned(), document: Err(why), signature: Err("not read".into()) })
        },
        Some,
    )
}

/// A crafted filesystem must not be able to end the engine, whatever its reader asserts.
fn guarded<T>(path: &Path, read: impl FnOnce(ReadOnly) -> Option<T>) -> Option<Result<T, String>> {
    let file = File::options().read(true).open(path).ok()?;
    match catch_unwind(AssertUnwindSafe(|| read(ReadOnly(file)))) {
        Ok(found) => found.map(Ok),
        Err(_) => Some(Err("the filesystem is damaged beyond reading; format the volume again".into())),
    }
}

/// The filesystem, if it has our label.
fn labelled<T: ReadWriteSeek>(disk: T) -> Option<FileSystem<T>> {
    let filesystem = FileSystem::new(disk, FsOptions::new().update_accessed_date(false)).ok()?;
    let in_root = filesystem.read_volume_label_from_root_dir().ok().flatten();
    let in_boot_sector = filesystem.volume_label();
    let ours = in_root.as_deref().map(str::trim) == Some(LABEL) || in_boot_sector.trim() == LABEL;
    ours.then_some(filesystem)
}

fn read_filesystem<T: ReadWriteSeek>(device: &str, disk: T, document: &str) -> Option<Volume> {
    let filesystem = labelled(disk)?;
    Some(Volume {
        device: device.to_owned(),
        document: file(&filesystem, document),
        signature: file(&filesystem, &format!("{document}.minisig")),
    })
}

/// Every file at the top level that is called like a document.
fn documents<T: ReadWriteSeek>(filesystem: &FileSystem<T>) -> Option<Result<Vec<String>, String>> {
    let mut names = Vec::new();
    for entry in filesystem.root_dir().iter().take(MOST_ENTRIES) {
        match entry {
            Ok(entry) if entry.is_file() => names.push(entry.file_name()),
            Ok(_) => {}
            Err(error) => return Some(Err(format!("the directory cannot be read ({error})"))),
        }
    }
    names.retain(|name| name.to_ascii_lowercase().ends_with(".toml"));
    names.sort();
    Some(Ok(names))
}

fn file<T: ReadWriteSeek>(filesystem: &FileSystem<T>, name: &str) -> Result<Vec<u8>, String> {
    for entry in filesystem.root_dir().iter().take(MOST_ENTRIES) {
        let entry =
            entry.map_err(|e| format!("the directory cannot be read ({e}); format the volume again"))?;
        if !entry.is_file() || !entry.file_name().eq_ignore_ascii_case(name) {
            continue;
        }
        if entry.len() > LONGEST {
            return Err(format!("{name} has {} bytes; the most is {LONGEST}", entry.len()));
        }
        let mut bytes = Vec::new();
        return match entry.to_file().take(LONGEST + 1).read_to_end(&mut bytes) {
            Ok(_) if bytes.len() as u64 == entry.len() => Ok(bytes),
            Ok(_) => Err(format!(
                "{name} is cut short: {} of {} bytes; copy it again and eject the volume properly",
                bytes.len(),
                entry.len()
            )),
            Err(e) => Err(format!("{name} cannot be read ({e}); copy it again")),
        };
    }
    Err(format!("there is no {name} on the volume; copy it to the volume's top level"))
}

/// A file whose writes are refused: reading a volume never changes it.
pub(crate) struct ReadOnly(pub(crate) File);

impl Read for ReadOnly {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl std::io::Seek for ReadOnly {
    fn seek(&mut self, to: std::io::SeekFrom) -> std::io::Result<u64> {
        self.0.seek(to)
    }
}

impl std::io::Write for ReadOnly {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use super::*;

    const SIGNATURE: &str = "halcyon.toml.minisig";

    fn volume(label: [u8; 11], files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut disk = vec![0; 1 << 20];
        fatfs::format_volume(Cursor::new(&mut disk), fatfs::FormatVolumeOptions::new().volume_label(label))
            .unwrap();
        let filesystem = FileSystem::new(Cursor::new(&mut disk), FsOptions::new()).unwrap();
        for (name, bytes) in files {
            filesystem.root_dir().create_file(name).unwrap().write_all(bytes).unwrap();
        }
        drop(filesystem);
        disk
    }

    #[test]
    fn a_labelled_volume_gives_its_two_files() {
        let disk = volume(*b"HALCYON    ", &[(DOCUMENT, b"schema = 1"), (SIGNATURE, b"sig")]);
        let read = read_filesystem("sdb1", Cursor::new(disk), DOCUMENT).unwrap();
        assert_eq!(read.document.unwrap(), b"schema = 1");
        assert_eq!(read.signature.unwrap(), b"sig");
    }

    #[test]
    fn documents_of_any_name_are_listed_and_read() {
        let files: [(&str, &[u8]); 4] =
            [("next.toml", b"x"), ("next.toml.minisig", b"s"), ("Old.TOML", b"y"), ("notes.txt", b"z")];
        let disk = volume(*b"HALCYON    ", &files);
        let filesystem = labelled(Cursor::new(disk.clone())).unwrap();
        assert_eq!(documents(&filesystem), Some(Ok(vec!["Old.TOML".into(), "next.toml".into()])));
        let read = read_filesystem("sdb1", Cursor::new(disk), "next.toml").unwrap();
        assert_eq!((read.document.unwrap(), read.signature.unwrap()), (b"x".to_vec(), b"s".to_vec()));
    }

    #[test]
    fn another_label_is_no_volume_of_ours() {
        assert_eq!(read_filesystem("sdb1", Cursor::new(volume(*b"HOLIDAY    ", &[])), DOCUMENT), None);
        assert_eq!(read_filesystem("sdb1", Cursor::new(vec![0; 4096]), DOCUMENT), None);
    }

    #[test]
    fn a_missing_or_oversized_file_is_told() {
        let disk = volume(*b"HALCYON    ", &[]);
        let read = read_filesystem("sdb1", Cursor::new(disk), DOCUMENT).unwrap();
        assert!(read.document.unwrap_err().contains("no halcyon.toml"));

        let mut big = vec![0; 4 << 20];
        fatfs::format_volume(
            Cursor::new(&mut big),
            fatfs::FormatVolumeOptions::new().volume_label(*b"HALCYON    "),
        )
        .unwrap();
        let filesystem = FileSystem::new(Cursor::new(&mut big), FsOptions::new()).unwrap();
        filesystem.root_dir().create_file(DOCUMENT).unwrap().write_all(&vec![b'#'; 2 << 20]).unwrap();
        drop(filesystem);
        let read = read_filesystem("sdb1", Cursor::new(big), DOCUMENT).unwrap();
        assert!(read.document.unwrap_err().contains("the most is"));
    }

    /// Any damage ends in a value or an error, never in a panic that leaves the reader, and never in an endless read.
    #[test]
    fn damaged_volumes_are_survived() {
        let intact = volume(*b"HALCYON    ", &[(DOCUMENT, &[b'#'; 5000]), (SIGNATURE, b"sig")]);
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..300 {
            let mut disk = intact.clone();
            for _ in 0..8 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let at = (seed >> 33) as usize % 4096;
                disk[at] ^= 1 << (seed % 8);
            }
            let _ = catch_unwind(AssertUnwindSafe(|| read_filesystem("sdb1", Cursor::new(disk), DOCUMENT)));
        }
    }
}
