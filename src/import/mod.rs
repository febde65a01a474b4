//! JMeter's own record of a run, read and laid beside what went over the wire.
//!
//! - [`csv`]: rows of a JTL, whatever columns it has; [`time`]: its timestamps. [`xml`]: the same written as XML.
//! - [`statistics`]: the figures of JMeter's dashboard for the same file.
//! - [`join`]: which row is which exchange; what is left over on either side.
//!
//! Nothing here reads a capture: whoever has one hands over what was [sent](join::Sent). A row is JMeter's word, never the
//! wire's: where they differ, both are said.

pub mod csv;
pub mod join;
mod lines;
mod row;
pub mod statistics;
mod time;
pub mod xml;

use std::{fs, path::Path};

pub use row::{Jtl, Lacks, Malformed, Role, Row};

/// Reads a JTL, in CSV or XML.
///
/// # Errors
/// Where it cannot be read, or is no JTL. Lines that are no rows are none: they are in [`Jtl::malformed`].
pub fn read(path: &Path) -> Result<Jtl, Error> {
    let name = path.display().to_string();
    let bytes = fs::read(path).map_err(|source| Error::Read { path: name.clone(), source })?;
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    if text.trim_ascii_start().starts_with(b"<") { xml::parse(&name, text) } else { csv::parse(&name, text) }
}

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else than a JTL.
    #[error("{path} is no JTL: {found} (hint: {hint})")]
    Format {
        /// Which.
        path: String,
        /// What is there.
        found: String,
        /// What to do.
        hint: &'static str,
    },
    /// It is of another run.
    #[error(
        "{path} is of another run: its rows go from {from} to {to}, the capture from {capture_from} to {capture_to}"
    )]
    OtherRun {
        /// Which.
        path: String,
        /// RFC 3339.
        from: String,
        /// RFC 3339.
        to: String,
        /// RFC 3339.
        capture_from: String,
        /// RFC 3339.
        capture_to: String,
    },
}
