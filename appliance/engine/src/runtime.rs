//! What the engine keeps in `/run/halcyon` for the engine that comes after it: the document in force. A restarted engine
//! finds it there, with its signature, whether or not the volume it came from is still plugged in. Gone with the power.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Where the document in force is kept.
pub const DIRECTORY: &str = "/run/halcyon/config";

/// A document in force, as it was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The document's exact bytes.
    pub document: Vec<u8>,
    /// Its signature's exact bytes.
    pub signature: Vec<u8>,
    /// Its generation.
    pub generation: u64,
}

/// The folder that holds the document in force.
#[derive(Clone, Debug)]
pub struct Keeper {
    directory: PathBuf,
}

impl Keeper {
    /// Keeps in `directory`, normally [`DIRECTORY`].
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Keeps a document: the whole of it or, if anything fails, the previous one.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn keep(&self, kept: &Kept) -> io::Result<()> {
        let new = self.directory.with_extension("new");
        let old = self.directory.with_extension("old");
        remove(&new)?;
        fs::create_dir_all(&new)?;
        fs::write(new.join("document"), &kept.document)?;
        fs::write(new.join("signature"), &kept.signature)?;
        fs::write(new.join("generation"), kept.generation.to_string())?;
        remove(&old)?;
        match fs::rename(&self.directory, &old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::rename(&new, &self.directory)?;
        remove(&old)
    }

    /// The document that was kept last; also one that a crash between two renames left aside.
    pub fn kept(&self) -> Option<Kept> {
        read(&self.directory).or_else(|| read(&self.directory.with_extension("new")))
    }
}

fn read(directory: &Path) -> Option<Kept> {
    Some(Kept {
        document: fs::read(directory.join("document")).ok()?,
        signature: fs::read(directory.join("signature")).ok()?,
        generation: fs::read_to_string(directory.join("generation")).ok()?.trim().parse().ok()?,
    })
}

fn remove(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeper(name: &str) -> Keeper {
        let directory = std::env::temp_dir().join(format!("halcyon-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        Keeper::new(directory.join("config"))
    }

    fn document(generation: u64) -> Kept {
        Kept {
            document: format!("revision = {generation}").into_bytes(),
            signature: b"sig".to_vec(),
            generation,
        }
    }

    #[test]
    fn the_last_document_is_found_again() {
        let keeper = keeper("last");
        assert_eq!(keeper.kept(), None);
        for generation in 1..=3 {
            keeper.keep(&document(generation)).unwrap();
            assert_eq!(keeper.kept(), Some(document(generation)));
        }
    }

    #[test]
    fn a_crash_between_the_renames_loses_nothing() {
        let keeper = keeper("crash");
        keeper.keep(&document(1)).unwrap();
        fs::rename(&keeper.directory, keeper.directory.with_extension("new")).unwrap();
        assert_eq!(keeper.kept(), Some(document(1)));
    }
}
