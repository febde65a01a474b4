//! The integration tests: one binary, real sockets, real clients.

mod architecture;
mod cli;
mod http1_oracle;
mod reading;
mod recording;
mod store_recovery;
mod support;
mod websocket_oracle;
