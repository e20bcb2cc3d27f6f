//! When each virtual router last advertised, for the engine that comes after a crash: eight octets per file, overwritten
//! in place on tmpfs, so that noting the time costs one system call and no disk.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use halcyon_core::config::types::InstanceId;
use halcyon_core::moment::Moment;

/// The files of the virtual routers of this box.
pub(super) struct LastAdverts {
    directory: PathBuf,
    files: BTreeMap<InstanceId, File>,
}

impl LastAdverts {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory, files: BTreeMap::new() }
    }

    /// Opens the file of `id` unless it is open, before the time counts.
    pub(super) fn open(&mut self, id: &InstanceId) -> io::Result<()> {
        if self.files.contains_key(id) {
            return Ok(());
        }
        fs::create_dir_all(&self.directory)?;
        let path = self.directory.join(format!("{}-{}", id.interface, id.vrid.get()));
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        self.files.insert(id.clone(), file);
        Ok(())
    }

    /// Notes that `id` advertised at `at`; `None`: that it has given up.
    ///
    /// A failure is not worth a word: the next engine then starts as backup.
    pub(super) fn note(&self, id: &InstanceId, at: Option<Moment>) {
        if let Some(file) = self.files.get(id) {
            let nanos = at.map_or(0, |at| u64::try_from(at.since_boot().as_nanos()).unwrap_or(0));
            let _ = file.write_all_at(&nanos.to_le_bytes(), 0);
        }
    }

    /// When `id` last advertised, in this process or one before.
    pub(super) fn read(&self, id: &InstanceId) -> Option<Moment> {
        let mut octets = [0; 8];
        self.files.get(id)?.read_exact_at(&mut octets, 0).ok()?;
        match u64::from_le_bytes(octets) {
            0 => None,
            nanos => Some(Moment::from_boot(Duration::from_nanos(nanos))),
        }
    }
}
