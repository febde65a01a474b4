//! redact/mod: being built.
