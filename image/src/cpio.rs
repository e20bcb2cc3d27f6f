//! The archive format of an initramfs: cpio "newc", as Documentation/driver-api/early-userspace/buffer-format.rst states it.
//!
//! Writes whole archives from values: root owns everything, all times are zero, inode numbers count up, so the same entries
//! give the same bytes.

/// One entry of an archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    Directory { mode: u32 },
    File { mode: u32, data: &'a [u8] },
}

/// An archive in the making.
#[derive(Debug, Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    inodes: u32,
}

const TRAILER: &str = "TRAILER!!!";
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;

impl Archive {
    /// Adds `entry` at `path` (relative, parents first: the kernel makes none).
    pub(crate) fn add(&mut self, path: &str, entry: &Entry<'_>) {
        self.inodes += 1;
        let (mode, links, data): (u32, u32, &[u8]) = match entry {
            Entry::Directory { mode } => (S_IFDIR | mode, 2, &[]),
            Entry::File { mode, data } => (S_IFREG | mode, 1, data),
        };
        self.header(path, self.inodes, mode, links, data.len());
        self.bytes.extend_from_slice(data);
        self.pad(4);
    }

    /// The finished archive, padded so that another may follow it.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.header(TRAILER, 0, 0, 1, 0);
        self.pad(512);
        self.bytes
    }

    fn header(&mut self, name: &str, inode: u32, mode: u32, links: u32, size: usize) {
        let size = u32::try_from(size).expect("a slot is smaller than 4 GiB");
        let name_size = u32::try_from(name.len() + 1).expect("names are short");
        // magic ino mode uid gid nlink mtime filesize major minor rmajor rminor namesize check
        let fields = [inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad(4);
    }

    fn pad(&mut self, alignment: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(alignment), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::tool;
    use std::io::Write;
    use std::process::Stdio;

    fn sample() -> Vec<u8> {
        let mut archive = Archive::default();
        archive.add("d", &Entry::Directory { mode: 0o755 });
        archive.add("d/file", &Entry::File { mode: 0o644, data: b"hello" });
        archive.add("init", &Entry::File { mode: 0o755, data: b"" });
        archive.finish()
    }

    #[test]
    fn layout() {
        let bytes = sample();
        assert_eq!(bytes.len() % 512, 0);
        // 110 bytes of header, "d\0", padded to 4.
        assert_eq!(&bytes[..6], b"070701");
        assert_eq!(&bytes[14..22], b"000041ed");
        assert_eq!(&bytes[112..118], b"070701");
    }

    #[test]
    fn an_independent_reader_agrees() {
        let mut child = tool("cpio")
            .args(["-itv", "--quiet", "--numeric-uid-gid"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cpio is among the host packages");
        child.stdin.take().expect("piped").write_all(&sample()).unwrap();
        let listing = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let columns: Vec<Vec<&str>> = listing.lines().map(|line| line.split_whitespace().collect()).collect();
        let found: Vec<_> = columns.iter().map(|c| (c[0], c[2], c[3], c[4], c[c.len() - 1])).collect();
        assert_eq!(
            found,
            [
                ("drwxr-xr-x", "0", "0", "0", "d"),
                ("-rw-r--r--", "0", "0", "5", "d/file"),
                ("-rwxr-xr-x", "0", "0", "0", "init"),
            ]
        );
    }
}
