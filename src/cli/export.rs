//! `export`: the evidence in other tools' formats, redacted unless told otherwise.

use std::{
    cell::RefCell,
    fs,
    io::{self, Write as _},
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::builder::PossibleValuesParser;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{
    export::{self, FORMATS, Format, Job, Options, Report, Target},
    model::{flag::Subject, rows::Row},
    query::{About, Capture, Filter, Kind, Query},
    redact::{Lengths, Scrubber},
};

use super::{
    Globals, Output, bundle, exit_code,
    output::{Usage, say},
    reading,
};

/// Writes a capture in another tool's format, with fingerprints in the place of secrets
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The format
    #[arg(long, value_name = "FORMAT", value_parser = PossibleValuesParser::new(FORMATS.iter().map(|format| format.id).chain([BUNDLE])), long_help = formats())]
    format: String,
    /// The file to write, - for standard output [default: CAPTURE.EXTENSION here]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only exchanges for which this holds
    #[arg(short, long, value_name = "FILTER")]
    filter: Option<String>,
    /// Only what belongs to this session (s7)
    #[arg(long, value_name = "ID", value_parser = parse_session)]
    session: Option<Subject>,
    /// Write over a file that is there
    #[arg(long)]
    force: bool,
    /// Leave secrets as they are
    #[arg(long)]
    keep_secrets: bool,
    /// Give fingerprints the lengths of the secrets
    #[arg(long, conflicts_with = "keep_secrets")]
    keep_lengths: bool,
    /// Leave out bodies and messages that are larger [default: 16777216]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..=1 << 30))]
    body_limit: Option<u64>,
    /// Which rows, for ndjson: connections, exchanges, frames, sessions, flags; repeatable
    #[arg(long, value_name = "KIND", value_parser = parse_kind)]
    rows: Vec<Kind>,
    /// Leave sockets out, for a JMeter without the WebSocket Samplers plugin (jmx)
    #[arg(long)]
    without_websocket: bool,
    /// Put the TLS keys of this SSLKEYLOGFILE into the file (pcapng)
    #[arg(long, value_name = "FILE", requires = "keep_secrets")]
    tls_keys: Option<PathBuf>,
    /// One file for each connection, in this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["output", "session"])]
    per_connection: Option<PathBuf>,
}

/// What is composed of others; see `bundle`.
const BUNDLE: &str = "bundle";

fn formats() -> String {
    let lines = FORMATS.iter().map(|format| (format.id, format.summary));
    let lines =
        lines.chain([(BUNDLE, "one zip for a support ticket: HAR, correlation ids, verdict, control group, hashes")]);
    let lines = lines.map(|(id, summary)| format!("  {id:8} {summary}"));
    format!("The format:\n{}", lines.collect::<Vec<_>>().join("\n"))
}

fn parse_session(text: &str) -> Result<Subject, String> {
    match text.parse() {
        Ok(id @ Subject::Session(_)) => Ok(id),
        Ok(other) => {
            Err(format!("{other} is no session: expected one like s7 (hint: `firstframe ls sessions` lists them)"))
        }
        Err(error) => Err(error.to_string()),
    }
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    text.parse().map_err(|error: crate::query::source::UnknownKind| error.to_string())
}

