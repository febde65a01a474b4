//! `--junit FILE`: the flags of a finished recording as a JUnit report, beside what else the subcommand says.

use std::{
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use super::{output::Usage, reading::quoted};
use crate::{
    app,
    config::Settings,
    model::rows::Row,
    query::{Capture, Kind, Query},
    record::Totals,
    report::junit::{Fails, Flagged, Recording, document},
    store::{CaptureDir, State},
};

/// The option.
#[derive(Debug, clap::Args)]
pub(super) struct JunitArg {
    /// Writes the flags as JUnit XML too: a suite for each group of rules, a case for each rule
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

/// Where a report goes.
pub(super) struct Junit(PathBuf);

impl JunitArg {
    /// Where the report goes, if one is wanted.
    ///
    /// # Errors
    /// Where no file could be made there: said before anything runs, not after it.
    pub(super) fn target(&self) -> Result<Option<Junit>, Usage> {
        let Some(path) = &self.junit else { return Ok(None) };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
        let wrong = |what: String| Err(Usage(format!("--junit {}: {what}", path.display())));
        if path.is_dir() {
            return wrong("this is a folder: expected a file".to_owned());
        }
        if !folder.is_dir() {
            return wrong(format!("there is no folder {} (hint: mkdir -p makes it)", folder.display()));
        }
        Ok(Some(Junit(path.clone())))
    }
}

impl Junit {
    /// Writes the report of the capture in that folder, which is finished.
    pub(super) fn write(
        &self,
        capture: &Path,
        settings: &Settings,
        totals: &Totals,
        fails: Fails<'_>,
    ) -> anyhow::Result<()> {
        let dir = CaptureDir::open(capture)?;
        let inspection = app::inspection_of(&dir, settings)?;
        let options = inspection.rules.clone();
        let capture = Capture::open_dir(dir, inspection)?;
        let mut flagged = Flagged::default();
        capture.list(Kind::Flags, Query::default(), &mut |row| {
            if let Row::Flag(flag) = row {
                flagged.add(flag, fails);
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let dir = capture.dir();
        let incomplete = match &dir.meta().state {
            State::Incomplete { why, .. } => Some(why.as_str()),
            State::Recording | State::Clean => None,
        };
        let recording = Recording {
            name: &dir.name(),
            started_at: &dir.meta().started_at,
            selector: &format!(" -c {}", quoted(&dir.path().to_string_lossy())),
            totals,
            incomplete,
        };
        let document = document(recording, &flagged, &options).context("cannot write the JUnit report")?;
        fs::write(&self.0, document).with_context(|| format!("cannot write {}", self.0.display()))
    }
}
