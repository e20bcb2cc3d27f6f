//! The shared libraries of Debian's programs: what the dynamic loader will look for, found in the unpacked packages.
//!
//! Reads `PT_INTERP` and `DT_NEEDED` (System V ABI, chapter 5) of a program and of all it needs, by turns. Never runs a loader.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use object::read::elf::{Dyn, ElfFile64, ProgramHeader};
use object::{Endianness, elf};

use crate::packages::Packages;

/// Where Debian's loader looks without a cache file, in this order.
const DIRECTORIES: [&str; 2] = ["/usr/lib/x86_64-linux-gnu", "/usr/lib"];

/// The files that `program` (absolute on the box) needs beside itself, and itself: path on the box → file of the build host.
pub(crate) fn closure(packages: &Packages, program: &str) -> Result<BTreeMap<String, PathBuf>> {
    let find = |path: &str| packages.trees().find_map(|(_, tree)| tree.find(path));
    let host = find(program).with_context(|| format!("no package holds {program}"))?;
    let mut files = BTreeMap::new();
    let mut next = vec![(program.to_owned(), host)];
    while let Some((path, host)) = next.pop() {
        if files.contains_key(&path) {
            continue;
        }
        let host = fs::canonicalize(&host).with_context(|| format!("{} leads nowhere", host.display()))?;
        let needs =
            needs(&host).with_context(|| format!("{} is no program for this image", host.display()))?;
        if let Some(loader) = needs.loader {
            let loader = under_usr(&loader);
            let host =
                find(&loader).with_context(|| format!("no package holds {loader}, the loader of {path}"))?;
            next.push((loader, host));
        }
        for library in needs.libraries {
            let found = DIRECTORIES.iter().find_map(|directory| {
                let path = format!("{directory}/{library}");
                find(&path).map(|host| (path, host))
            });
            next.push(found.with_context(|| format!("no package holds {library}, which {path} needs"))?);
        }
        files.insert(path, host);
    }
    Ok(files)
}

/// `/lib64/x` → `/usr/lib64/x`.
fn under_usr(path: &str) -> String {
    if path.starts_with("/usr/") { path.to_owned() } else { format!("/usr{path}") }
}

struct Needs {
    loader: Option<String>,
    libraries: Vec<String>,
}

fn needs(host: &Path) -> Result<Needs> {
    let data = fs::read(host)?;
    let file = ElfFile64::<Endianness>::parse(&*data)?;
    let endian = file.endian();
    let mut needs = Needs { loader: None, libraries: Vec::new() };
    for header in file.elf_program_headers() {
        if let Some(loader) = header.interpreter(endian, &*data)? {
            needs.loader = Some(str::from_utf8(loader)?.to_owned());
        }
    }
    let sections = file.elf_section_table();
    if let Some((entries, link)) = sections.dynamic(endian, &*data)? {
        let strings = sections.strings(endian, &*data, link)?;
        for entry in entries.iter().filter(|entry| entry.d_tag(endian) == elf::DT_NEEDED) {
            let name = entry.string(endian, strings)?;
            needs.libraries.push(str::from_utf8(name)?.to_owned());
        }
    }
    Ok(needs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loader_is_looked_for_under_usr() {
        assert_eq!(under_usr("/lib64/ld-linux-x86-64.so.2"), "/usr/lib64/ld-linux-x86-64.so.2");
        assert_eq!(under_usr("/usr/lib64/ld.so"), "/usr/lib64/ld.so");
    }

    #[test]
    fn a_dynamic_program_of_the_host_names_its_needs() {
        let needs = needs(Path::new("/bin/sh")).unwrap();
        assert_eq!(needs.loader.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(needs.libraries, ["libc.so.6"]);
    }
}
