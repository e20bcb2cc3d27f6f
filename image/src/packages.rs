//! Which Debian packages the image is made of, in which versions; downloads what is missing.
//!
//! The versions of the last build are kept in `packages.json` in the cache, and a build uses them again as long as the
//! cache has the packages: the same inputs, no network. `--refresh`, a changed list or an incomplete cache asks the mirror.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::apt::{Apt, Record};
use crate::mirror::Mirror;
use crate::unpacked::{self, Unpacked};

/// The metapackage whose dependency is the newest kernel of the release.
const KERNEL_METAPACKAGE: &str = "linux-image-amd64";

/// Taken with everything they depend on, for their programs' shared libraries.
const PROGRAMS: &[&str] = &["nftables"];

/// Taken without what they depend on, which is a C library that the others bring, and `adduser`, which nothing here runs.
const PROGRAMS_ALONE: &[&str] = &["ntpd-rs"];

/// Taken alone: data without dependencies.
const FIRMWARE: &[&str] = &[
    "amd64-microcode",
    "firmware-bnx2",
    "firmware-bnx2x",
    "firmware-intel-misc",
    "firmware-linux-free",
    "firmware-misc-nonfree",
    "firmware-qlogic",
    "firmware-realtek",
    "intel-microcode",
];

/// One package of the image, exactly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Package {
    pub(crate) version: String,
    /// `amd64`, or `all` for data.
    pub(crate) architecture: String,
    /// Of the `.deb`, as the signed index states it.
    pub(crate) sha256: String,
    /// Of the `.deb`, bytes.
    pub(crate) size: u64,
}

/// The chosen packages by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chosen {
    /// The lists above at the time of choosing.
    wanted: Vec<String>,
    /// The kernel's package.
    pub(crate) kernel: String,
    pub(crate) packages: BTreeMap<String, Package>,
}

/// Packages of the image, unpacked in the cache.
#[derive(Debug)]
pub(crate) struct Packages {
    pub(crate) chosen: Chosen,
    trees: BTreeMap<String, Unpacked>,
}

/// Whether to ask the mirror for newer versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Versions {
    /// Those of the last build, if there was one.
    Last,
    /// The newest.
    Newest,
}

impl Packages {
    /// Chooses, downloads and unpacks.
    pub(crate) fn obtain(cache: &Path, versions: Versions) -> Result<Self> {
        let debs = cache.join("debs");
        fs::create_dir_all(&debs).with_context(|| format!("cannot make {}", debs.display()))?;
        let record = cache.join("packages.json");
        let last = (versions == Versions::Last).then(|| last_choice(&record, &debs)).flatten();
        let chosen = match last {
            Some(chosen) => chosen,
            None => choose_and_download(cache, &debs, &record)?,
        };
        let trees = chosen
            .packages
            .iter()
            .map(|(name, package)| {
                let deb = debs.join(deb_name(name, package));
                Ok((name.clone(), unpacked::package(cache, name, &package.version, &deb)?))
            })
            .collect::<Result<_>>()?;
        forget_others(&chosen, cache, &debs)?;
        Ok(Self { chosen, trees })
    }

    /// The kernel's files.
    pub(crate) fn kernel(&self) -> &Unpacked {
        &self.trees[&self.chosen.kernel]
    }

    /// All packages' files, in the order of names.
    pub(crate) fn trees(&self) -> impl Iterator<Item = (&str, &Unpacked)> {
        self.trees.iter().map(|(name, tree)| (name.as_str(), tree))
    }
}

fn wanted() -> Vec<String> {
    [&[KERNEL_METAPACKAGE], PROGRAMS, PROGRAMS_ALONE, FIRMWARE]
        .concat()
        .into_iter()
        .map(str::to_owned)
        .collect()
}

fn last_choice(record: &Path, debs: &Path) -> Option<Chosen> {
    let chosen: Chosen = serde_json::from_slice(&fs::read(record).ok()?).ok()?;
    let present = |(name, package): (&String, &Package)| is_present(debs, name, package);
    (chosen.wanted == wanted() && chosen.packages.iter().all(present)).then_some(chosen)
}

fn is_present(debs: &Path, name: &str, package: &Package) -> bool {
    fs::metadata(debs.join(deb_name(name, package))).is_ok_and(|file| file.len() == package.size)
}

/// Deletes from the cache what an earlier choice left there.
fn forget_others(chosen: &Chosen, cache: &Path, debs: &Path) -> Result<()> {
    let kept = |name: &str| {
        chosen.packages.iter().any(|(package, found)| {
            name == deb_name(package, found) || name == unpacked::directory_name(package, &found.version)
        })
    };
    for directory in [debs, &unpacked::directory(cache)] {
        for entry in
            fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?
        {
            let path = entry?.path();
            if path.file_name().and_then(|name| name.to_str()).is_some_and(kept) {
                continue;
            }
            let deleted = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            deleted.with_context(|| format!("cannot delete {}", path.display()))?;
        }
    }
    Ok(())
}

fn choose_and_download(cache: &Path, debs: &Path, record: &Path) -> Result<Chosen> {
    let apt = Apt::new(&fs::canonicalize(cache)?.join("apt"), Mirror::of_host()?)?;
    eprintln!("mkimage: asking the mirror for package versions");
    apt.update()?;
    let (kernel, records) = choose(&apt)?;
    let mut packages = BTreeMap::new();
    for found in &records {
        let package = package_of(found);
        if !is_present(debs, &found.name, &package) {
            eprintln!("mkimage: downloading {} {}", found.name, found.version);
            apt.download(found, debs)?;
        }
        packages.insert(found.name.clone(), package);
    }
    let chosen = Chosen { wanted: wanted(), kernel, packages };
    fs::write(record, serde_json::to_vec_pretty(&chosen)?)
        .with_context(|| format!("cannot write {}", record.display()))?;
    Ok(chosen)
}

/// The kernel's name, and every package to take.
fn choose(apt: &Apt) -> Result<(String, Vec<Record>)> {
    let metapackage = apt.records(&[KERNEL_METAPACKAGE.to_owned()])?;
    let kernel = metapackage
        .iter()
        .flat_map(|record| &record.depends)
        .find(|name| name.starts_with("linux-image-"))
        .with_context(|| {
            format!("{KERNEL_METAPACKAGE} names no kernel package; the mirror's index is not what it was")
        })?
        .clone();
    let alone = FIRMWARE.iter().chain(PROGRAMS_ALONE).map(|name| (*name).to_owned());
    let alone: Vec<_> = alone.chain([kernel.clone()]).collect();
    let mut records = apt.records(&alone)?;
    let mut seen = BTreeSet::new();
    let mut next: Vec<String> = PROGRAMS.iter().map(|name| (*name).to_owned()).collect();
    while !next.is_empty() {
        let found = apt.records(&next)?;
        seen.extend(next);
        let depends: BTreeSet<_> = found.iter().flat_map(|record| record.depends.clone()).collect();
        next = depends.into_iter().filter(|name| !seen.contains(name)).collect();
        records.extend(found);
    }
    Ok((kernel, records))
}

fn package_of(record: &Record) -> Package {
    Package {
        version: record.version.clone(),
        architecture: record.architecture.clone(),
        sha256: record.sha256.clone(),
        size: record.size,
    }
}

/// Apt's file name for a downloaded package; the epoch's colon is escaped.
fn deb_name(name: &str, package: &Package) -> String {
    format!("{name}_{}_{}.deb", package.version.replace(':', "%3a"), package.architecture)
}
