//! What tells this box and its ports from others: the DMI serial number and bus addresses, from a `/sys` that is an
//! argument. MACs come with the links ([`route`](crate::route)).

use std::path::Path;

/// What firmware says instead of a serial number.
const PLACEHOLDERS: [&str; 9] = [
    "to be filled by o.e.m.",
    "default string",
    "not specified",
    "not applicable",
    "system serial number",
    "none",
    "n/a",
    "unknown",
    "0123456789",
];

/// The system's serial number; `None` when the firmware has none worth the name.
pub fn serial(sys: &Path) -> Option<String> {
    let text = std::fs::read_to_string(sys.join("class/dmi/id/product_serial")).ok()?;
    let serial = text.trim();
    let meaningless = serial.is_empty()
        || PLACEHOLDERS.contains(&serial.to_ascii_lowercase().as_str())
        || serial.chars().all(|c| c == '0' || c == '.' || c == '-');
    (!meaningless).then(|| serial.to_owned())
}

/// Bus address of the device behind link `name`, e.g. `0000:01:00.0`: the PCI function nearest to it on its way to the
/// root, so that a virtio port counts by the slot it sits in. `None` for links that software made.
pub fn bus_path(sys: &Path, name: &str) -> Option<String> {
    let target = std::fs::read_link(sys.join("class/net").join(name)).ok()?;
    target.components().rev().map(|c| c.as_os_str().to_string_lossy()).find(|c| is_pci(c)).map(Into::into)
}

/// `domain:bus:device.function`, hexadecimal.
fn is_pci(text: &str) -> bool {
    let Some((slot, function)) = text.split_once('.') else { return false };
    let hex = |part: &str, length: usize| part.len() == length && part.bytes().all(|b| b.is_ascii_hexdigit());
    let parts: Vec<&str> = slot.split(':').collect();
    let [domain, bus, device] = parts.as_slice() else { return false };
    hex(domain, 4) && hex(bus, 2) && hex(device, 2) && hex(function, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pci_addresses_are_told_from_other_names() {
        for (text, expected) in [
            ("0000:01:00.0", true),
            ("10de:af:1f.7", true),
            ("pci0000:00", false),
            ("0000:01:00", false),
            ("0000:01:00.10", false),
            ("virtio0", false),
            ("eth0.20", false),
            ("", false),
        ] {
            assert_eq!(is_pci(text), expected, "{text}");
        }
    }

    #[test]
    fn this_machine_says_what_it_can() {
        // Nothing is known of the machine that runs the tests, but the loopback has no device anywhere.
        assert_eq!(bus_path(Path::new("/sys"), "lo"), None);
        assert_eq!(bus_path(Path::new("/nonexistent"), "eth0"), None);
        assert_eq!(serial(Path::new("/nonexistent")), None);
    }
}
