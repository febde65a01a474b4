//! The integration tests: one binary, real sockets, real clients.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod absolute_form;
mod architecture;
mod cli;
mod correct_clients;
mod correct_sessions;
mod desync;
mod diagnose;
mod export;
mod http1_oracle;
mod hypotheses;
mod inspector;
mod jmeter;
mod jmeter_trouble;
mod junit;
mod oversize;
mod planted_causes;
mod profiles;
mod proxy_paths;
mod proxy_rig;
mod reading;
mod recording;
mod relay_verbatim;
mod replay;
mod rules_corpus;
mod rules_properties;
mod sdk_clients;
mod stamps;
mod store_recovery;
mod support;
mod watching;
mod websocket_oracle;
