//! The integration tests: one binary, real sockets, real clients.

mod absolute_form;
mod http1_oracle;
mod recording;
mod inspector;
mod rules_corpus;
mod jmeter;
mod support;

mod proxy_paths;
mod proxy_rig;
mod relay_verbatim;
mod stamps;
mod websocket_oracle;
