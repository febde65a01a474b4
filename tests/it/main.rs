//! The integration tests: one binary, real sockets, real clients.

mod architecture;
mod cli;
mod http1_oracle;
mod reading;
mod recording;
mod store_recovery;
mod absolute_form;
mod http1_oracle;
mod inspector;
mod jmeter;
mod rules_corpus;
mod support;
mod websocket_oracle;
