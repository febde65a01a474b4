//! The integration tests: one binary, real sockets, real clients.

mod store_recovery;
mod support;
