//! The document that says how well causes are found: one part is made in virtual time, a section by runs over sockets.
//! Whoever writes the one leaves the other as it stands.

use std::{fs, path::Path};

use anyhow::Context as _;

use crate::clock;

/// The section of the runs over sockets, which is the last.
pub(super) const SOCKETS: &str = "## Over real sockets";

/// Puts a body under a heading of a document, in the place of what stood there up to its end.
pub(super) fn replace(path: &Path, heading: &str, body: &str) -> anyhow::Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (before, _) = split(&text, heading);
    let text = format!("{}\n\n{heading}\n\n{body}", before.trim_end());
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes all that stands before a heading, and leaves that and what follows it.
pub(super) fn replace_before(path: &Path, heading: &str, text: &str) -> anyhow::Result<()> {
    // A document that is not there has no such section.
    let known = fs::read_to_string(path).unwrap_or_default();
    let (_, rest) = split(&known, heading);
    let text = if rest.is_empty() { text.to_owned() } else { format!("{}\n\n{rest}", text.trim_end()) };
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// What stands before a heading, and the rest.
fn split<'a>(text: &'a str, heading: &str) -> (&'a str, &'a str) {
    let at = if text.starts_with(heading) { Some(0) } else { text.find(&format!("\n{heading}\n")).map(|at| at + 1) };
    text.split_at(at.unwrap_or(text.len()))
}

/// The date, UTC.
pub(super) fn today() -> String {
    let now = jiff::Timestamp::from_nanosecond(clock::wall_unix_ns().into());
    now.map(|now| now.strftime("%Y-%m-%d").to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn each_part_is_replaced_and_leaves_the_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("accuracy.md");
        let text = || fs::read_to_string(&path).unwrap();
        replace_before(&path, SOCKETS, "# A\n\nold\n").unwrap();
        assert_eq!(text(), "# A\n\nold\n");
        replace(&path, SOCKETS, "one\n").unwrap();
        assert_eq!(text(), format!("# A\n\nold\n\n{SOCKETS}\n\none\n"));
        replace_before(&path, SOCKETS, "# B\n").unwrap();
        replace(&path, SOCKETS, "two\n").unwrap();
        assert_eq!(text(), format!("# B\n\n{SOCKETS}\n\ntwo\n"));
    }
}
