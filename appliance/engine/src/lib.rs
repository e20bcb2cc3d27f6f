//! `halcyond`, the engine.
//!
//! It carries out what `halcyon_core` decides: one task owns the `Node` and reads the clock
//! (`driver`); everything else brings events to it or carries actions away. VRRP runs on a real-time thread of its
//! own (`vrrp_thread`) that awaits neither the kernel nor the disk nor the log.

pub mod log;
pub mod supervisor;
pub mod volume;
pub mod provision;
pub mod runtime;
pub mod status;
pub mod probes;
pub mod control;
pub mod metrics;
pub mod observe;
pub mod vrrp_thread;
