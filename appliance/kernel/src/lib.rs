//! The Linux edge: netlink, IPVS, raw sockets.

pub mod vrrp_socket;
