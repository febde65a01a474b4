//! The integration tests: one binary, real sockets, real clients.

mod absolute_form;
mod http1_oracle;
mod inspector;
mod rules_corpus;
mod jmeter;
mod architecture;
mod http1_oracle;
mod reading;
mod recording;
mod store_recovery;
mod support;
mod websocket_oracle;
