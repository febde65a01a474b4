//! report/mod: being built.
