//! The integration tests: one binary, real sockets, real clients.

mod absolute_form;
mod architecture;
mod cli;
mod http1_oracle;
mod inspector;
mod jmeter;
mod reading;
mod recording;
mod rules_corpus;
mod store_recovery;
mod support;
mod websocket_oracle;
