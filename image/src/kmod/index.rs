//! The index files of `/lib/modules/VERSION` that depmod writes on an installed system; Debian's packages carry none.
//!
//! The formats are kmod's (`modules.dep(5)`): in `modules.dep` the dependencies of a line are complete and are loaded from the
//! last to the first. Only modules that the image carries are named. Pure.

use std::collections::BTreeSet;

use anyhow::Result;

use super::closure::{Needs, load_order};
use super::modinfo::Catalogue;

/// The texts of the index files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    /// `kernel/a.ko: kernel/b.ko kernel/c.ko`
    pub(crate) dep: String,
    /// `alias PATTERN MODULE`
    pub(crate) alias: String,
    /// `softdep MODULE pre: … post: …`
    pub(crate) softdep: String,
}

/// Indexes the modules named in `taken`.
pub(crate) fn index(catalogue: &Catalogue, taken: &BTreeSet<String>) -> Result<Index> {
    let mut dep = String::new();
    let mut alias = String::from("# Aliases extracted from modules themselves.\n");
    let mut softdep = String::from("# Soft dependencies extracted from modules themselves.\n");
    for (name, info) in catalogue.modules.iter().filter(|(name, _)| taken.contains(*name)) {
        let mut needed = load_order(catalogue, &[name], Needs::Hard)?;
        needed.retain(|other| other != name);
        needed.reverse();
        dep.push_str(&info.path);
        dep.push(':');
        for other in &needed {
            dep.push(' ');
            dep.push_str(&catalogue.modules[other].path);
        }
        dep.push('\n');
        for pattern in &info.aliases {
            alias.push_str(&format!("alias {pattern} {name}\n"));
        }
        for line in &info.softdeps {
            softdep.push_str(&format!("softdep {name} {line}\n"));
        }
    }
    Ok(Index { dep, alias, softdep })
}

#[cfg(test)]
mod tests {
    use super::super::modinfo::ModInfo;
    use super::*;

    #[test]
    fn the_formats_are_kmods() {
        let module = |path: &str, depends: &[&str]| ModInfo {
            path: path.to_owned(),
            depends: depends.iter().map(|name| (*name).to_owned()).collect(),
            softdeps: vec!["pre: z".to_owned()],
            aliases: vec![format!("pci:{path}*")],
            firmware: Vec::new(),
        };
        let catalogue = Catalogue {
            modules: [
                ("a".to_owned(), module("kernel/a.ko", &["b", "c"])),
                ("b".to_owned(), module("kernel/b.ko", &["c"])),
                ("c".to_owned(), module("kernel/c.ko", &[])),
                ("unused".to_owned(), module("kernel/unused.ko", &[])),
            ]
            .into(),
            ..Catalogue::default()
        };
        let taken = ["a", "b", "c"].map(str::to_owned).into();
        let index = index(&catalogue, &taken).unwrap();
        assert_eq!(
            index.dep,
            "kernel/a.ko: kernel/b.ko kernel/c.ko\nkernel/b.ko: kernel/c.ko\nkernel/c.ko:\n"
        );
        assert!(index.alias.ends_with("alias pci:kernel/c.ko* c\n"), "{}", index.alias);
        assert!(index.softdep.contains("softdep a pre: z\n"), "{}", index.softdep);
        assert!(!index.alias.contains("unused"));
    }
}
