//! `halcyond`, the engine.
//!
//! It carries out what `halcyon_core` decides. One task, the [`driver`], owns the node and reads the clock; everything
//! else brings events to it or carries actions away. VRRP runs on a real-time thread of its own, [`vrrp_thread`], which
//! awaits neither the kernel nor the disk nor the log.

pub mod event;
pub mod driver;
pub mod clock;
pub mod vrrp_thread;
pub mod reconciler;
pub mod announcer;
pub mod attempts;
pub mod roll_call;
pub mod join;
pub mod probes;
pub mod shelf;
pub mod volume;
pub mod provision;
pub mod binding;
pub mod runtime;
pub mod store;
pub mod status;
pub mod control;
pub mod table;
pub mod observe;
pub mod metrics;
pub mod supervisor;
pub mod handout;
pub mod lessee;
pub mod timekeeper;
pub mod log;
