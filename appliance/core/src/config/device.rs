//! What an interface of the document is made of: a port of the box, a bond of several, or a VLAN above one of these.
//! Decides which MACs a member's frames can carry; how links are made is [`reconcile`](crate::reconcile)'s business.

use std::fmt;

use super::types::{LinkName, Mac, VlanId};
use super::{Interface, Member};

/// What carries an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// One port.
    Port(Port),
    /// A VLAN on another interface.
    Vlan(Vlan),
    /// Several ports as one.
    Bond(Bond),
}

/// How a physical port is told from the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// By its permanent MAC.
    Mac(Mac),
    /// By its bus address, e.g. `0000:01:00.0`.
    Path(String),
}

/// `vlan`: frames with an IEEE 802.1Q tag on another interface of the member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vlan {
    /// The interface, a port or a bond, that carries the tagged frames.
    pub parent: LinkName,
    /// The tag.
    pub id: VlanId,
}

/// `bond`: ports of one box that act as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bond {
    /// The ports by their permanent MACs, at least one. The bond takes the first one's MAC, whether that port is there or
    /// not, so that the others of the cluster know it beforehand.
    pub ports: Vec<Mac>,
    /// Which port sends.
    pub mode: BondMode,
}

/// A bond's mode (Documentation/networking/bonding.rst of the kernel). `broadcast` is not among them, because a switch
/// delivers each of its frames twice, nor `balance-alb`, which answers ARP with changing MACs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum BondMode {
    /// `balance-rr`: port after port.
    RoundRobin,
    /// `active-backup`: one port, and another when it fails. The switch needs to know nothing of it.
    ActiveBackup,
    /// `balance-xor`: by addresses.
    Xor,
    /// `802.3ad`: by addresses, on ports that the switch agrees to by LACP (IEEE 802.1AX).
    Lacp,
    /// `balance-tlb`: by load. The switch needs to know nothing of it.
    Tlb,
}

impl BondMode {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::ActiveBackup, Self::Lacp, Self::Xor, Self::RoundRobin, Self::Tlb];

    /// As the document and the kernel have it.
    pub fn word(self) -> &'static str {
        match self {
            Self::RoundRobin => "balance-rr",
            Self::ActiveBackup => "active-backup",
            Self::Xor => "balance-xor",
            Self::Lacp => "802.3ad",
            Self::Tlb => "balance-tlb",
        }
    }
}

impl From<Port> for Device {
    fn from(port: Port) -> Self {
        Self::Port(port)
    }
}

/// As an operator reads it in a plan.
impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(Port::Mac(mac)) => write!(f, "port {mac}"),
            Self::Port(Port::Path(path)) => write!(f, "port at {path}"),
            Self::Vlan(Vlan { parent, id }) => write!(f, "VLAN {id} on {parent}"),
            Self::Bond(Bond { ports, mode }) => {
                let ports: Vec<String> = ports.iter().map(ToString::to_string).collect();
                write!(f, "{} bond of {}", mode.word(), ports.join(" and "))
            }
        }
    }
}

impl Member {
    /// The MACs that frames of this member can carry on its interface `link`: the port's; any port's of a bond, the
    /// bond's own first; of a VLAN those of what carries it. Empty where the document tells a port by its bus address,
    /// and for an interface that the member has not.
    pub fn macs(&self, link: &LinkName) -> &[Mac] {
        match self.carrier(link).map(|interface| &interface.device) {
            Some(Device::Port(Port::Mac(mac))) => std::slice::from_ref(mac),
            Some(Device::Bond(bond)) => &bond.ports,
            Some(Device::Port(Port::Path(_)) | Device::Vlan(_)) | None => &[],
        }
    }

    /// The interface with the port or the bond that carries `link`: the VLAN's parent, else `link` itself.
    pub fn carrier(&self, link: &LinkName) -> Option<&Interface> {
        let interface = self.interfaces.get(link)?;
        match &interface.device {
            Device::Vlan(vlan) => self.interfaces.get(&vlan.parent),
            Device::Port(_) | Device::Bond(_) => Some(interface),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::config::check::check;

    #[test]
    fn a_member_is_known_by_every_mac_that_its_frames_can_carry() {
        let config = check(include_str!("../../../../examples/vlan-on-bond.toml")).unwrap();
        let castor = &config.members[&"castor".parse().unwrap()];
        let macs = |link: &str| -> Vec<String> {
            castor.macs(&link.parse().unwrap()).iter().map(ToString::to_string).collect()
        };
        let ports = ["52:54:00:00:00:0a", "52:54:00:00:00:1a"];
        assert_eq!(
            (macs("trunk"), macs("lan")),
            (ports.map(str::to_owned).into(), ports.map(str::to_owned).into())
        );
        assert!(macs("elsewhere").is_empty());
    }
}
