//! Numbers of the `IPVS` generic-netlink family and of the family controller, under the names of
//! `include/uapi/linux/ip_vs.h` and `include/uapi/linux/genetlink.h` without their prefixes.

/// `GENL_ID_CTRL`: the controller's fixed message type.
pub const CTRL: u16 = 0x10;
/// `CTRL_CMD_GETFAMILY`.
pub const CTRL_GETFAMILY: u8 = 3;
/// `CTRL_ATTR_FAMILY_ID`.
pub const CTRL_FAMILY_ID: u16 = 1;
/// `CTRL_ATTR_FAMILY_NAME`.
pub const CTRL_FAMILY_NAME: u16 = 2;

/// `IPVS_GENL_NAME`.
pub const FAMILY: &str = "IPVS";
/// `IPVS_GENL_VERSION`.
pub const VERSION: u8 = 1;

/// `IPVS_CMD_*`.
pub mod cmd {
    #![expect(missing_docs, reason = "the header's own names")]
    pub const NEW_SERVICE: u8 = 1;
    pub const SET_SERVICE: u8 = 2;
    pub const DEL_SERVICE: u8 = 3;
    pub const GET_SERVICE: u8 = 4;
    pub const NEW_DEST: u8 = 5;
    pub const SET_DEST: u8 = 6;
    pub const DEL_DEST: u8 = 7;
    pub const GET_DEST: u8 = 8;
    pub const NEW_DAEMON: u8 = 9;
    pub const DEL_DAEMON: u8 = 10;
    pub const GET_DAEMON: u8 = 11;
}

/// `IPVS_CMD_ATTR_*`.
pub mod attr {
    #![expect(missing_docs, reason = "the header's own names")]
    pub const SERVICE: u16 = 1;
    pub const DEST: u16 = 2;
    pub const DAEMON: u16 = 3;
}

/// `IPVS_SVC_ATTR_*`.
pub mod svc {
    #![expect(missing_docs, reason = "the header's own names")]
    pub const AF: u16 = 1;
    pub const PROTOCOL: u16 = 2;
    pub const ADDR: u16 = 3;
    pub const PORT: u16 = 4;
    pub const FWMARK: u16 = 5;
    pub const SCHED_NAME: u16 = 6;
    pub const FLAGS: u16 = 7;
    pub const TIMEOUT: u16 = 8;
    pub const NETMASK: u16 = 9;
    pub const STATS64: u16 = 12;
}

/// `IPVS_DEST_ATTR_*`.
pub mod dest {
    #![expect(missing_docs, reason = "the header's own names")]
    pub const ADDR: u16 = 1;
    pub const PORT: u16 = 2;
    pub const FWD_METHOD: u16 = 3;
    pub const WEIGHT: u16 = 4;
    pub const U_THRESH: u16 = 5;
    pub const L_THRESH: u16 = 6;
    pub const ACTIVE_CONNS: u16 = 7;
    pub const INACT_CONNS: u16 = 8;
    pub const PERSIST_CONNS: u16 = 9;
    pub const ADDR_FAMILY: u16 = 11;
    pub const STATS64: u16 = 12;
}

/// `IPVS_DAEMON_ATTR_*`.
pub mod daemon {
    #![expect(missing_docs, reason = "the header's own names")]
    pub const STATE: u16 = 1;
    pub const MCAST_IFN: u16 = 2;
    pub const SYNC_ID: u16 = 3;
    /// `IP_VS_STATE_MASTER`.
    pub const MASTER: u32 = 1;
    /// `IP_VS_STATE_BACKUP`.
    pub const BACKUP: u32 = 2;
}

/// `IPVS_STATS_ATTR_*`.
pub mod stats {
    #![expect(missing_docs, reason = "the header's own names")]
    pub const CONNS: u16 = 1;
    pub const INPKTS: u16 = 2;
    pub const OUTPKTS: u16 = 3;
    pub const INBYTES: u16 = 4;
    pub const OUTBYTES: u16 = 5;
}

/// `IP_VS_SVC_F_PERSISTENT`: the same client goes to the same server.
pub const PERSISTENT: u32 = 0x0001;
/// `IP_VS_SVC_F_HASHED`: the kernel's own mark for a service that is in its table.
pub const HASHED: u32 = 0x0002;
/// `IP_VS_CONN_F_DROUTE`: direct routing.
pub const DIRECT: u32 = 3;
/// `AF_INET` (`include/linux/socket.h`).
pub const INET: u16 = 2;
/// `AF_INET6`.
pub const INET6: u16 = 10;
