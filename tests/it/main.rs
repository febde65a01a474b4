//! The integration tests: one binary, real sockets, real clients.

mod absolute_form;
mod architecture;
mod cli;
mod http1_oracle;
mod inspector;
mod jmeter;
mod profiles;
mod proxy_paths;
mod proxy_rig;
mod reading;
mod recording;
mod relay_verbatim;
mod rules_corpus;
mod rules_properties;
mod stamps;
mod store_recovery;
mod support;
mod websocket_oracle;
