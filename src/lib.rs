//! Firstframe: a forensic intercepting proxy for API load tests.
//!
//! The map, from the ground up; a module imports only from lower numbers, never sideways (`tests/it/architecture.rs`
//! enforces the table; ARCHITECTURE.md tells why):
//!
//! | stratum | modules |
//! |---|---|
//! | 7 | [`app`], [`cli`], [`config`] |
//! | 6 | [`report`], [`api`] |
//! | 5 | [`diagnose`] (pure), [`export`], [`replay`], [`lab`] |
//! | 4 | [`query`], [`import`], [`proxy`] |
//! | 3 | [`record`] |
//! | 2 | [`inspect`] (pure), [`rules`] (pure) |
//! | 1 | [`decode`] (pure), [`profile`] (pure), [`redact`] (pure), [`stats`] (pure), [`ca`], [`store`] |
//! | 0 | [`model`] (pure), [`clock`], [`shutdown`] |
//!
//! One exchange's way through them: docs/lifecycle.md. The bytes on disk: docs/format.md.

pub mod clock;
pub mod model;
pub mod shutdown;

pub mod ca;
pub mod decode;
pub mod profile;
pub mod redact;
pub mod stats;
pub mod store;

pub mod inspect;
pub mod rules;

pub mod record;

pub mod import;
pub mod proxy;
pub mod query;

pub mod diagnose;
pub mod export;
pub mod lab;
pub mod replay;

pub mod api;
pub mod report;

pub mod app;
pub mod cli;
pub mod config;
