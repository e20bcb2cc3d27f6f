//! Overlay trees: directories of the integrator copied over the root, last one wins.
//!
//! Owners become root. Modes are the files' own without set-id, sticky and the write bits of group and others, so that the
//! builder's umask does not decide what is in the image. Anything but files, directories and symbolic links is refused.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::tree::{Content, Node, Tree};

/// Mode bits that survive into the image.
const KEPT: u32 = 0o755;

/// Copies the tree at `directory` over `tree`.
pub(crate) fn apply(tree: &mut Tree, directory: &Path) -> Result<()> {
    match fs::metadata(directory) {
        Err(error) => bail!("the overlay {} cannot be used: {error}", directory.display()),
        Ok(found) if !found.is_dir() => bail!("the overlay {} is not a directory", directory.display()),
        Ok(_) => {}
    }
    copy(tree, directory, "").with_context(|| format!("the overlay {} cannot be used", directory.display()))
}

fn copy(tree: &mut Tree, directory: &Path, at: &str) -> Result<()> {
    let mut entries = fs::read_dir(directory)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("cannot list {}", directory.display()))?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let host = entry.path();
        let name = entry.file_name();
        let Some(name) = name.to_str() else { bail!("{} is not named in UTF-8", host.display()) };
        let path = format!("{at}/{name}");
        let found = fs::symlink_metadata(&host).with_context(|| format!("cannot read {}", host.display()))?;
        let mode = found.permissions().mode() & KEPT;
        if found.is_dir() {
            tree.put(&path, Node::Directory { mode })?;
            copy(tree, &host, &path)?;
        } else if found.is_symlink() {
            let target = fs::read_link(&host)?;
            let target =
                target.to_str().with_context(|| format!("{} points to no UTF-8 name", host.display()))?;
            tree.symlink(&path, target)?;
        } else if found.is_file() {
            // Opened here so that an unreadable file is told as the overlay's fault.
            fs::File::open(&host).with_context(|| format!("cannot read {}", host.display()))?;
            tree.put(&path, Node::File { content: Content::Host(host), mode })?;
        } else {
            bail!("{} is neither a file, a directory nor a symbolic link", host.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    #[test]
    fn modes_links_and_order() {
        let host = tempfile::tempdir().unwrap();
        let app = host.path().join("opt/app");
        fs::create_dir_all(&app).unwrap();
        fs::write(app.join("run"), "#!").unwrap();
        fs::set_permissions(app.join("run"), fs::Permissions::from_mode(0o4777)).unwrap();
        symlink("run", app.join("link")).unwrap();
        let mut tree = Tree::default();
        tree.bytes("/opt/app/run", "older", 0o644).unwrap();
        apply(&mut tree, host.path()).unwrap();
        let nodes: Vec<_> = tree.nodes().collect();
        assert_eq!(nodes[2], ("opt/app/link", &Node::Symlink { target: "run".to_owned() }));
        assert_eq!(nodes[3].1, &Node::File { content: Content::Host(app.join("run")), mode: 0o755 });
    }

    #[test]
    fn bad_overlays_are_one_sentence() {
        let host = tempfile::tempdir().unwrap();
        let told = |path: &Path| format!("{:#}", apply(&mut Tree::default(), path).unwrap_err());
        let missing = host.path().join("missing");
        assert_eq!(
            told(&missing),
            format!(
                "the overlay {} cannot be used: No such file or directory (os error 2)",
                missing.display()
            )
        );
        let file = host.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(told(&file), format!("the overlay {} is not a directory", file.display()));
        fs::remove_file(&file).unwrap();
        let _socket = UnixListener::bind(host.path().join("socket")).unwrap();
        assert!(told(host.path()).ends_with("socket is neither a file, a directory nor a symbolic link"));
    }
}
