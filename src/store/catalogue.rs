//! The catalogue: being built.
