//! store/mod: being built.
