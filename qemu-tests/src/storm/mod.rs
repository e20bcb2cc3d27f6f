//! Co-located boxes through every state in which packets are known to be bounced between them: what is served, by whom,
//! and how often a packet crosses.
//!
//! Reading order: `quartet` (four services behind one address) → `figures` (what is counted in a state, and what is
//! promised) → `site` (the boxes and what can be done to them, with `halcyon` and `naive` for the two kinds) → `held`
//! (connections that stay open through it all) → `walk` (the states, one after the other, on one lab). Beside them
//! `drawn` (states of a pair) → `loading` (how a state gets into a kernel) → `agreement` (whether the product's storm
//! checker foresees what packets do in them), and `cost` (what the guard's rules cost a director).

pub mod agreement;
pub mod cost;
mod drawn;
pub mod figures;
mod halcyon;
pub mod held;
mod loading;
mod naive;
pub mod quartet;
pub mod site;
pub mod walk;
