//! Health of real servers: when to check one, and what the outcomes of its checks mean.
//!
//! Decides from outcomes and time alone; it never opens a connection.

pub mod checker;
