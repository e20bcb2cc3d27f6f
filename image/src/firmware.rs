//! The firmware files that the image's modules may ask for, out of Debian's firmware packages.
//!
//! Exactly what the modules name (`firmware=` in their `.modinfo`, with `*` where they leave a part open) is taken. What no
//! package holds is listed as absent, not guessed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use anyhow::Result;
use glob::Pattern;

use crate::kmod::modinfo::Catalogue;
use crate::packages::Packages;
use crate::unpacked::files_below;

/// The firmware of the image.
#[derive(Debug, Default)]
pub(crate) struct Firmware {
    /// Path below `/lib/firmware/` and where its bytes are.
    pub(crate) present: BTreeMap<String, PathBuf>,
    /// What a module names and no package holds, with the modules' names.
    pub(crate) absent: BTreeMap<String, Vec<String>>,
}

/// Collects what the modules in `taken` name.
pub(crate) fn collect(
    packages: &Packages,
    catalogue: &Catalogue,
    taken: &BTreeSet<String>,
) -> Result<Firmware> {
    let available = available(packages)?;
    let mut firmware = Firmware::default();
    for name in taken {
        for pattern in &catalogue.modules[name].firmware {
            let mut found = false;
            for (path, host) in select(&available, pattern) {
                found = true;
                firmware.present.insert(path.clone(), host.clone());
            }
            if !found {
                firmware.absent.entry(pattern.clone()).or_default().push(name.clone());
            }
        }
    }
    Ok(firmware)
}

fn available(packages: &Packages) -> Result<BTreeMap<String, PathBuf>> {
    let mut available = BTreeMap::new();
    for (_, tree) in packages.trees() {
        let Some(root) = tree.find("/usr/lib/firmware") else { continue };
        for path in files_below(&root)? {
            let name = path.strip_prefix(&root)?.to_string_lossy().into_owned();
            // A link may lead out of its package (to a file that another one ships): it counts only when it can be read.
            if let Ok(host) = fs::canonicalize(&path) {
                available.insert(name, host);
            }
        }
    }
    Ok(available)
}

fn select<'a>(
    available: &'a BTreeMap<String, PathBuf>,
    pattern: &'a str,
) -> impl Iterator<Item = (&'a String, &'a PathBuf)> {
    let prefix = pattern.split('*').next().unwrap_or_default();
    let fits = Pattern::new(pattern);
    available
        .range(prefix.to_owned()..)
        .take_while(move |(name, _)| name.starts_with(prefix))
        .filter(move |(name, _)| fits.as_ref().is_ok_and(|fits| fits.matches(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_select_files() {
        let available: BTreeMap<_, _> =
            ["bnx2x/bnx2x-e1-7.13.fw", "bnx2x/bnx2x-e2-7.13.fw", "intel/ice/ddp/ice.pkg", "zz"]
                .map(|name| (name.to_owned(), PathBuf::from(name)))
                .into();
        let names = |pattern| select(&available, pattern).map(|(name, _)| name.as_str()).collect::<Vec<_>>();
        assert_eq!(names("bnx2x/bnx2x-e1-7.13.fw"), ["bnx2x/bnx2x-e1-7.13.fw"]);
        assert_eq!(names("bnx2x/*.fw"), ["bnx2x/bnx2x-e1-7.13.fw", "bnx2x/bnx2x-e2-7.13.fw"]);
        assert_eq!(names("bnx2x/bnx2x-e3-*"), [""; 0]);
        assert_eq!(names("z"), [""; 0]);
    }
}
