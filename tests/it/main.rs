//! The integration tests: one binary, real sockets, real clients.

mod absolute_form;
mod http1_oracle;
mod jmeter;
mod architecture;
mod http1_oracle;
mod reading;
mod recording;
mod store_recovery;
mod support;
mod websocket_oracle;
