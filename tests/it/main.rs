//! The integration tests: one binary, real sockets, real clients.

mod absolute_form;
mod jmeter;
mod support;
