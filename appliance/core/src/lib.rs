//! What Halcyon decides. This crate holds every decision of the appliance as a function of values: documents become
//! configurations, events become protocol states, states become the complete kernel state of a box.
//!
//! It never does anything: no sockets, files, clocks, threads or system calls, which its manifest and its own
//! `clippy.toml` enforce. `now` and seeds are arguments. So the same code runs on the box, in a simulated cluster and
//! under a fuzzer.
//!
//! Four values change hands, each with one maker and one consumer:
//!
//! ```text
//! bytes → Draft → check → Config → plan(View) → KernelState → diff(observed) → [Op] → the kernel
//! ```

pub mod moment;
pub mod config;
pub mod vrrp;
pub mod standby;
pub mod health;
pub mod plan;
pub mod reconcile;
pub mod sync;
pub mod store;
pub mod join;
pub mod disk;
pub mod dhcp;
pub mod node;
pub mod ntp;
pub mod resolver;
pub mod alarm;
pub mod status;
pub mod control;
pub mod report;
pub mod supervise;
pub mod journal;
