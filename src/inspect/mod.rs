//! inspect/mod: being built.
