//! query/mod: being built.
