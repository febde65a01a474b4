//! The integration tests: one binary, real sockets, real clients.

mod recording;
mod support;
