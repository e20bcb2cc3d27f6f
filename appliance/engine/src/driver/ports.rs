//! The box's network ports, for whoever sets it up. A link that is switched off does not tell whether a cable is in, so a box
//! without a document switches its ports on. They have no address but the link-local one that the kernel makes.

use std::fs;
use std::path::Path;

use halcyon_core::control::Port;
use halcyon_core::reconcile::{LinkFacts, Op};
use halcyon_kernel::{Kernel, apply_all};

use super::Driver;

/// Where the kernel tells of links.
const LINKS: &str = "/sys/class/net";

impl<K: Kernel> Driver<K> {
    /// Every port with a MAC in its hardware, by name.
    pub(super) fn ports(&self) -> Vec<Port> {
        let links = self.reconciler.observed().links.values();
        let mut ports: Vec<Port> = links.filter_map(|link| port(Path::new(LINKS), link)).collect();
        ports.sort_by(|one, other| one.name.cmp(&other.name));
        ports
    }

    /// Switches the ports of a box without a document on.
    pub(super) async fn listen_to_cables(&mut self) {
        if self.binding.document().is_some() {
            return;
        }
        let links = &self.reconciler.observed().links;
        let off = links.iter().filter(|(_, link)| link.permanent.is_some() && !link.up);
        let ops: Vec<Op> = off.map(|(&index, link)| Op::LinkUp { index, link: link.name.clone() }).collect();
        if !ops.is_empty() {
            // One that stays off is shown without a cable, and tried again at the next look.
            let _ = apply_all(self.reconciler.kernel(), &ops).await;
        }
    }
}

fn port(links: &Path, link: &LinkFacts) -> Option<Port> {
    let directory = links.join(&link.name);
    let driver = fs::read_link(directory.join("device/driver")).ok();
    let speed = fs::read_to_string(directory.join("speed")).ok();
    Some(Port {
        name: link.name.clone(),
        mac: link.permanent?.to_string(),
        driver: driver.and_then(|path| Some(path.file_name()?.to_string_lossy().into_owned())),
        path: link.path.clone(),
        carrier: link.carrier,
        // A driver that does not know says -1, or nothing.
        speed: speed.and_then(|text| text.trim().parse().ok()).filter(|speed| *speed > 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_without_hardware_is_no_port() {
        let mut link = LinkFacts { name: "nothing0".into(), carrier: true, ..LinkFacts::default() };
        assert_eq!(port(Path::new(LINKS), &link), None);
        link.permanent = Some("52:54:00:00:00:0a".parse().unwrap());
        let port = port(Path::new(LINKS), &link).unwrap();
        assert_eq!((port.mac.as_str(), port.carrier, port.speed), ("52:54:00:00:00:0a", true, None));
    }
}
