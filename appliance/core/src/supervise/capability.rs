//! Linux capabilities by name (`include/uapi/linux/capability.h`).

use std::fmt;
use std::str::FromStr;

/// In the order of their numbers, from `CAP_CHOWN` = 0.
const NAMES: &[&str] = &[
    "chown",
    "dac_override",
    "dac_read_search",
    "fowner",
    "fsetid",
    "kill",
    "setgid",
    "setuid",
    "setpcap",
    "linux_immutable",
    "net_bind_service",
    "net_broadcast",
    "net_admin",
    "net_raw",
    "ipc_lock",
    "ipc_owner",
    "sys_module",
    "sys_rawio",
    "sys_chroot",
    "sys_ptrace",
    "sys_pacct",
    "sys_admin",
    "sys_boot",
    "sys_nice",
    "sys_resource",
    "sys_time",
    "sys_tty_config",
    "mknod",
    "lease",
    "audit_write",
    "audit_control",
    "setfcap",
    "mac_override",
    "mac_admin",
    "syslog",
    "wake_alarm",
    "block_suspend",
    "audit_read",
    "perfmon",
    "bpf",
    "checkpoint_restore",
];

/// One capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Capability(u8);

impl Capability {
    /// Its number.
    pub fn number(self) -> u32 {
        u32::from(self.0)
    }

    /// Its bit in a 64-bit capability set.
    pub fn bit(self) -> u64 {
        1 << self.0
    }
}

impl FromStr for Capability {
    type Err = ();

    /// From `net_admin` or `CAP_NET_ADMIN`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let name = text.to_ascii_lowercase();
        let name = name.strip_prefix("cap_").unwrap_or(&name);
        let number = NAMES.iter().position(|known| *known == name).ok_or(())?;
        Ok(Self(u8::try_from(number).expect("the table is shorter than 256")))
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES[usize::from(self.0)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_the_kernels() {
        for (name, number) in
            [("chown", 0), ("net_bind_service", 10), ("CAP_NET_ADMIN", 12), ("sys_nice", 23), ("syslog", 34)]
        {
            assert_eq!(name.parse::<Capability>().map(Capability::number), Ok(number), "{name}");
        }
        assert_eq!("checkpoint_restore".parse::<Capability>().map(Capability::number), Ok(40));
        assert_eq!("net_admim".parse::<Capability>(), Err(()));
    }
}
