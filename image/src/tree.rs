//! The root tree as a value: what is at which path, before anything is written.
//!
//! Paths are absolute on the box and kept without their leading slash. Owners are always root; times are set when the tree is
//! packed. A path below a symbolic link to a directory lands where the link points (`lib/x` in `usr/lib/x`).

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::digest;

/// Where a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// In a file of the build host.
    Host(PathBuf),
    /// Made by the build.
    Bytes(Vec<u8>),
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Directory { mode: u32 },
    File { content: Content, mode: u32 },
    Symlink { target: String },
}

/// A tree of files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    nodes: BTreeMap<String, Node>,
}

impl Tree {
    /// Puts `node` at `path`, with directories above it as needed; replaces a file, never a directory by a file.
    pub(crate) fn put(&mut self, path: &str, node: Node) -> Result<()> {
        let path = self.resolve(path)?;
        let ancestors: Vec<_> = path.match_indices('/').map(|(at, _)| path[..at].to_owned()).collect();
        for ancestor in ancestors {
            match self.nodes.entry(ancestor).or_insert(Node::Directory { mode: 0o755 }) {
                Node::Directory { .. } => {}
                _ => bail!("/{path} would lie below something that is no directory"),
            }
        }
        match (self.nodes.get(&path), &node) {
            (Some(Node::Symlink { .. }), Node::Directory { .. }) => return Ok(()),
            (Some(Node::Directory { .. }), Node::File { .. } | Node::Symlink { .. }) => {
                bail!("/{path} is a directory and cannot be replaced by a file")
            }
            (Some(Node::File { .. }), Node::Directory { .. }) => {
                bail!("/{path} is a file and cannot be replaced by a directory")
            }
            _ => {}
        }
        self.nodes.insert(path, node);
        Ok(())
    }

    /// Puts an empty directory.
    pub(crate) fn directory(&mut self, path: &str) -> Result<()> {
        self.put(path, Node::Directory { mode: 0o755 })
    }

    /// Puts a file of the build host.
    pub(crate) fn file(&mut self, path: &str, host: impl Into<PathBuf>, mode: u32) -> Result<()> {
        self.put(path, Node::File { content: Content::Host(host.into()), mode })
    }

    /// Puts a file with these bytes.
    pub(crate) fn bytes(&mut self, path: &str, bytes: impl Into<Vec<u8>>, mode: u32) -> Result<()> {
        self.put(path, Node::File { content: Content::Bytes(bytes.into()), mode })
    }

    /// Puts a symbolic link.
    pub(crate) fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        self.put(path, Node::Symlink { target: target.to_owned() })
    }

    /// All nodes, parents before children.
    #[cfg(test)]
    pub(crate) fn nodes(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.nodes.iter().map(|(path, node)| (path.as_str(), node))
    }

    /// SHA-256 of every file by path.
    pub(crate) fn file_digests(&self) -> Result<BTreeMap<String, String>> {
        let digest = |(path, node): (&String, &Node)| match node {
            Node::File { content: Content::Host(host), .. } => {
                Some(digest::of_file(host).map(|hex| (path.clone(), hex)))
            }
            Node::File { content: Content::Bytes(bytes), .. } => {
                Some(Ok((path.clone(), digest::of_bytes(bytes))))
            }
            Node::Directory { .. } | Node::Symlink { .. } => None,
        };
        self.nodes.iter().filter_map(digest).collect()
    }

    /// One digest over all that [`Self::write`] would write, given the files' digests.
    pub(crate) fn digest(&self, files: &BTreeMap<String, String>) -> String {
        let mut text = String::new();
        for (path, node) in &self.nodes {
            let line = match node {
                Node::Directory { mode } => format!("d {mode:o} {path}\n"),
                Node::File { mode, .. } => format!("f {mode:o} {path}\0{}\n", files[path]),
                Node::Symlink { target } => format!("l {path}\0{target}\n"),
            };
            text.push_str(&line);
        }
        digest::of_bytes(text.as_bytes())
    }

    /// Writes the tree into the directory `root`, which must not exist.
    pub(crate) fn write(&self, root: &Path) -> Result<()> {
        fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
        for (path, node) in &self.nodes {
            let at = root.join(path);
            write_node(&at, node).with_context(|| format!("cannot write {}", at.display()))?;
        }
        fs::set_permissions(root, Permissions::from_mode(0o755))?;
        // Last, so that a directory that its owner may not write can be filled first.
        for (path, node) in &self.nodes {
            if let Node::Directory { mode } = node {
                fs::set_permissions(root.join(path), Permissions::from_mode(*mode))?;
            }
        }
        Ok(())
    }

    /// Follows symbolic links in all components of `path` but the last.
    fn resolve(&self, path: &str) -> Result<String> {
        let mut todo: Vec<String> =
            path.split('/').filter(|part| !part.is_empty()).rev().map(str::to_owned).collect();
        let mut done: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = todo.pop() {
            match part.as_str() {
                "." => continue,
                ".." => {
                    done.pop();
                    continue;
                }
                _ => done.push(part),
            }
            let Some(Node::Symlink { target }) = self.nodes.get(&done.join("/")) else { continue };
            if todo.is_empty() {
                continue;
            }
            links += 1;
            if links > 16 {
                bail!("/{path} goes through symbolic links without end");
            }
            done.pop();
            if target.starts_with('/') {
                done.clear();
            }
            todo.extend(target.split('/').filter(|part| !part.is_empty()).rev().map(str::to_owned));
        }
        Ok(done.join("/"))
    }
}

