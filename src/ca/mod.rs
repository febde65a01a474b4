//! Our own certificate authority: the root that is made at the first run, the leaves that stand in for servers, and the
//! files that make clients trust us.
//!
//! What must not happen here: a private key readable by others, a leaf signed twice for the same server, a leaf that
//! lives 200 days or more, or any network access. The key never leaves this module but for its file.

mod authority;
mod der;
mod leaf;
mod leaf_cache;
pub mod truststore;

pub use authority::{Authority, CERTIFICATE_FILE, KEY_FILE};
pub use leaf::Leaf;

use std::{io, path::PathBuf};

/// What can go wrong with the authority or its files.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{what} {path}: {source}", path = .path.display())]
    File {
        /// `cannot read`, `cannot write`, …
        what: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others than the owner may read the key.
    #[error("CA key {path} has mode {mode:04o}, so that others than its owner can read it; allowed is 0600 (hint: chmod 600 {path}, and if others may have read it, delete it together with {CERTIFICATE_FILE} and trust the new one)", path = .path.display())]
    KeyReadableByOthers {
        /// The key file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// One of the two files is there without the other.
    #[error("CA folder {dir} has {present} but no {missing}; both or none are allowed (hint: restore {missing}, or delete {present} so that a new CA is made, which clients must then trust anew)", dir = .dir.display())]
    HalfThere {
        /// The folder.
        dir: PathBuf,
        /// What is there.
        present: &'static str,
        /// What is not.
        missing: &'static str,
    },
    /// There is no authority.
    #[error("CA folder {dir} has no {KEY_FILE} (hint: it is made at the first run of `record` or `run`, or by `ca`)", dir = .dir.display())]
    Missing {
        /// The folder.
        dir: PathBuf,
    },
    /// A file is not what it should be.
    #[error("{path} is no {expected}: {why} (hint: delete {KEY_FILE} and {CERTIFICATE_FILE} so that a new CA is made, which clients must then trust anew)", path = .path.display())]
    NotUsable {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// Why it does not.
        why: String,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate for {name:?}: {why}")]
    Mint {
        /// For whom.
        name: String,
        /// Why.
        why: String,
    },
    /// A truststore could not be made.
    #[error("cannot make the PKCS#12 truststore: {0}")]
    Truststore(String),
}
