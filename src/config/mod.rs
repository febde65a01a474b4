//! config/mod: being built.
