//! Sysctls as files below a root that is an argument: `/proc/sys` on the box, a directory in tests.

use std::io;
use std::path::{Component, Path, PathBuf};

/// The sysctl tree.
pub struct Sysctls {
    root: PathBuf,
}

impl Sysctls {
    /// The tree below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The value at `path`, e.g. `net/ipv4/ip_forward`, with single blanks between its numbers; `None` when this
    /// kernel does not have it.
    pub fn read(&self, path: &str) -> io::Result<Option<String>> {
        match std::fs::read_to_string(self.file(path)?) {
            Ok(text) => Ok(Some(text.split_ascii_whitespace().collect::<Vec<_>>().join(" "))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes `value` at `path`; one that this kernel does not have is an error.
    pub fn write(&self, path: &str, value: &str) -> io::Result<()> {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().write(true).open(self.file(path)?)?;
        // One call: the kernel takes a sysctl's value from a single write.
        file.write_all(format!("{value}\n").as_bytes())
    }

    /// Paths come from the planner, but nothing outside the tree may ever be meant.
    fn file(&self, path: &str) -> io::Result<PathBuf> {
        let inside = Path::new(path).components().all(|c| matches!(c, Component::Normal(_)));
        if path.is_empty() || !inside {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{path:?} is not below /proc/sys"),
            ));
        }
        Ok(self.root.join(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> (tempdir::Dir, Sysctls) {
        let dir = tempdir::Dir::new();
        std::fs::create_dir_all(dir.path().join("net/ipv4")).unwrap();
        std::fs::write(dir.path().join("net/ipv4/ip_forward"), "0\n").unwrap();
        std::fs::write(dir.path().join("net/ipv4/tcp_rmem"), "4096\t131072\t6291456\n").unwrap();
        let sysctls = Sysctls::new(dir.path());
        (dir, sysctls)
    }

    #[test]
    fn values_are_read_and_written() {
        let (_dir, sysctls) = tree();
        assert_eq!(sysctls.read("net/ipv4/ip_forward").unwrap().as_deref(), Some("0"));
        sysctls.write("net/ipv4/ip_forward", "1").unwrap();
        assert_eq!(sysctls.read("net/ipv4/ip_forward").unwrap().as_deref(), Some("1"));
        assert_eq!(sysctls.read("net/ipv4/tcp_rmem").unwrap().as_deref(), Some("4096 131072 6291456"));
    }

    #[test]
    fn what_the_kernel_does_not_have_is_absent_and_never_made() {
        let (_dir, sysctls) = tree();
        assert_eq!(sysctls.read("net/ipv4/vs/sloppy_tcp").unwrap(), None);
        assert_eq!(sysctls.write("net/ipv4/unheard", "1").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(sysctls.read("net/ipv4/unheard").unwrap(), None);
    }

    #[test]
    fn nothing_outside_the_tree_is_touched() {
        let (_dir, sysctls) = tree();
        for path in ["", "/etc/passwd", "../passwd", "net/../../passwd"] {
            assert_eq!(sysctls.write(path, "1").unwrap_err().kind(), io::ErrorKind::InvalidInput, "{path:?}");
        }
    }

    /// A directory of the test's own, removed with it.
    mod tempdir {
        use std::path::{Path, PathBuf};
        use std::sync::atomic::{AtomicU32, Ordering};

        pub(super) struct Dir(PathBuf);

        impl Dir {
            pub(super) fn new() -> Self {
                static NEXT: AtomicU32 = AtomicU32::new(0);
                let n = NEXT.fetch_add(1, Ordering::Relaxed);
                let path = std::env::temp_dir().join(format!("halcyon-sysctl-{}-{n}", std::process::id()));
                std::fs::create_dir_all(&path).unwrap();
                Self(path)
            }

            pub(super) fn path(&self) -> &Path {
                &self.0
            }
        }

        impl Drop for Dir {
            fn drop(&mut self) {
                let _ = std::fs::remove_dir_all(&self.0);
            }
        }
    }
}
