//! What a machine is made of, and the QEMU arguments for it. Pure: a value in, arguments out.

use std::path::PathBuf;

use crate::switch::frame::Mac;

/// A machine to be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hardware {
    /// Its name in logs and socket paths.
    pub name: String,
    /// Memory in MiB.
    pub memory: u32,
    /// Virtual processors. One per machine by default: the test hosts have two for everything.
    pub processors: u32,
    /// How it starts.
    pub start: Start,
    /// Disks, in the order the firmware sees them.
    pub disks: Vec<Disk>,
    /// Network cards.
    pub cards: Vec<Card>,
    /// More arguments, as they are.
    pub more: Vec<String>,
}

/// How a machine starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// QEMU loads kernel and initramfs itself.
    Direct {
        /// The kernel.
        kernel: PathBuf,
        /// The initramfs.
        initramfs: PathBuf,
        /// Kernel parameters.
        parameters: String,
    },
    /// SeaBIOS from the first disk.
    Bios,
    /// OVMF from the first disk.
    Uefi {
        /// The firmware's code.
        code: PathBuf,
        /// This machine's copy of the variable store.
        variables: PathBuf,
    },
}

/// A raw disk image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The file.
    pub file: PathBuf,
    /// How it is attached.
    pub bus: Bus,
    /// Whether the machine may write; what it writes to a `Scratch` disk is lost with it.
    pub access: Access,
}

/// How a disk is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bus {
    /// virtio-blk on PCI.
    Virtio,
    /// SATA behind an AHCI controller.
    Ahci,
    /// NVMe.
    Nvme,
    /// A USB stick on an xHCI controller.
    Usb,
}

/// What a machine may do with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Read.
    Read,
    /// Read and write.
    Write,
    /// Read, and write to a copy that is thrown away.
    Scratch,
}

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its permanent address.
    pub mac: Mac,
    /// QEMU's name of the model.
    pub model: CardModel,
    /// The socket of the lab's plug.
    pub socket: PathBuf,
}

/// Models of network cards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardModel {
    /// virtio-net on PCI.
    Virtio,
    /// Intel 82574L.
    E1000e,
}

impl Hardware {
    /// The arguments for `qemu-system-x86_64`, without consoles and control socket.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = Vec::new();
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(ToString::to_string));
        add(&["-nodefaults", "-no-user-config", "-machine", "q35", "-accel", "tcg,thread=multi"]);
        // 6.12 kernels crash at random on this emulator's cmpxchg16b; five-level paging only costs time.
        add(&[
            "-cpu",
            "max,-cx16,-la57",
            "-smp",
            &self.processors.to_string(),
            "-m",
            &self.memory.to_string(),
        ]);
        add(&["-display", "none", "-vga", "std", "-name", &self.name, "-rtc", "base=utc"]);
        match &self.start {
            Start::Direct { kernel, initramfs, parameters } => {
                add(&["-kernel", &kernel.to_string_lossy(), "-initrd", &initramfs.to_string_lossy()]);
                add(&["-append", parameters]);
            }
            Start::Bios => {}
            Start::Uefi { code, variables } => {
                let flash = |unit, file: &PathBuf, read_only| {
                    format!("if=pflash,format=raw,unit={unit},readonly={read_only},file={}", file.display())
                };
                add(&["-drive", &flash(0, code, "on"), "-drive", &flash(1, variables, "off")]);
            }
        }
        if self.disks.iter().any(|disk| disk.bus == Bus::Usb) {
            add(&["-device", "qemu-xhci,id=xhci"]);
        }
        for (number, disk) in self.disks.iter().enumerate() {
            let access = match disk.access {
                Access::Read => "readonly=on",
                Access::Write => "readonly=off",
                Access::Scratch => "snapshot=on",
            };
            let file = disk.file.display();
            add(&["-drive", &format!("if=none,id=disk{number},format=raw,{access},file={file}")]);
            // Firmware that is told nothing would try every disk and then the network.
            let order = format!("drive=disk{number},bootindex={}", number + 1);
            add(&[
                "-device",
                &match disk.bus {
                    Bus::Virtio => format!("virtio-blk-pci,{order}"),
                    Bus::Ahci => format!("ide-hd,bus=ide.{number},{order}"),
                    Bus::Nvme => format!("nvme,serial=NVME{number},{order}"),
                    Bus::Usb => format!("usb-storage,bus=xhci.0,removable=on,{order}"),
                },
            ]);
        }
        for (number, card) in self.cards.iter().enumerate() {
            let socket = card.socket.display();
            let netdev = format!("stream,id=net{number},server=off,addr.type=unix,addr.path={socket}");
            let model = match card.model {
                CardModel::Virtio => "virtio-net-pci",
                CardModel::E1000e => "e1000e",
            };
            // No option ROM: nothing here starts from the network, and loading it takes seconds.
            let device = format!("{model},id=card{number},netdev=net{number},mac={},romfile=", card.mac);
            add(&["-netdev", &netdev, "-device", &device]);
        }
        arguments.extend(self.more.iter().cloned());
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_disk_and_card_gets_its_device() {
        let disk = |bus| Disk { file: "d.img".into(), bus, access: Access::Read };
        let hardware = Hardware {
            name: "castor".into(),
            memory: 256,
            processors: 1,
            start: Start::Bios,
            disks: vec![disk(Bus::Virtio), disk(Bus::Ahci), disk(Bus::Nvme), disk(Bus::Usb)],
            cards: vec![Card {
                mac: Mac([2, 0, 0, 0, 0, 10]),
                model: CardModel::E1000e,
                socket: "a.net".into(),
            }],
            more: vec!["-no-reboot".into()],
        };
        let line = hardware.arguments().join(" ");
        for device in [
            "virtio-blk-pci,drive=disk0,bootindex=1",
            "ide-hd,bus=ide.1,drive=disk1",
            "nvme,serial=NVME2,drive=disk2",
            "usb-storage,bus=xhci.0,removable=on,drive=disk3",
            "e1000e,id=card0,netdev=net0,mac=02:00:00:00:00:0a",
            "-cpu max,-cx16,-la57",
        ] {
            assert!(line.contains(device), "{device} in {line}");
        }
        assert!(line.ends_with("-no-reboot"));
    }
}