fn write_node(at: &Path, node: &Node) -> Result<()> {
    match node {
        Node::Directory { .. } => fs::create_dir(at)?,
        Node::Symlink { target } => symlink(target, at)?,
        Node::File { content, mode } => {
            match content {
                Content::Host(host) => fs::copy(host, at).map(drop)?,
                Content::Bytes(bytes) => fs::write(at, bytes)?,
            }
            fs::set_permissions(at, Permissions::from_mode(*mode))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(tree: &Tree) -> Vec<&str> {
        tree.nodes().map(|(path, _)| path).collect()
    }

    #[test]
    fn parents_appear_and_links_are_followed() {
        let mut tree = Tree::default();
        tree.symlink("/lib", "usr/lib").unwrap();
        tree.symlink("/usr/lib/here", "../share").unwrap();
        tree.bytes("/lib/a/b", "x", 0o644).unwrap();
        tree.bytes("/lib/here/c", "x", 0o644).unwrap();
        assert_eq!(
            paths(&tree),
            ["lib", "usr", "usr/lib", "usr/lib/a", "usr/lib/a/b", "usr/lib/here", "usr/share", "usr/share/c"]
        );
    }

    #[test]
    fn files_are_replaced_but_directories_stay() {
        let mut tree = Tree::default();
        tree.bytes("/etc/x", "old", 0o644).unwrap();
        tree.bytes("/etc/x", "new", 0o600).unwrap();
        assert_eq!(tree.nodes["etc/x"], Node::File { content: Content::Bytes(b"new".to_vec()), mode: 0o600 });
        let error = tree.bytes("/etc", "x", 0o644).unwrap_err().to_string();
        assert_eq!(error, "/etc is a directory and cannot be replaced by a file");
        let error = tree.bytes("/etc/x/y", "x", 0o644).unwrap_err().to_string();
        assert_eq!(error, "/etc/x/y would lie below something that is no directory");
    }

    #[test]
    fn a_merged_directory_keeps_the_link() {
        let mut tree = Tree::default();
        tree.symlink("/lib", "usr/lib").unwrap();
        tree.directory("/lib").unwrap();
        assert_eq!(tree.nodes["lib"], Node::Symlink { target: "usr/lib".to_owned() });
    }

    #[test]
    fn a_circle_of_links_is_told() {
        let mut tree = Tree::default();
        tree.symlink("/a", "b").unwrap();
        tree.symlink("/b", "a").unwrap();
        assert!(tree.bytes("/a/x", "", 0o644).unwrap_err().to_string().contains("without end"));
    }

    #[test]
    fn the_digest_sees_every_property() {
        let digest = |build: fn(&mut Tree)| {
            let mut tree = Tree::default();
            build(&mut tree);
            tree.digest(&tree.file_digests().unwrap())
        };
        let all = [
            digest(|tree| tree.bytes("a", "x", 0o644).unwrap()),
            digest(|tree| tree.bytes("a", "y", 0o644).unwrap()),
            digest(|tree| tree.bytes("a", "x", 0o755).unwrap()),
            digest(|tree| tree.bytes("b", "x", 0o644).unwrap()),
            digest(|tree| tree.symlink("a", "x").unwrap()),
            digest(|tree| tree.directory("a").unwrap()),
        ];
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
