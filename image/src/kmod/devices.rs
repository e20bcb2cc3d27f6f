//! Hardware that the image promises to drive: common server network adapters, disk controllers and USB hosts, by PCI id.
//!
//! Every build checks that each resolves to a module of the image (or to the kernel itself) and writes down which, with its
//! firmware; a kernel that renames a driver fails the build, not the customer's box. The ids are those of pci.ids.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Result, bail};
use glob::Pattern;
use serde::Serialize;

use super::closure::{Needs, load_order};
use super::modinfo::Catalogue;
use crate::firmware::Firmware;

/// A device as the PCI bus names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Device {
    vendor: u16,
    device: u16,
    /// Base class, subclass, programming interface.
    class: u32,
    name: &'static str,
}

const fn network(vendor: u16, device: u16, name: &'static str) -> Device {
    Device { vendor, device, class: 0x02_0000, name }
}

const fn raid(vendor: u16, device: u16, name: &'static str) -> Device {
    Device { vendor, device, class: 0x01_0400, name }
}

const fn sas(vendor: u16, device: u16, name: &'static str) -> Device {
    Device { vendor, device, class: 0x01_0700, name }
}

const fn other(vendor: u16, device: u16, class: u32, name: &'static str) -> Device {
    Device { vendor, device, class, name }
}

/// What is promised.
pub(crate) const PROMISED: &[Device] = &[
    network(0x8086, 0x100e, "Intel 82540EM"),
    network(0x8086, 0x10d3, "Intel 82574L"),
    network(0x8086, 0x15bb, "Intel I219-LM"),
    network(0x8086, 0x1521, "Intel I350"),
    network(0x8086, 0x1533, "Intel I210"),
    network(0x8086, 0x15f3, "Intel I225-V"),
    network(0x8086, 0x125c, "Intel I226-V"),
    network(0x8086, 0x10fb, "Intel 82599ES"),
    network(0x8086, 0x1528, "Intel X540-AT2"),
    network(0x8086, 0x1563, "Intel X550-T"),
    network(0x8086, 0x1572, "Intel X710"),
    network(0x8086, 0x37d2, "Intel X722"),
    network(0x8086, 0x1592, "Intel E810-C"),
    network(0x14e4, 0x1639, "Broadcom BCM5709"),
    network(0x14e4, 0x1657, "Broadcom BCM5719"),
    network(0x14e4, 0x165f, "Broadcom BCM5720"),
    network(0x14e4, 0x168e, "Broadcom BCM57810"),
    network(0x14e4, 0x16d7, "Broadcom BCM57414"),
    network(0x14e4, 0x1751, "Broadcom BCM57504"),
    network(0x15b3, 0x1003, "Mellanox ConnectX-3"),
    network(0x15b3, 0x1015, "Mellanox ConnectX-4 Lx"),
    network(0x15b3, 0x1017, "Mellanox ConnectX-5"),
    network(0x15b3, 0x101d, "Mellanox ConnectX-6 Dx"),
    network(0x1077, 0x8070, "QLogic FastLinQ QL41000"),
    network(0x1077, 0x8020, "QLogic cLOM8214"),
    network(0x1425, 0x5401, "Chelsio T520-CR"),
    network(0x1924, 0x0a03, "Solarflare SFC9220"),
    network(0x19a2, 0x0710, "Emulex OneConnect"),
    network(0x10ec, 0x8168, "Realtek RTL8111/8168"),
    network(0x10ec, 0x8125, "Realtek RTL8125"),
    network(0x1d6a, 0x07b1, "Aquantia AQC107"),
    network(0x11ab, 0x4381, "Marvell Yukon Optima 88E8059"),
    network(0x15ad, 0x07b0, "VMware vmxnet3"),
    network(0x1d0f, 0xec20, "Amazon ENA"),
    network(0x1af4, 0x1000, "virtio network"),
    other(0x8086, 0x2922, 0x01_0601, "Intel ICH9 AHCI"),
    other(0x1022, 0x7901, 0x01_0601, "AMD FCH AHCI"),
    other(0x8086, 0x7010, 0x01_0180, "Intel PIIX3 IDE"),
    other(0x144d, 0xa808, 0x01_0802, "Samsung SM981 NVMe"),
    other(0x8086, 0x0a54, 0x01_0802, "Intel P4500 NVMe"),
    raid(0x8086, 0x201d, "Intel VMD"),
    sas(0x1000, 0x0072, "Broadcom SAS2008"),
    sas(0x1000, 0x0097, "Broadcom SAS3008"),
    sas(0x1000, 0x00e6, "Broadcom SAS3816"),
    raid(0x1000, 0x005b, "Broadcom MegaRAID SAS 2208"),
    raid(0x1000, 0x005d, "Broadcom MegaRAID SAS 3108"),
    raid(0x1000, 0x0014, "Broadcom MegaRAID SAS 3516"),
    raid(0x1000, 0x10e2, "Broadcom MegaRAID SAS 3916"),
    raid(0x1000, 0x00a5, "Broadcom SAS4116"),
    other(0x1000, 0x0030, 0x01_0000, "LSI 53c1030"),
    raid(0x9005, 0x028d, "Adaptec Series 8"),
    raid(0x9005, 0x028f, "Microchip SmartRAID 3100"),
    raid(0x103c, 0x323b, "HP Smart Array P420"),
    other(0x10df, 0xe300, 0x0c_0400, "Emulex LPe32000"),
    other(0x1077, 0x2532, 0x0c_0400, "QLogic ISP2532"),
    other(0x15ad, 0x07c0, 0x01_0700, "VMware PVSCSI"),
    other(0x1af4, 0x1001, 0x01_0000, "virtio block"),
    other(0x8086, 0xa12f, 0x0c_0330, "Intel xHCI"),
    other(0x8086, 0x293a, 0x0c_0320, "Intel EHCI"),
    other(0x8086, 0x2934, 0x0c_0300, "Intel UHCI"),
];

