//! What a kernel module says of itself: the `.modinfo` section of its ELF file, and the same for what is built in.
//!
//! Source: include/linux/module.h (`MODULE_INFO`), zero-terminated `tag=value` strings. Reading only; what follows from the
//! dependencies is [`super::closure`]'s.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use object::{Object, ObjectSection};
use serde::{Deserialize, Serialize};

use crate::unpacked::files_below;

/// One module's own statements.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ModInfo {
    /// Below `/lib/modules/VERSION/`, e.g. `kernel/fs/fat/vfat.ko`.
    pub(crate) path: String,
    /// Modules whose symbols it uses.
    pub(crate) depends: Vec<String>,
    /// Softdep lines as written: `pre: a b post: c`.
    pub(crate) softdeps: Vec<String>,
    /// Patterns of device names it drives.
    pub(crate) aliases: Vec<String>,
    /// Firmware files it may ask for, below `/lib/firmware/`; may hold `*`.
    pub(crate) firmware: Vec<String>,
}

/// All modules of a kernel by name, and what is built in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Catalogue {
    pub(crate) modules: BTreeMap<String, ModInfo>,
    /// Names and aliases of what is compiled into the kernel.
    pub(crate) builtin: BTreeSet<String>,
    /// Paths of what is compiled into the kernel, below `kernel/` and without `.ko`.
    pub(crate) builtin_paths: Vec<String>,
}

impl Catalogue {
    /// Reads every module below `directory` (a `/lib/modules/VERSION`), or the result of an earlier reading in `memo`.
    pub(crate) fn read(directory: &Path, memo: &Path) -> Result<Self> {
        if let Some(known) = fs::read(memo).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
            return Ok(known);
        }
        let mut catalogue = Self::default();
        for path in files_below(&directory.join("kernel"))? {
            let relative =
                path.strip_prefix(directory).expect("the walk began there").to_string_lossy().into_owned();
            if relative.ends_with(".ko") {
                let data = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                let info = parse(&data, &relative)
                    .with_context(|| format!("{} is no kernel module", path.display()))?;
                catalogue.modules.insert(module_name(&relative), info);
            }
        }
        let list = fs::read_to_string(directory.join("modules.builtin"))
            .context("the kernel lists nothing built in")?;
        catalogue.builtin_paths = list.lines().map(|line| below_kernel(line).to_owned()).collect();
        catalogue.builtin = list.lines().map(module_name).collect();
        let statements = fs::read(directory.join("modules.builtin.modinfo"))?;
        catalogue.builtin.extend(builtin_aliases(&statements));
        fs::write(memo, serde_json::to_vec(&catalogue)?)
            .with_context(|| format!("cannot write {}", memo.display()))?;
        Ok(catalogue)
    }
}

/// The name the kernel knows a module by: `kernel/drivers/net/cdc-ether.ko` → `cdc_ether`.
pub(crate) fn module_name(path: &str) -> String {
    canonical(path.rsplit('/').next().unwrap_or(path).trim_end_matches(".ko"))
}

/// Dashes and underscores are one in module names.
pub(crate) fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// `kernel/fs/fat/vfat.ko` → `fs/fat/vfat`.
pub(crate) fn below_kernel(path: &str) -> &str {
    path.strip_prefix("kernel/").unwrap_or(path).trim_end_matches(".ko")
}

fn parse(data: &[u8], path: &str) -> Result<ModInfo> {
    let file = object::File::parse(data)?;
    let section = file.section_by_name(".modinfo").context("it has no .modinfo section")?;
    let mut info = ModInfo { path: path.to_owned(), ..ModInfo::default() };
    for (tag, value) in statements(section.data()?) {
        match tag {
            "depends" => info.depends.extend(value.split(',').filter(|name| !name.is_empty()).map(canonical)),
            "softdep" => info.softdeps.push(value.to_owned()),
            "alias" => info.aliases.push(value.to_owned()),
            "firmware" => info.firmware.push(value.to_owned()),
            _ => {}
        }
    }
    info.firmware.sort();
    info.firmware.dedup();
    Ok(info)
}

fn statements(section: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    section.split(|byte| *byte == 0).filter_map(|entry| str::from_utf8(entry).ok()?.split_once('='))
}

/// modules.builtin.modinfo holds `NAME.tag=value`.
fn builtin_aliases(text: &[u8]) -> Vec<String> {
    statements(text)
        .filter(|(tag, _)| tag.ends_with(".alias"))
        .map(|(_, value)| canonical(value))
        .filter(|alias| !alias.contains(['*', ':']))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(module_name("kernel/drivers/i2c/busses/i2c-i801.ko"), "i2c_i801");
        assert_eq!(below_kernel("kernel/fs/fat/vfat.ko"), "fs/fat/vfat");
    }

    #[test]
    fn statements_are_split_at_zeros_and_the_first_equals_sign() {
        let section = b"license=GPL\0alias=pci:v*=x\0\0nonsense\0";
        assert_eq!(statements(section).collect::<Vec<_>>(), [("license", "GPL"), ("alias", "pci:v*=x")]);
    }

    #[test]
    fn builtin_aliases_are_names_only() {
        let text = b"crc32c.alias=crypto-crc32c\0virtio.alias=virtio:d*v*\0virtio.license=GPL\0";
        assert_eq!(builtin_aliases(text), ["crypto_crc32c"]);
    }
}
