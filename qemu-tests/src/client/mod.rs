//! Clients with a real TCP stack of their own, on the switch beside the boxes.
//!
//! `host` is one client machine (smoltcp), `talk` one conversation it has, `load` what a test asks of many of them.

pub mod host;
pub mod load;
pub mod talk;
