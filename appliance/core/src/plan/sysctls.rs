//! The sysctls that a member's role needs. Each is a promise that another part of the plan relies on.

use super::{Perspective, Plan};

pub(super) fn plan(box_: &Perspective<'_>, plan: &mut Plan) {
    let mut set = |path: &str, value: &str, why: &str| {
        plan.state.sysctls.insert(path.to_owned(), value.to_owned());
        plan.because(format!("sysctl {} = {value}", path.replace('/', ".")), why);
    };
    set(
        "net/ipv4/conf/all/promote_secondaries",
        "1",
        "losing one address must not take its subnet's others along",
    );
    set("net/ipv4/conf/all/rp_filter", "0", "a real server answers for an address of the loopback");
    set("net/ipv4/ip_forward", "0", "direct routing forwards without being a router");
    set("net/ipv6/conf/all/forwarding", "0", "direct routing forwards without being a router");
    if box_.me.real_server {
        for link in ["all", "lo"] {
            set(&format!("net/ipv4/conf/{link}/arp_ignore"), "1", "only the master answers ARP for a VIP");
            set(&format!("net/ipv4/conf/{link}/arp_announce"), "2", "never ask in the name of a VIP");
        }
    }
    if box_.me.director {
        set("net/ipv4/vs/expire_nodest_conn", "1", "connections to a deleted server end at once");
        set("net/ipv4/vs/expire_quiescent_template", "0", "stickiness outlives a pause of its server");
        set("net/ipv4/vs/sloppy_tcp", "1", "a connection in mid-stream is picked up after a takeover");
        set("net/ipv4/vs/backup_only", "0", "the guard works by origin, not by role");
        set("net/ipv4/tcp_fwmark_accept", "1", "a socket keeps the mark of its connection's first segment");
        set("net/ipv4/vs/conn_reuse_mode", "1", "a new connection from a used port is scheduled anew");
    }
}
