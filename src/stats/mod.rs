//! Statistics that the diagnosis, experiments and reports share. PURE: numbers in, numbers out; what is drawn at random
//! comes from a seed.
//!
//! - [`binomial`]: log-likelihoods of refusal rates, and what a split gains;
//! - [`interval`]: Wilson's for a rate, Newcombe's for a difference of rates;
//! - [`monotone`]: the best curve that never falls;
//! - [`series`]: how long a series remembers itself;
//! - [`draw`]: seeded draws.

pub mod binomial;
pub mod draw;
pub mod interval;
pub mod monotone;
pub mod series;
