//! Retention: being built.
