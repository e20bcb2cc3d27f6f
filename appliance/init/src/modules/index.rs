//! Which files to load, in which order, for a module's name or a device's modalias.
//!
//! Reads the text indexes that `depmod(8)` makes. Pure; nothing here opens a file. The alias list has tens of thousands of
//! lines, so it is gone through once for all devices together, and a pattern's literal beginning decides nearly
//! every line before the pattern itself is looked at.

use std::collections::{BTreeMap, BTreeSet};

use glob::Pattern;

/// The indexes of one kernel, parsed where that is cheap.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Module name → its file below the modules' directory.
    files: BTreeMap<String, String>,
    /// Module name → names of the modules it needs, its own line of `modules.dep`.
    needs: BTreeMap<String, Vec<String>>,
    /// Module name → modules to load before it if they exist.
    before: BTreeMap<String, Vec<String>>,
    /// Module name → modules to load after it if they exist.
    behind: BTreeMap<String, Vec<String>>,
    /// `modules.alias` as it is.
    aliases: String,
    /// Names of modules that are part of the kernel.
    builtin: BTreeSet<String>,
}

impl Index {
    /// From the texts of `modules.dep`, `modules.alias`, `modules.softdep` and `modules.builtin`.
    pub(crate) fn new(dep: &str, alias: String, softdep: &str, builtin: &str) -> Self {
        let mut this = Self { aliases: alias, ..Self::default() };
        for line in dep.lines() {
            let Some((file, needs)) = line.split_once(':') else { continue };
            let name = module_name(file);
            this.needs.insert(name.clone(), needs.split_ascii_whitespace().map(module_name).collect());
            this.files.insert(name, file.to_owned());
        }
        for line in softdep.lines() {
            let mut words = line.split_ascii_whitespace();
            let (Some("softdep"), Some(name)) = (words.next(), words.next()) else { continue };
            let mut list = &mut this.before;
            for word in words {
                match word {
                    "pre:" => list = &mut this.before,
                    "post:" => list = &mut this.behind,
                    module => list.entry(normal(name)).or_default().push(module.to_owned()),
                }
            }
        }
        this.builtin = builtin.lines().map(module_name).collect();
        this
    }

    /// The modules that these modaliases ask for, each once, in the order of the alias list.
    pub(crate) fn of_aliases(&self, modaliases: &BTreeSet<String>) -> Vec<String> {
        let mut by_bus: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for alias in modaliases {
            by_bus.entry(bus(alias)).or_default().push(alias);
        }
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for line in self.aliases.lines() {
            let Some((pattern, module)) = line.strip_prefix("alias ").and_then(|rest| rest.rsplit_once(' '))
            else {
                continue;
            };
            let literal = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
            // Of thousands of patterns, few begin like any device here; only those are worth reading.
            let asks = |alias: &&&str| {
                alias.starts_with(&pattern[..literal])
                    && Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(alias))
            };
            let devices: &[&str] = by_bus.get(bus(pattern)).map_or(&[], Vec::as_slice);
            // A pattern with a wildcard in its bus ("acpi*:…") is compared with everything.
            let any = match devices.is_empty() && literal < bus(pattern).len() {
                false => devices.iter().find(asks).is_some(),
                true => by_bus.values().flatten().find(asks).is_some(),
            };
            if any && seen.insert(module) {
                found.push(normal(module));
            }
        }
        found
    }

    /// The files to load for a module's name or alias, in order: what it needs, itself, what follows it. Empty when it
    /// is built in or unknown.
    pub(crate) fn files_of(&self, wanted: &str) -> Vec<(String, String)> {
        let mut order = Vec::new();
        let mut seen = BTreeSet::new();
        for name in self.resolve(wanted) {
            self.collect(&name, &mut seen, &mut order);
        }
        order
    }

    /// Whether a name is known at all, as a file or as a part of the kernel.
    fn knows(&self, name: &str) -> bool {
        let name = normal(name);
        self.files.contains_key(&name) || self.builtin.contains(&name)
    }

    fn resolve(&self, wanted: &str) -> Vec<String> {
        if self.knows(wanted) {
            return vec![normal(wanted)];
        }
        let found = self.of_aliases(&BTreeSet::from([wanted.to_owned()]));
        if found.is_empty() { self.of_aliases(&BTreeSet::from([normal(wanted)])) } else { found }
    }

    fn collect(&self, name: &str, seen: &mut BTreeSet<String>, order: &mut Vec<(String, String)>) {
        let Some(file) = self.files.get(name) else { return };
        if !seen.insert(name.to_owned()) {
            return;
        }
        let lists = |map: &BTreeMap<String, Vec<String>>| map.get(name).cloned().unwrap_or_default();
        for first in lists(&self.before).iter().flat_map(|soft| self.resolve(soft)).chain(lists(&self.needs))
        {
            self.collect(&first, seen, order);
        }
        order.push((name.to_owned(), file.clone()));
        for then in lists(&self.behind).iter().flat_map(|soft| self.resolve(soft)) {
            self.collect(&then, seen, order);
        }
    }
}

