//! `diagnose`: which cause explains the refusals of a capture, and from which load on.

use std::{io::Write as _, path::PathBuf, process::ExitCode};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    app::{
        jtl,
        verdict::{self, Judged},
    },
    model::finding::{Conclusion, Verdict},
    query::{Capture, columns},
    report::verdict::{Subject, html, markdown, text},
};

use super::{
    Globals, Output, exit_code,
    output::{Usage, say, write_whole},
    reading,
};

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
    /// JMeter's own record of the run, CSV: names threads and samplers, and shows where it differs from the wire
    #[arg(long, value_name = "FILE")]
    jtl: Option<PathBuf>,
    /// Writes a report with charts, one HTML file that needs no other, beside what is printed
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
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
    let beside = match (&args.jtl, captures.as_slice()) {
        (None, _) => None,
        (Some(path), [capture]) => Some(jtl::beside(capture, path)?),
        (Some(_), _) => return Err(Usage("--jtl: a JTL is joined with one capture (hint: -c NAME)".to_owned()).into()),
    };
    let bar = progress(globals.quiet);
    let selector = reading::lasting_selector(globals, &captures);
    let judged = verdict::judge(&captures, &asked, &selector, &mut |done| bar.set_position((done * 1000.0) as u64));
    bar.finish_and_clear();
    let Judged { verdict, columns } = judged?;
    let about = About::of(&captures, globals);
    let subject = about.subject();
    if let Some(path) = &args.html {
        write_whole(path, html::full(&verdict, &columns, beside.as_ref(), subject).as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
        if !globals.quiet {
            say(&format!("{} is written", path.display()));
        }
    }
    let mut out = Output::stdout();
    if args.json {
        let mut json = serde_json::to_value(&verdict)?;
        if let (Some(beside), Some(json)) = (&beside, json.as_object_mut()) {
            json.insert("jtl".to_owned(), beside.to_json());
        }
        out.json_line(&json)?;
    } else if args.markdown {
        out.write_all(markdown::full(&verdict, subject).as_bytes())?;
        if let Some(beside) = &beside {
            writeln!(out, "\n## JMeter's record\n\n```text\n{}```", beside.to_text().replace("```", "` ` `"))?;
        }
    } else {
        out.write_all(text::full(&verdict, subject).as_bytes())?;
        if let Some(beside) = &beside {
            write!(out, "\n{}", beside.to_text())?;
        }
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
