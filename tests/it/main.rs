//! The integration tests: one binary, real sockets, real clients.

mod http1_oracle;
mod support;

mod proxy_paths;
mod proxy_rig;
mod relay_verbatim;
mod stamps;
