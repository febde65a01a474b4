//! profile/mod: being built.
