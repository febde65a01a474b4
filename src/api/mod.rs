//! api/mod: being built.
