//! The integration tests: one binary, real sockets, real clients.

mod http1_oracle;
mod inspector;
mod rules_corpus;
mod support;
mod websocket_oracle;
