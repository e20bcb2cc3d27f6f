//! The files that the engine leaves in `/run/halcyon` for other programs: for the clock's keeper and for the C library's
//! resolver. What they say is decided in `halcyon_core`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tracing::warn;

/// The folder, and what was last left there.
#[derive(Debug)]
pub struct Handout {
    directory: PathBuf,
    last: BTreeMap<&'static str, Option<String>>,
}

impl Handout {
    /// Leaves files in `directory`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into(), last: BTreeMap::new() }
    }

    /// Has the file `name` hold `text`, or not be there. Costs nothing while that does not change; what fails is told once.
    pub fn put(&mut self, name: &'static str, text: Option<String>) {
        if self.last.get(name) == Some(&text) {
            return;
        }
        if let Err(error) = place(&self.directory.join(name), text.as_deref()) {
            warn!(%error, name, "a file for another program could not be brought up to date");
        }
        self.last.insert(name, text);
    }
}

/// Whole or not at all; a file that says the same already is left as it is, for somebody may be watching it.
fn place(path: &Path, text: Option<&str>) -> io::Result<()> {
    let Some(text) = text else {
        return match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        };
    };
    if fs::read(path).is_ok_and(|there| there == text.as_bytes()) {
        return Ok(());
    }
    let new = path.with_added_extension("new");
    fs::write(&new, text)?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_comes_changes_and_goes_even_one_of_an_engine_before() {
        let directory = std::env::temp_dir().join(format!("halcyon-{}-handout", std::process::id()));
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("resolv.conf");
        let mut handout = Handout::new(&directory);
        for text in ["a", "b"] {
            handout.put("resolv.conf", Some(text.into()));
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
        Handout::new(&directory).put("resolv.conf", None);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0);
        fs::remove_dir_all(directory).unwrap();
    }
}
