//! The storm checker: walks one packet through the kernels of all members and says where it ends and how often it
//! crossed from one member to another. Independent of the planner: it sees nothing but kernel states, links and
//! connection entries, and knows nothing of why they are as they are.
//!
//! ```text
//! frame ─▶ prerouting chains ─▶ is the destination mine? ─▶ input chains ─▶ IPVS (99) ─▶ socket
//!            (mark set)            no: dropped              below 99          │ forwards, TTL - 1
//!                                                                            ▼
//!                       frame of this box on the next one ◀── wire ◀── output chains
//! ```
//!
//! What must hold is [`Promise`]: no packet crosses twice, a master that sees a healthy server serves, and an open
//! connection stays with the box that holds it. Where the kernel has a choice (a scheduler's turn) every choice counts.
//!
//! Sources, all of Linux 6.12: `ip_vs_in_hook`, `ip_vs_schedule`, `ip_vs_sched_persist` and `ip_vs_leave`
//! (net/netfilter/ipvs/ip_vs_core.c), `tcp_conn_schedule` (ip_vs_proto_tcp.c), `ip_vs_check_template` (ip_vs_conn.c),
//! `ip_vs_dr_xmit` (ip_vs_xmit.c). Left out, because no rule of ours and no crossing depends on them: fragments, ICMP
//! errors, SCTP, NAT and tunnels.
//!
//! Open next: [`station`] for what is known of a box, [`walk`](self::walk()) for the way, [`Finding`] for what can be wrong.

pub mod alone;
pub mod document;
mod filter;
mod finding;
mod ipvs;
mod packet;
pub mod station;
mod walk;
#[cfg(test)]
mod tests;

pub use finding::{Finding, Promise, check, check_at};
pub use packet::{Packet, Segment, Sender};
pub use station::{Answers, Cluster, Entry, Phase, Station, Wire};
pub use walk::{End, Step, Walk, walk};
