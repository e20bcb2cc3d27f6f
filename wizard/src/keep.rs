//! What was typed, in memory until power-off: a wizard that is started anew, after a hang-up or on another console, goes on
//! where the last one was.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::model::Kept;

/// Where; PID 1 makes the directory for this user.
pub(crate) const FILE: &str = "/run/halcyon/wizard/draft.json";

/// The terminal at which somebody types, by name.
const HOLDER: &str = "/run/halcyon/wizard/typing";

/// At which terminal somebody types.
pub(crate) fn holder() -> Option<String> {
    fs::read_to_string(HOLDER).ok()
}

/// Tells that somebody types at `terminal`.
pub(crate) fn hold(terminal: &str) -> std::io::Result<()> {
    fs::write(HOLDER, terminal)
}

/// What was kept, if it can be read.
pub(crate) fn read(file: &Path) -> Option<Kept> {
    serde_json::from_slice(&fs::read(file).ok()?).ok()
}

/// Keeps it. A box where that fails loses what was typed with the program, and nothing else.
pub(crate) fn write(file: &Path, kept: &Kept) -> std::io::Result<()> {
    let new = file.with_extension("new");
    let mut out = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    serde_json::to_writer(&mut out, kept)?;
    out.flush()?;
    fs::rename(new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_again_and_what_cannot_be_read_is_forgotten() {
        let directory = tempfile();
        let file = directory.join("draft.json");
        assert_eq!(read(&file), None);
        write(&file, &Kept::default()).unwrap();
        assert_eq!(read(&file), Some(Kept::default()));
        fs::write(&file, b"{").unwrap();
        assert_eq!(read(&file), None);
        fs::remove_dir_all(directory).unwrap();
    }

    fn tempfile() -> std::path::PathBuf {
        let directory = std::env::temp_dir().join(format!("halcyon-wizard-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        directory
    }
}