/// A module's name: its file's, without directories and ending, `-` read as `_`.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    normal(file.split_once(".ko").map_or(file, |(name, _)| name))
}

fn normal(name: &str) -> String {
    name.replace('-', "_")
}

/// What stands before the first colon.
fn bus(alias: &str) -> &str {
    alias.split(':').next().unwrap_or(alias)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        Index::new(
            "kernel/net/virtio_net.ko: kernel/net/net_failover.ko kernel/net/failover.ko\n\
             kernel/net/net_failover.ko: kernel/net/failover.ko\n\
             kernel/net/failover.ko:\n\
             kernel/crypto/crc32c-intel.ko:\n\
             kernel/lib/libcrc32c.ko:\n\
             kernel/fs/ext4.ko: kernel/lib/libcrc32c.ko\n\
             kernel/drivers/acpi/button.ko:\n\
             kernel/net/ip_vs_wrr.ko:\n",
            "# comment\n\
             alias virtio:d00000001v* virtio_net\n\
             alias pci:v00008086d0000100Esv*sd*bc*sc*i* e1000\n\
             alias acpi*:PNP0C0C:* button\n\
             alias acpi*:LNXPWRBN:* button\n\
             alias input:b*v*p*e*-e*1,*k*[1-3]*r* evdev\n\
             alias input:b*v*p*e*-e*1,*k*[!1-3]r* joydev\n\
             alias crypto-crc32c crc32c_intel\n\
             alias fs-ext4 ext4\n"
                .to_owned(),
            "softdep libcrc32c pre: crypto-crc32c missing\nsoftdep button post: ip_vs_wrr\n",
            "kernel/drivers/tty/tty_io.ko\n",
        )
    }

    fn order(wanted: &str) -> Vec<String> {
        index().files_of(wanted).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn what_a_module_needs_comes_before_it() {
        assert_eq!(order("virtio-net"), ["failover", "net_failover", "virtio_net"]);
        assert_eq!(order("fs-ext4"), ["crc32c_intel", "libcrc32c", "ext4"]);
        assert_eq!(order("button"), ["button", "ip_vs_wrr"]);
    }

    #[test]
    fn built_in_and_unknown_names_load_nothing() {
        assert!(order("tty_io").is_empty());
        assert!(index().knows("tty-io"));
        assert!(order("net-pf-99").is_empty());
    }

    #[test]
    fn all_devices_are_matched_in_one_pass() {
        let devices = [
            "virtio:d00000001v00001AF4",
            "acpi:PNP0C0C:",
            "acpi:LNXPWRBN:",
            "pci:v00008086d0000FFFF",
            "input:b3v1p2e3-e0,1,k2,r",
        ];
        let devices = devices.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(index().of_aliases(&devices), ["virtio_net", "button", "evdev", "joydev"]);
    }

    #[test]
    fn a_cycle_of_soft_dependencies_ends() {
        let index = Index::new("a.ko:\nb.ko:\n", String::new(), "softdep a pre: b\nsoftdep b pre: a\n", "");
        assert_eq!(index.files_of("a").len(), 2);
    }
}
