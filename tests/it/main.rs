//! The integration tests: one binary, real sockets, real clients.

mod absolute_form;
mod http1_oracle;
mod recording;
mod inspector;
mod rules_corpus;
mod jmeter;
mod store_recovery;
mod support;
mod websocket_oracle;
