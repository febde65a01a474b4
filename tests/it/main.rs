//! The integration tests: one binary, real sockets, real clients.

mod absolute_form;
mod architecture;
mod cli;
mod http1_oracle;
mod reading;
mod recording;
mod inspector;
mod rules_corpus;
mod jmeter;
mod store_recovery;
mod support;

mod proxy_paths;
mod proxy_rig;
mod relay_verbatim;
mod stamps;
mod websocket_oracle;
