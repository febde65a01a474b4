//! The integration tests: one binary, real sockets, real clients.

mod absolute_form;
mod http1_oracle;
mod jmeter;
mod support;
mod websocket_oracle;
