//! The drivers and protocols of a load-balancer appliance on ordinary servers and small PCs, as data.
//!
//! A pattern is a path below `/lib/modules/VERSION/kernel/` without `.ko`: a directory with a trailing `/` takes everything
//! below it, `*` stands for any characters but `/`. A pattern that matches neither a module nor something built in is an error,
//! so the lists cannot rot when the kernel moves. Dependencies follow by themselves.

/// What the image carries.
pub(crate) const WANTED: &[&str] = &[
    // Wired Ethernet, its PHYs, and the paravirtual adapters of the usual hypervisors.
    "drivers/net/ethernet/",
    "drivers/net/phy/",
    "drivers/net/virtio_net",
    "drivers/net/vmxnet3/",
    "drivers/net/hyperv/",
    "drivers/net/xen-netfront",
    "drivers/net/usb/ax88179_178a",
    "drivers/net/usb/asix",
    "drivers/net/usb/cdc_ether",
    "drivers/net/usb/cdc_ncm",
    "drivers/net/usb/r8152",
    // What a document can stack on a port.
    "drivers/net/bonding/",
    "drivers/net/dummy",
    "drivers/net/ifb",
    "drivers/net/macvlan",
    "drivers/net/veth",
    "net/8021q/",
    "net/ipv4/ipip",
    "net/ipv4/ip_gre",
    "net/ipv4/fou",
    "net/ipv6/ip6_tunnel",
    "net/ipv6/ip6_gre",
    "net/ipv6/sit",
    "net/sched/sch_fq",
    "net/sched/sch_fq_codel",
    "net/sched/sch_ingress",
    // The load balancer itself, and the packet rules around it.
    "net/netfilter/ipvs/",
    "net/netfilter/nf_*",
    "net/netfilter/nft_*",
    "net/netfilter/nfnetlink",
    "net/netfilter/nfnetlink_log",
    "net/ipv4/netfilter/nf_*",
    "net/ipv4/netfilter/nft_*",
    "net/ipv6/netfilter/nf_*",
    "net/ipv6/netfilter/nft_*",
    "net/ipv4/inet_diag",
    "net/ipv4/tcp_diag",
    "net/ipv4/udp_diag",
    "net/ipv4/tcp_bbr",
    "net/packet/af_packet_diag",
    "net/netlink/netlink_diag",
    "net/unix/unix_diag",
    // Disks: SATA, NVMe (also behind Intel's VMD), SAS and RAID adapters, paravirtual, USB, eMMC.
    "drivers/ata/",
    "drivers/nvme/host/nvme",
    "drivers/pci/controller/vmd",
    "drivers/block/loop",
    "drivers/block/virtio_blk",
    "drivers/block/xen-blkfront",
    "drivers/scsi/",
    "drivers/message/fusion/",
    "drivers/mmc/core/",
    "drivers/mmc/host/sdhci",
    "drivers/mmc/host/sdhci-acpi",
    "drivers/mmc/host/sdhci-pci",
    "drivers/usb/storage/",
    // USB hosts and keyboards, the power button.
    "drivers/usb/core/",
    "drivers/usb/common/",
    "drivers/usb/host/",
    "drivers/usb/class/cdc-acm",
    "drivers/usb/serial/usbserial",
    "drivers/usb/serial/ftdi_sio",
    "drivers/usb/serial/pl2303",
    "drivers/hid/hid",
    "drivers/hid/hid-generic",
    "drivers/hid/hid-hyperv",
    "drivers/hid/usbhid/",
    "drivers/input/evdev",
    "drivers/input/serio/hyperv-keyboard",
    "drivers/acpi/button",
    "drivers/acpi/fan",
    // Management controllers, watchdogs, clocks, entropy, serial ports on cards.
    "drivers/acpi/acpi_ipmi",
    "drivers/char/ipmi/",
    "drivers/char/hw_random/",
    "drivers/watchdog/",
    "drivers/tty/serial/8250/",
    "drivers/firmware/qemu_fw_cfg",
    "drivers/ptp/",
    "drivers/i2c/busses/i2c-i801",
    "drivers/i2c/busses/i2c-piix4",
    "drivers/hwmon/coretemp",
    "drivers/hwmon/k10temp",
    // Virtual machines.
    "drivers/virtio/",
    "drivers/hv/",
    // Filesystems: the root, the state volume, provisioning volumes, the firmware's variables.
    "fs/squashfs/",
    "fs/overlayfs/",
    "fs/ext4/",
    "fs/fat/",
    "fs/exfat/",
    "fs/nls/nls_ascii",
    "fs/nls/nls_cp437",
    "fs/nls/nls_iso8859-1",
    "fs/nls/nls_utf8",
    "fs/efivarfs/",
    // What the above ask for by name at run time.
    "crypto/crc32c_generic",
    "arch/x86/crypto/crc32c-intel",
];

/// What the image does not carry although a directory above would take it: switch chips, adapters that are a computer of their own
/// or long gone, storage over networks and storage targets, which a document cannot describe, PCMCIA, and test drivers.
pub(crate) const UNWANTED: &[&str] = &[
    "drivers/net/ethernet/brocade/",
    "drivers/net/ethernet/cavium/liquidio/",
    "drivers/net/ethernet/mellanox/mlxsw/",
    "drivers/net/ethernet/netronome/",
    "drivers/scsi/bfa/",
    "drivers/scsi/bnx2fc/",
    "drivers/scsi/bnx2i/",
    "drivers/scsi/cxgbi/",
    "drivers/scsi/fcoe/",
    "drivers/scsi/qedf/",
    "drivers/scsi/qedi/",
    "drivers/scsi/qla2xxx/tcm_qla2xxx",
    "drivers/scsi/elx/",
    "drivers/scsi/be2iscsi/",
    "drivers/scsi/pcmcia/",
    "drivers/scsi/scsi_debug",
    "drivers/ata/pata_pcmcia",
    "drivers/tty/serial/8250/serial_cs",
    "drivers/usb/host/sl811_cs",
];

/// Loaded by PID 1 from the initramfs before the root image is mounted, with their dependencies.
pub(crate) const BEFORE_ROOT: &[&str] = &["loop", "squashfs"];

/// Whether `path` (below `kernel/`, without `.ko`) is meant by `pattern`.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    if pattern.ends_with('/') {
        return path.starts_with(pattern);
    }
    match pattern.split_once('*') {
        None => path == pattern,
        Some((head, tail)) => {
            path.len() >= head.len() + tail.len()
                && path.starts_with(head)
                && path.ends_with(tail)
                && !path[head.len()..path.len() - tail.len()].contains('/')
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, path, expected) in [
            ("fs/fat/", "fs/fat/vfat", true),
            ("fs/fat/", "fs/fat2/vfat", false),
            ("net/netfilter/nf_*", "net/netfilter/nf_nat", true),
            ("net/netfilter/nf_*", "net/netfilter/nft_nat", false),
            ("net/netfilter/nf_*", "net/netfilter/nf_x/y", false),
            ("drivers/block/loop", "drivers/block/loop", true),
            ("drivers/block/loop", "drivers/block/loop2", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }
}
