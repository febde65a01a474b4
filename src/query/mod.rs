//! query/mod: being built.
pub mod filter;
