//! proxy/mod: being built.
