//! cli/mod: being built.
