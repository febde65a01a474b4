//! The integration tests: one binary, real sockets, real clients.

mod absolute_form;
mod architecture;
mod architecture;
mod cli;
mod http1_oracle;
mod http1_oracle;
mod http1_oracle;
mod inspector;
mod jmeter;
mod reading;
mod reading;
mod recording;
mod recording;
mod rules_corpus;
mod rules_corpus;
mod store_recovery;
mod store_recovery;
mod support;

mod proxy_paths;
mod proxy_rig;
mod relay_verbatim;
mod stamps;
mod websocket_oracle;
