//! The modules that follow from the wanted list: dependencies, and soft dependencies by name or by alias.
//!
//! Pure. A dependency that does not exist is an error of the kernel package and is told; a soft one that does not exist is not.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};

use super::modinfo::{Catalogue, ModInfo, below_kernel, canonical};
use super::wanted::matches;

/// The names of the modules to take.
pub(crate) fn close(catalogue: &Catalogue, wanted: &[&str], unwanted: &[&str]) -> Result<BTreeSet<String>> {
    let mut next = Vec::new();
    for pattern in wanted {
        let before = next.len();
        let meant = |info: &ModInfo| {
            let path = below_kernel(&info.path);
            matches(pattern, path) && !unwanted.iter().any(|unwanted| matches(unwanted, path))
        };
        next.extend(catalogue.modules.iter().filter(|(_, info)| meant(info)).map(|(name, _)| name.clone()));
        let built_in = catalogue.builtin_paths.iter().any(|path| matches(pattern, path));
        if next.len() == before && !built_in {
            bail!(
                "the kernel has no module that matches {pattern}; correct the list in image/src/kmod/wanted.rs"
            );
        }
    }
    let providers = providers(catalogue);
    let mut taken = BTreeSet::new();
    while let Some(name) = next.pop() {
        if catalogue.builtin.contains(&name) || taken.contains(&name) {
            continue;
        }
        let info = catalogue.modules.get(&name).with_context(|| {
            format!("a wanted module needs {name}, which the kernel package does not have")
        })?;
        next.extend(info.depends.iter().cloned());
        next.extend(soft(info).flat_map(|wish| resolve(catalogue, &providers, &wish)));
        taken.insert(name);
    }
    Ok(taken)
}

/// Which needs of a module come before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Those without which it cannot be linked.
    Hard,
    /// Those too without which it may fail at run time.
    HardAndSoft,
}

/// The modules `names` and everything they need, in an order in which each can be loaded.
pub(crate) fn load_order(catalogue: &Catalogue, names: &[&str], needs: Needs) -> Result<Vec<String>> {
    let providers = if needs == Needs::HardAndSoft { providers(catalogue) } else { BTreeMap::new() };
    let mut order = Vec::new();
    let mut open = Vec::new();
    for name in names {
        let walk = Walk { catalogue, providers: &providers, needs };
        walk.visit(&canonical(name), &mut open, &mut order)?;
    }
    Ok(order)
}

struct Walk<'a> {
    catalogue: &'a Catalogue,
    providers: &'a BTreeMap<String, Vec<String>>,
    needs: Needs,
}

impl Walk<'_> {
    /// Depth-first; `open` is the chain of modules that led here.
    fn visit(&self, name: &str, open: &mut Vec<String>, order: &mut Vec<String>) -> Result<()> {
        if order.iter().any(|done| done == name) || self.catalogue.builtin.contains(name) {
            return Ok(());
        }
        if open.iter().any(|other| other == name) {
            bail!("kernel modules depend on each other in a circle: {} {name}", open.join(" "));
        }
        let info =
            self.catalogue.modules.get(name).with_context(|| format!("the kernel has no module {name}"))?;
        let mut needed = info.depends.clone();
        if self.needs == Needs::HardAndSoft {
            needed.extend(soft_before(info).flat_map(|wish| resolve(self.catalogue, self.providers, &wish)));
        }
        open.push(name.to_owned());
        needed.iter().try_for_each(|other| self.visit(other, open, order))?;
        open.pop();
        order.push(name.to_owned());
        Ok(())
    }
}

/// Which modules carry an alias that is a plain name, e.g. `crypto-crc32c`.
fn providers(catalogue: &Catalogue) -> BTreeMap<String, Vec<String>> {
    let mut providers: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (name, info) in &catalogue.modules {
        for alias in info.aliases.iter().filter(|alias| !alias.contains(['*', ':'])) {
            providers.entry(canonical(alias)).or_default().push(name.clone());
        }
    }
    providers
}

/// The modules that a soft dependency means; none when it is built in or does not exist.
fn resolve(catalogue: &Catalogue, providers: &BTreeMap<String, Vec<String>>, wish: &str) -> Vec<String> {
    let wish = canonical(wish);
    if catalogue.builtin.contains(&wish) {
        Vec::new()
    } else if catalogue.modules.contains_key(&wish) {
        vec![wish]
    } else {
        providers.get(&wish).cloned().unwrap_or_default()
    }
}

fn soft(info: &ModInfo) -> impl Iterator<Item = String> {
    info.softdeps
        .iter()
        .flat_map(|line| line.split_whitespace())
        .filter(|word| !word.ends_with(':'))
        .map(canonical)
}

fn soft_before(info: &ModInfo) -> impl Iterator<Item = String> {
    info.softdeps
        .iter()
        .flat_map(|line| line.split("post:").next())
        .flat_map(str::split_whitespace)
        .filter(|word| *word != "pre:")
        .map(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue() -> Catalogue {
        let module = |path: &str, depends: &[&str], softdep: &str, alias: &str| ModInfo {
            path: format!("kernel/{path}.ko"),
            depends: depends.iter().map(|name| (*name).to_owned()).collect(),
            softdeps: [softdep]
                .iter()
                .filter(|line| !line.is_empty())
                .map(|line| (*line).to_owned())
                .collect(),
            aliases: vec![alias.to_owned()],
            firmware: Vec::new(),
        };
        let modules = [
            ("ext4", module("fs/ext4/ext4", &["jbd2", "core"], "pre: crypto-crc32c post: later", "fs-ext4")),
            ("jbd2", module("fs/jbd2/jbd2", &[], "", "x")),
            ("later", module("lib/later", &[], "", "x")),
            ("fast_crc", module("crypto/fast-crc", &[], "", "crypto-crc32c")),
            ("bad", module("x/bad", &["gone"], "", "x")),
            ("other", module("fs/ext4/other", &[], "pre: nothing", "x")),
        ];
        Catalogue {
            modules: modules.into_iter().map(|(name, info)| (name.to_owned(), info)).collect(),
            builtin: ["core".to_owned()].into(),
            builtin_paths: vec!["kernel/core".to_owned()],
        }
    }

    #[test]
    fn dependencies_and_soft_dependencies_follow() {
        let taken = close(&catalogue(), &["fs/ext4/", "kernel/core"], &["fs/ext4/other"]).unwrap();
        assert_eq!(taken.into_iter().collect::<Vec<_>>(), ["ext4", "fast_crc", "jbd2", "later"]);
    }

    #[test]
    fn what_cannot_be_had_is_told() {
        let stale = close(&catalogue(), &["fs/reiserfs/"], &[]).unwrap_err().to_string();
        assert!(stale.contains("no module that matches fs/reiserfs/"), "{stale}");
        let missing = close(&catalogue(), &["x/bad"], &[]).unwrap_err().to_string();
        assert!(missing.contains("needs gone"), "{missing}");
    }

    #[test]
    fn the_load_order_puts_needs_first() {
        assert_eq!(
            load_order(&catalogue(), &["ext4"], Needs::HardAndSoft).unwrap(),
            ["jbd2", "fast_crc", "ext4"]
        );
        assert_eq!(load_order(&catalogue(), &["ext4"], Needs::Hard).unwrap(), ["jbd2", "ext4"]);
    }
}
