//! What all subcommands share about writing: standard output that ends quietly when its reader does, colour, errors.

use std::{
    fs,
    io::{self, BufWriter, IsTerminal as _, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::exit_code;
use crate::config::Problem;

/// Standard output, buffered. Writing to a pipe whose reader has gone gives an error that [`report_failure`] knows and
/// keeps quiet about, so that `firstframe ls | head` ends like any other tool. Flushed by [`Output::flush`] and on drop.
pub struct Output(BufWriter<io::Stdout>);

impl Output {
    /// Standard output.
    pub fn stdout() -> Self {
        Self(BufWriter::new(io::stdout()))
    }

    /// Whether a person reads it on a terminal.
    pub fn is_terminal(&self) -> bool {
        io::stdout().is_terminal()
    }

    /// Whether to colour it: on a terminal, unless `NO_COLOR` is set to anything (no-color.org) or `TERM` is `dumb`.
    pub fn is_colourful(&self) -> bool {
        self.is_terminal() && colour_wanted()
    }

    /// One JSON object and a line end, flushed, so that a reader of events gets each at once.
    pub fn json_line(&mut self, value: &impl serde::Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.write_all(&line)?;
        self.flush()
    }
}

/// Writes a file, all of it or nothing: who reads it meanwhile gets the whole old or the whole new one.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.tmp", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = fs::write(&beside, bytes).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(name_closed_pipe)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(name_closed_pipe)
    }
}

/// Whether to colour standard error.
pub fn stderr_is_colourful() -> bool {
    io::stderr().is_terminal() && colour_wanted()
}

/// The person said something wrong on the command line: the code is [`exit_code::USAGE`].
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Prints a failure as one line, `error: what: why`, and gives its code. What is wrong on the command line keeps its
/// lines: carets point at the spot above them. Nothing is printed where the reader of standard output has gone.
pub fn report_failure(error: &anyhow::Error) -> ExitCode {
    if error.chain().any(is_closed_pipe) {
        return ExitCode::from(exit_code::DONE);
    }
    match error.downcast_ref::<Usage>() {
        Some(usage) => say(&format!("error: {usage}")),
        None => say(&format!("error: {}", one_line(error))),
    }
    let usage = error.chain().any(|cause| cause.is::<Usage>() || cause.is::<Problem>());
    ExitCode::from(if usage { exit_code::USAGE } else { exit_code::FAILED })
}

/// One line for the person. Standard error that is gone is nobody's loss.
pub fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// The chain of causes joined by colons; a cause whose text the one before it ends with already is not said again.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let text = text.split('\n').map(str::trim).filter(|part| !is_pointer(part)).collect::<Vec<_>>().join(" ");
        if line.is_empty() {
            line = text;
        } else if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
    }
    line
}

/// Empty, or carets: they point at nothing on a line that was joined.
fn is_pointer(part: &str) -> bool {
    part.bytes().all(|byte| byte == b'^')
}

fn colour_wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|value| value != "dumb")
}

/// The reader of our standard output has gone. A type of its own, since a broken pipe elsewhere (a socket) is a failure.
#[derive(Debug, thiserror::Error)]
#[error("the reader of standard output has gone")]
struct ClosedPipe;

fn name_closed_pipe(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::BrokenPipe => io::Error::new(io::ErrorKind::BrokenPipe, ClosedPipe),
        _ => error,
    }
}

/// The result, where a reader of standard output that has gone is none: for those whose exit code says something else.
pub fn unless_closed(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if is_closed_pipe(&error) => Ok(()),
        other => other,
    }
}

fn is_closed_pipe(cause: &(dyn std::error::Error + 'static)) -> bool {
    cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<ClosedPipe>())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use anyhow::Context as _;

    use super::*;

    #[test]
    fn causes_are_joined_once_on_one_line() {
        let inner = io::Error::new(io::ErrorKind::PermissionDenied, "permission denied\n  (really)");
        let error = Err::<(), _>(inner).context("cannot open a/b: permission denied (really)").unwrap_err();
        assert_eq!(one_line(&error), "cannot open a/b: permission denied (really)");
        assert_eq!(
            one_line(&error.context("reading the key")),
            "reading the key: cannot open a/b: permission denied (really)"
        );
    }

    #[test]
    fn only_our_own_output_is_a_closed_pipe() {
        let socket = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(!socket.chain().any(is_closed_pipe));
        let output = anyhow::Error::from(name_closed_pipe(io::ErrorKind::BrokenPipe.into())).context("listing");
        assert!(output.chain().any(is_closed_pipe));
    }
}
