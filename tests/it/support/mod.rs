//! What the integration tests share: an API, the product as a process, a raw client, and where the tools lie.

#![allow(dead_code, unreachable_pub, reason = "each test module uses some of it")]

pub mod client;
pub mod correct;
pub mod inspection;
pub mod jmeter;
pub mod lab;
pub mod origin;
pub mod product;
pub mod trace_script;

use std::path::PathBuf;

/// The repository.
pub fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A thing that `scripts/setup` puts into the cache folder. Fails with what to do where it is missing.
pub fn tool(path: &str) -> PathBuf {
    let found = repository().join(".cache").join(path);
    assert!(found.exists(), "{} is missing: run scripts/setup", found.display());
    found
}
