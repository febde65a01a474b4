//! The integration tests: one binary, real sockets, real clients.

mod support;
mod websocket_oracle;
