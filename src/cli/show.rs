//! `show`: everything about one id, or its exact bytes.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use crate::{
    model::flag::{Subject, UnknownId},
    query::{Part, gather, raw, row, wire},
};

use super::{
    Globals, Output, exit_code,
    output::{Usage, say},
    reading,
    render::{self, style::Look},
};

/// Shows everything about a connection (c12), an exchange (x345), a frame (f9) or a session (s3)
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to show; with the name of its capture before it where a verdict is of several: noon/x345
    #[arg(value_parser = parse_id)]
    id: Named,
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

/// An id, of the capture that `--capture` names, or of the one that is named with it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    capture: Option<PathBuf>,
    subject: Subject,
}

fn parse_id(text: &str) -> Result<Named, UnknownId> {
    let (capture, id) = text.rsplit_once('/').map_or((None, text), |(capture, id)| (Some(capture.into()), id));
    Ok(Named { capture, subject: id.parse()? })
}

fn parse_part(text: &str) -> Result<Part, raw::UnknownPart> {
    text.parse()
}

/// The capture that an id names, as `--capture` has it where that is said too.
fn one_of(said: &[PathBuf], named: PathBuf, id: Subject) -> Result<PathBuf, Usage> {
    let is_meant = |said: &&PathBuf| **said == named || said.file_name() == Some(named.as_os_str());
    match said.iter().find(is_meant) {
        Some(said) => Ok(said.clone()),
        None if said.is_empty() => Ok(named),
        None => {
            let named = named.display();
            Err(Usage(format!("{named}/{id} is of the capture {named}, and --capture names others")))
        }
    }
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let Named { capture, subject: id } = args.id;
    let globals = match capture {
        Some(named) => &Globals { capture: vec![one_of(&globals.capture, named, id)?], ..globals.clone() },
        None => globals,
    };
    let capture = reading::open(globals)?;
    let mut output = Output::stdout();
    let secrets = reading::secrets(args.keep_secrets);
    if let Some(part) = args.raw {
        let copied = capture.raw(id, part, None, &mut output)?;
        output.flush()?;
        // The bytes that are there stand on standard output; that some are not is a failure all the same.
        copied.missing.iter().for_each(|missing| say(&format!("warning: {missing}")));
        return Ok(ExitCode::from(if copied.missing.is_empty() { exit_code::DONE } else { exit_code::FAILED }));
    }
    if args.json {
        wire::write_row(&row(&capture, id, secrets)?, &mut output)?;
    } else {
        let details = gather(&capture, id, secrets)?;
        let look = Look::of(&output);
        output.write_all(render::details(&details, capture.anchor(), look).as_bytes())?;
    }
    output.flush()?;
    Ok(ExitCode::from(exit_code::DONE))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn an_id_may_bear_the_name_of_its_capture() {
        assert_eq!(parse_id("x12").unwrap().capture, None);
        let named = parse_id("noon/x12").unwrap();
        assert_eq!((named.capture, named.subject.to_string().as_str()), (Some(PathBuf::from("noon")), "x12"));
        assert!(parse_id("noon/").is_err() && parse_id("noon/12").is_err());
        let x12 = named.subject;
        let one = |said: &[&str]| one_of(&said.iter().map(PathBuf::from).collect::<Vec<_>>(), "noon".into(), x12);
        assert_eq!(one(&[]).unwrap(), PathBuf::from("noon"));
        assert_eq!(one(&["eve", "/captures/noon"]).unwrap(), PathBuf::from("/captures/noon"));
        assert!(one(&["eve"]).unwrap_err().to_string().contains("--capture names others"));
    }
}