/// How a promise is kept.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Kept {
    /// The device's name for humans.
    pub(crate) name: &'static str,
    /// Modules of the image that drive it; `virtio_pci` stands for the kernel itself.
    pub(crate) modules: BTreeSet<String>,
    /// Firmware that those may ask for and the image has.
    pub(crate) firmware_present: BTreeSet<String>,
    /// Firmware that those may ask for and no package holds.
    pub(crate) firmware_absent: BTreeSet<String>,
}

/// Resolves every promise, by `VENDOR:DEVICE`.
///
/// # Errors
/// Names all devices that nothing in the image drives.
pub(crate) fn resolve(
    promised: &'static [Device],
    catalogue: &Catalogue,
    taken: &BTreeSet<String>,
    firmware: &Firmware,
) -> Result<BTreeMap<String, Kept>> {
    let mut kept = BTreeMap::new();
    let mut broken = Vec::new();
    for device in promised {
        let alias = device.alias();
        let fits = |pattern: &String| Pattern::new(pattern).is_ok_and(|pattern| pattern.matches(&alias));
        let drives = |name: &&String| catalogue.modules[*name].aliases.iter().any(fits);
        let mut modules: BTreeSet<_> = taken.iter().filter(drives).cloned().collect();
        // Every virtio device is driven through this; which driver sits on it is asked by another bus's name.
        if device.vendor == 0x1af4 && catalogue.builtin.contains("virtio_pci") {
            modules.insert("virtio_pci".to_owned());
        }
        let id = format!("{:04x}:{:04x}", device.vendor, device.device);
        if modules.is_empty() {
            broken.push(format!("{} ({id})", device.name));
        }
        // With the modules that those lean on: FastLinQ's firmware is asked for by the core below its network driver.
        let names: Vec<_> = modules.iter().map(String::as_str).collect();
        let stack = load_order(catalogue, &names, Needs::Hard)?;
        let files = |wanted: fn(&Firmware, &str) -> bool| {
            let asked = stack.iter().flat_map(|name| &catalogue.modules[name].firmware);
            asked.filter(|pattern| wanted(firmware, pattern)).cloned().collect()
        };
        let firmware_absent = files(|firmware, pattern| firmware.absent.contains_key(pattern));
        let firmware_present = files(|firmware, pattern| !firmware.absent.contains_key(pattern));
        kept.insert(id, Kept { name: device.name, modules, firmware_present, firmware_absent });
    }
    if !broken.is_empty() {
        bail!("the image has no driver for {}; correct image/src/kmod/wanted.rs", broken.join(", "));
    }
    Ok(kept)
}

impl Device {
    /// The name that the kernel asks a driver for by (drivers/pci/pci-driver.c, `pci_uevent`); its subsystem is nobody's.
    fn alias(&self) -> String {
        format!(
            "pci:v{:08X}d{:08X}sv00000000sd00000000bc{:02X}sc{:02X}i{:02X}",
            self.vendor,
            self.device,
            self.class >> 16,
            self.class >> 8 & 0xff,
            self.class & 0xff
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kmod::modinfo::ModInfo;

    #[test]
    fn the_alias_is_the_kernels() {
        let device = other(0x8086, 0x0a54, 0x01_0802, "");
        assert_eq!(device.alias(), "pci:v00008086d00000A54sv00000000sd00000000bc01sc08i02");
    }

    #[test]
    fn no_device_is_promised_twice() {
        let ids: BTreeSet<_> = PROMISED.iter().map(|device| (device.vendor, device.device)).collect();
        assert_eq!(ids.len(), PROMISED.len());
        assert!(ids.len() >= 40);
    }

    #[test]
    fn promises_are_kept_or_all_broken_ones_named() {
        const TWO: &[Device] = &[network(0x8086, 0x1533, "known"), network(0x1234, 0x5678, "unknown")];
        let info = ModInfo {
            aliases: vec!["pci:v00008086d00001533sv*sd*bc*sc*i*".to_owned()],
            firmware: vec!["a.bin".to_owned(), "b.bin".to_owned()],
            ..ModInfo::default()
        };
        let catalogue = Catalogue { modules: [("igb".to_owned(), info)].into(), ..Catalogue::default() };
        let firmware = Firmware {
            present: [("a.bin".to_owned(), "a".into())].into(),
            absent: [("b.bin".to_owned(), vec!["igb".to_owned()])].into(),
        };
        let taken = ["igb".to_owned()].into();
        let kept = resolve(&TWO[..1], &catalogue, &taken, &firmware).unwrap();
        let igb = &kept["8086:1533"];
        assert!(igb.modules.contains("igb"));
        assert_eq!(igb.firmware_present, ["a.bin".to_owned()].into());
        assert_eq!(igb.firmware_absent, ["b.bin".to_owned()].into());
        let error = resolve(TWO, &catalogue, &taken, &firmware).unwrap_err().to_string();
        assert!(error.starts_with("the image has no driver for unknown (1234:5678);"), "{error}");
        assert!(
            resolve(&TWO[..1], &catalogue, &BTreeSet::new(), &firmware).is_err(),
            "a module left out drives nothing"
        );
    }
}
