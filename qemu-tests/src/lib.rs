//! Acceptance: the image in QEMU, on a switch of our own. No root, no host network, no KVM.
//!
//! Reading order: `switch` (pure: frames in, deliveries and books out) → `client` (hosts with a real TCP stack) → `lab`
//! (the thread that owns both) → `vm` (machines: QMP, consoles, report tty) → `draw` (addresses and names from a seed)
//! → `wording` (the document) → `pair` (two boxes set up to serve). The tests themselves are in `bin/acceptance`.
//!
//! Shares nothing with the product but the clock type: what it judges, it decodes itself. The one exception is the
//! product's storm checker, which `storm::agreement` holds against the frames on the switch.

pub mod agent;
pub mod client;
pub mod draw;
pub mod image;
pub mod keepalived;
pub mod lab;
pub mod pair;
pub mod plug;
pub mod pulse;
pub mod seed;
pub mod servant;
pub mod storm;
pub mod switch;
pub mod tables;
pub mod vm;
pub mod volume;
pub mod wire;
pub mod wording;
