//! VRRP (RFC 9568, and RFC 3768 for version 2) over IPv4, as functions of values: which box holds the virtual
//! addresses, what is said on the wire, and when.
//!
//! One [`Instance`](machine::Instance) per virtual router is told what happened and when, and asked what to do. It
//! never sends, waits, logs or reads a clock; the engine's real-time thread does. Start with [`machine`].

pub mod announce;
pub mod routers;
pub mod machine;
pub mod settings;
pub mod statistics;
pub mod timers;
pub mod why;
pub mod wire;
