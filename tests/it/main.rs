//! The integration tests: one binary, real sockets, real clients.

mod architecture;
mod support;
mod websocket_oracle;
