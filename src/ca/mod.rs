//! ca/mod: being built.
