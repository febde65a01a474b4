//! `diagnose`: which cause explains the refusals of a capture, and from which load on.

use std::{io::Write as _, process::ExitCode};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    app::verdict::{self, Judged},
    model::finding::{Conclusion, Verdict},
    query::{Capture, columns},
    report::verdict::{Subject, markdown, text},
};

use super::{Globals, Output, exit_code, output::Usage, reading};

/// Says which cause explains the refused requests, and from which load on
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only these exchanges are judged, the others are load: 'path~"/scripts/"' (see `ls --filter`)
    #[arg(short, long, value_name = "FILTER")]
    filter: Option<String>,
    /// What counts as refused: statuses such as 400,409 or 500-599, or a filter [default: as the profile says]
    #[arg(long, value_name = "STATUSES|FILTER")]
    refused: Option<String>,
    /// One JSON object
    #[arg(long, conflicts_with = "markdown")]
    json: bool,
    /// Markdown
    #[arg(long)]
    markdown: bool,
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let asked = columns::Options {
        filter: reading::filter(args.filter.as_deref())?,
        refused: args
            .refused
            .as_deref()
            .map(columns::RefusedBy::parse)
            .transpose()
            .map_err(|error| Usage(format!("--refused: {error}")))?,
    };
    let captures = reading::open_all(globals)?;
    let bar = progress(globals.quiet);
    let judged = verdict::judge(&captures, &asked, &mut |done| bar.set_position((done * 1000.0) as u64));
    bar.finish_and_clear();
    let Judged { verdict, .. } = judged?;
    let about = About::of(&captures, globals);
    let subject = about.subject();
    let mut out = Output::stdout();
    if args.json {
        out.json_line(&verdict)?;
    } else if args.markdown {
        out.write_all(markdown::full(&verdict, subject).as_bytes())?;
    } else {
        out.write_all(text::full(&verdict, subject).as_bytes())?;
    }
    out.flush()?;
    Ok(ExitCode::from(code(&verdict)))
}

/// The exit code of a verdict.
fn code(verdict: &Verdict) -> u8 {
    match verdict.result {
        Conclusion::Causes | Conclusion::NoCause | Conclusion::NoRefusals => exit_code::DONE,
        Conclusion::NotEnoughData | Conclusion::Withheld => exit_code::NOT_ENOUGH_DATA,
    }
}

/// What a report says of the captures themselves.
pub(super) struct About {
    names: String,
    profile: String,
    selector: String,
    began_at: String,
}

impl About {
    pub(super) fn of(captures: &[Capture], globals: &Globals) -> Self {
        let names: Vec<String> = captures.iter().map(|capture| capture.dir().name()).collect();
        let first = captures.first();
        Self {
            names: names.join(", "),
            profile: first.and_then(Capture::profile).map_or("generic", |profile| profile.name.as_str()).to_owned(),
            selector: reading::selector(globals),
            began_at: first.map(|capture| capture.dir().meta().started_at.clone()).unwrap_or_default(),
        }
    }

    pub(super) fn subject(&self) -> Subject<'_> {
        Subject { captures: &self.names, profile: &self.profile, selector: &self.selector, began_at: &self.began_at }
    }
}

/// A bar on standard error, where that is a terminal; not for what is done at once.
fn progress(quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr_with_hz(5) };
    let bar = ProgressBar::with_draw_target(Some(1000), target);
    match ProgressStyle::with_template("{bar:30} {percent:>3} %  {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