/// Runs it.
pub(super) fn run(args: Args, globals: &Globals) -> anyhow::Result<ExitCode> {
    let filter = reading::filter(args.filter.as_deref())?;
    let format = export::format(&args.format);
    let extension = format.map_or("zip", |format| format.extension);
    if format.is_none() && (args.per_connection.is_some() || args.output.as_deref() == Some(Path::new("-"))) {
        return Err(Usage("--format bundle: expected one file: -o FILE".to_owned()).into());
    }
    let options = Options {
        body_limit: args.body_limit.unwrap_or_else(|| Options::default().body_limit),
        keep_secrets: args.keep_secrets,
        lengths: if args.keep_lengths { Lengths::Kept } else { Lengths::Free },
        rows: args.rows.clone(),
        websocket: !args.without_websocket,
        tls_keys: args
            .tls_keys
            .as_ref()
            .map(|path| fs::read(path).with_context(|| format!("cannot read --tls-keys {}", path.display())))
            .transpose()?,
    };
    let capture = reading::open(globals)?;
    let about = match args.session {
        Some(id @ Subject::Session(session)) => {
            // Says which there are, where there is none.
            capture.show(id, crate::query::Secrets::Fingerprints)?;
            Some(About::Session(session))
        }
        _ => None,
    };
    if args.keep_secrets {
        say("WARNING: --keep-secrets: tokens, cookies and passwords leave as they were sent; treat the file like them");
    }
    let bar = bar(globals.quiet);
    bar.set_message("collecting secrets");
    let progress = |count: u64| bar.set_position(count);
    // What stands there is said before the work, not behind it.
    let path = target_of(&args, &capture, extension);
    if let Some(path) = &path {
        Target::check(path, args.force)?;
    }
    let collected = export::collect(&capture, &options, &progress)?;
    let (scrubber, sockets) = (RefCell::new(collected.scrubber), collected.sockets);
    let nameless = &collected.nameless;
    let work = Work {
        capture: &capture,
        filter: filter.as_ref(),
        scrubber: &scrubber,
        sockets,
        nameless,
        options: &options,
        progress: &progress,
    };
    bar.set_message(format!("writing {}", args.format));
    let mut report = match (format, &args.per_connection, &path) {
        (None, _, path) => {
            let path = path.as_deref().unwrap_or_else(|| Path::new("bundle.zip"));
            let mut target = Target::create(path, args.force)?;
            let report = bundle::write(&work, about, &reading::selector(globals), &mut target)?;
            target.finish()?;
            report
        }
        (Some(format), Some(folder), _) => work.per_connection(format, folder, args.force)?,
        (Some(format), None, Some(path)) => work.file(format, about, path, args.force)?,
        (Some(format), None, None) => {
            let mut output = Output::stdout();
            let report = work.write(format, about, &mut output)?;
            output.flush()?;
            report
        }
    };
    bar.finish_and_clear();
    // `reading::open` has said so as well; here it stands with what else is not in the file.
    if let Some(gone) = capture.gone() {
        report.left_out("requests that retention dropped, with what was said on sockets until then", gone.exchanges);
    }
    if !globals.quiet {
        let to = args.per_connection.as_deref().or(path.as_deref());
        summary(&report, to);
    }
    Ok(ExitCode::from(exit_code::DONE))
}

/// What all files of one run share.
#[derive(Clone, Copy)]
pub(super) struct Work<'w> {
    pub(super) capture: &'w Capture,
    pub(super) filter: Option<&'w Filter>,
    pub(super) scrubber: &'w RefCell<Scrubber>,
    pub(super) sockets: Option<bool>,
    pub(super) nameless: &'w export::Nameless,
    pub(super) options: &'w Options,
    pub(super) progress: &'w dyn Fn(u64),
}

impl Work<'_> {
    pub(super) fn write(
        &self,
        format: &Format,
        about: Option<About>,
        out: &mut dyn io::Write,
    ) -> Result<Report, export::Error> {
        let Self { capture, filter, scrubber, sockets, nameless, options, progress } = *self;
        let report = Report::default();
        let mut job = Job { capture, filter, about, scrubber, sockets, nameless, options, report, progress };
        (format.write)(&mut job, out)?;
        Ok(job.report)
    }

    fn file(&self, format: &Format, about: Option<About>, path: &Path, force: bool) -> Result<Report, export::Error> {
        let mut target = Target::create(path, force)?;
        let report = self.write(format, about, &mut target)?;
        target.finish()?;
        Ok(report)
    }

    fn per_connection(&self, format: &Format, folder: &Path, force: bool) -> anyhow::Result<Report> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let mut connections = Vec::new();
        self.capture.list(Kind::Connections, Query::default(), &mut |row| {
            if let Row::Connection(row) = row
                && row.exchanges > 0
            {
                connections.push(row.id);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut all = Report::default();
        for connection in connections {
            let path = folder.join(format!("{connection}.{}", format.extension));
            let report = self.file(format, Some(About::Connection(connection)), &path, force)?;
            report.written.iter().for_each(|(what, count)| all.wrote(what, *count));
            report.left_out.iter().for_each(|(what, count)| all.left_out(what.as_str(), *count));
            all.wrote("files", 1);
        }
        Ok(all)
    }
}

/// Where it goes; `None` is standard output.
fn target_of(args: &Args, capture: &Capture, extension: &str) -> Option<PathBuf> {
    match &args.output {
        Some(path) if path.as_os_str() == "-" => None,
        Some(path) => Some(path.clone()),
        None if args.per_connection.is_some() => None,
        None => Some(PathBuf::from(format!("{}.{extension}", capture.dir().name()))),
    }
}

/// What was written and what was not, on standard error.
fn summary(report: &Report, to: Option<&Path>) {
    let written: Vec<String> = report.written.iter().map(|(what, count)| format!("{count} {what}")).collect();
    let written = if written.is_empty() { "nothing".to_owned() } else { written.join(", ") };
    match to {
        Some(path) => say(&format!("{}: {written}", path.display())),
        None => say(&format!("written: {written}")),
    }
    for (what, count) in &report.left_out {
        say(&format!("left out: {count} {what}"));
    }
}

fn bar(quiet: bool) -> ProgressBar {
    let target = if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = ProgressBar::with_draw_target(None, target);
    match ProgressStyle::with_template("{spinner} {msg}: {pos} exchanges  {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
