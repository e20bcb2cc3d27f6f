//! Which disk the box was started from. The boot loader names it by the GUID of its EFI system partition; a twin with the
//! same GUIDs is told apart by the time of this start, which the boot loader left on the disk that it was loaded from.

use std::collections::BTreeMap;

use super::gpt::Table;

/// What the kernel's parameters say of the start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The GUID of the EFI system partition, in lower case.
    system: String,
    /// What was left in its `grubenv`; `None`: it could not be.
    stamp: Option<String>,
    /// GPT name of the partition with the running slot.
    pub slot: &'static str,
}

/// Why the disk is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    /// None has that GUID and stamp, yet.
    #[error("the disk that the box was started from is not there")]
    Missing,
    /// The stamp does not tell them apart.
    #[error(
        "{0} disks look like the one that the box was started from, so none is used; unplug the copies and start again"
    )]
    Several(usize),
}

impl Origin {
    /// Reads the kernel's parameters. `None`: the box was not started from a disk.
    pub fn of(parameters: &str) -> Option<Self> {
        let value = |key| parameters.split_whitespace().find_map(|word| word.strip_prefix(key));
        let system = value("halcyon.disk=")?.to_ascii_lowercase();
        let stamp = value("halcyon.stamp=").filter(|stamp| *stamp != "0").map(ToOwned::to_owned);
        let slot = if value("halcyon.slot=") == Some("B") { "boot-b" } else { "boot-a" };
        Some(Self { system, stamp, slot })
    }

    /// The disk's name in `disks`; `stamp` reads the stamp on the EFI system partition of the disk with that name.
    ///
    /// # Errors
    /// [`Unknown`]; it may appear later.
    pub fn choose<'a>(
        &self,
        disks: &'a BTreeMap<String, Table>,
        stamp: impl Fn(&str) -> Option<String>,
    ) -> Result<&'a str, Unknown> {
        let is_meant = |(name, table): &(&String, &Table)| {
            table.partitions.values().any(|partition| partition.guid.to_string() == self.system)
                && (self.stamp.is_none() || stamp(name) == self.stamp)
        };
        let ours: Vec<_> = disks.iter().filter(is_meant).collect();
        match ours[..] {
            [(name, _)] => Ok(name),
            [] => Err(Unknown::Missing),
            _ => Err(Unknown::Several(ours.len())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gpt::Guid;
    use super::super::gpt::tests::table;
    use super::*;

    #[test]
    fn a_box_that_was_not_started_from_a_disk_has_none() {
        assert_eq!(Origin::of("console=ttyS0 halcyon.slot=B"), None);
    }

    #[test]
    fn the_disk_is_known_by_its_system_partition_and_a_twin_by_its_stamp() {
        let mut other = table(20479);
        other.partitions.values_mut().for_each(|partition| partition.guid = Guid([7; 16]));
        let disks: BTreeMap<_, _> = [("sda", other), ("vda", table(20479)), ("vdb", table(20479))]
            .map(|(name, table)| (name.to_owned(), table))
            .into();
        let guid = disks["vda"].partitions[&2].guid.to_string().to_uppercase();
        let stamp = |name: &str| Some(if name == "vdb" { "now" } else { "earlier" }.to_owned());
        let choose = |more: &str| {
            Origin::of(&format!("halcyon.disk={guid} {more}"))
                .unwrap()
                .choose(&disks, stamp)
                .map(ToOwned::to_owned)
        };
        assert_eq!(choose("halcyon.stamp=now"), Ok("vdb".to_owned()));
        assert_eq!(choose("halcyon.stamp=tomorrow"), Err(Unknown::Missing));
        assert_eq!(choose("halcyon.stamp=0"), Err(Unknown::Several(2)));
        let sole: BTreeMap<_, _> = disks
            .iter()
            .filter(|(name, _)| *name != "vdb")
            .map(|(name, table)| (name.clone(), table.clone()))
            .collect();
        let origin = Origin::of(&format!("halcyon.disk={guid} halcyon.slot=B")).unwrap();
        assert_eq!((origin.choose(&sole, stamp), origin.slot), (Ok("vda"), "boot-b"));
    }
}
