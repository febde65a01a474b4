//! `show`: everything about one id, or its exact bytes.

use std::{io::Write as _, process::ExitCode};

use crate::{
    model::flag::{Subject, UnknownId},
    query::{Part, gather, raw, wire},
};

use super::{
    Globals, Output, exit_code,
    output::say,
    reading,
    render::{self, style::Look},
};

/// Shows everything about a connection (c12), an exchange (x345), a frame (f9) or a session (s3)
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to show
    #[arg(value_parser = parse_id)]
    id: Subject,
    /// One JSON object
    #[arg(long, conflicts_with = "raw")]
    json: bool,
    /// The exact bytes, secrets included: request, request-sent (as the server got it) or response of an exchange; client
    /// or server of a connection
    #[arg(long, value_name = "PART", value_parser = parse_part)]
    raw: Option<Part>,
    /// Show secrets instead of their fingerprints
    #[arg(long)]
    keep_secrets: bool,
}

fn parse_id(text: &str) -> Result<Subject, UnknownId> {
    text.parse()
}

fn parse_part(text: &str) -> Result<Part, raw::UnknownPart> {
    text.parse()
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let capture = reading::open(globals)?;
    let mut output = Output::stdout();
    let secrets = reading::secrets(args.keep_secrets);
    if let Some(part) = args.raw {
        let copied = capture.raw(args.id, part, None, &mut output)?;
        output.flush()?;
        // The bytes that are there stand on standard output; that some are not is a failure all the same.
        copied.missing.iter().for_each(|missing| say(&format!("warning: {missing}")));
        return Ok(ExitCode::from(if copied.missing.is_empty() { exit_code::DONE } else { exit_code::FAILED }));
    }
    if args.json {
        wire::write_row(&capture.show(args.id, secrets)?, &mut output)?;
    } else {
        let details = gather(&capture, args.id, secrets)?;
        let look = Look::of(&output);
        output.write_all(render::details(&details, capture.anchor(), look).as_bytes())?;
    }
    output.flush()?;
    Ok(ExitCode::from(exit_code::DONE))
}
