//! record/mod: being built.
