//! The integration tests: one binary, real sockets, real clients.

mod absolute_form;
mod architecture;
mod cli;
mod http1_oracle;
mod reading;
mod recording;
mod architecture;
mod http1_oracle;
mod reading;
mod recording;
mod store_recovery;
mod absolute_form;
mod http1_oracle;
mod inspector;
mod jmeter;
mod store_recovery;
mod rules_corpus;
mod support;

mod proxy_paths;
mod proxy_rig;
mod relay_verbatim;
mod stamps;
mod websocket_oracle;
