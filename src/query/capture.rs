//! An opened capture: finds out who holds it, and asks there.

use std::{io::Write, path::Path};

use crate::{
    model::{Timestamp, WallAnchor, flag::Subject, rows::Row},
    profile::{Profile, Refused},
    record::{self, Inspection, Snapshot},
    redact::{Collector, Redactor},
    store::{self, CaptureDir, LockState, State, retention},
};

use super::{
    Error,
    bytes::Copied,
    client::Client,
    list::{self, Each, Query, Secrets},
    raw::{self, Part},
    show,
    source::{Kind, Shelf},
};

/// A capture opened for reading.
pub struct Capture {
    dir: CaptureDir,
    inspection: Inspection,
    held: Held,
    notes: Vec<String>,
    gone: Option<Gone>,
}

/// What retention took from a capture's begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone {
    /// The oldest segment that is there.
    pub oldest: u64,
    /// Requests whose rows and bytes have gone; 0 where that was not counted.
    pub exchanges: u64,
    /// Where what is there begins, on the capture's clock.
    pub begins_ns: Timestamp,
}

impl Gone {
    /// Nothing where all is there.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn of(dir: &CaptureDir) -> Result<Option<Self>, store::Error> {
        let retained = retention::read_retained(dir)?.filter(|retained| retained.segment > 1);
        Ok(retained.map(|kept| Self { oldest: kept.segment, exchanges: kept.exchanges, begins_ns: kept.begins_ns }))
    }
}

impl std::fmt::Display for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let begins = self.begins_ns.0 as f64 / 1e9;
        write!(f, "retention dropped what was recorded before +{begins:.3} s, ")?;
        match self.exchanges {
            0 => write!(f, "segments up to {:06}", self.oldest - 1),
            1 => write!(f, "1 request"),
            many => write!(f, "{many} requests"),
        }
    }
}

pub(super) enum Held {
    Files(Standing, Snapshot),
    Recorder(Client),
}

/// Who holds a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody: it is over.
    Finished,
    /// A recorder that answers.
    Running,
    /// Nobody any more: its recorder ended without sealing it.
    Killed,
}

impl Standing {
    /// In a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Running => "running",
            Self::Killed => "killed",
        }
    }

    /// As far as it shows without opening it.
    pub fn of(dir: &CaptureDir) -> Result<Self, store::Error> {
        Ok(match (dir.lock_state()?, &dir.meta().state) {
            (LockState::Running, _) => Self::Running,
            (LockState::Free, State::Recording) => Self::Killed,
            (LockState::Free, State::Clean | State::Incomplete { .. }) => Self::Finished,
        })
    }
}

impl Capture {
    /// Opens the capture that `which` names, a name in the folder `captures` or a path; the newest where it names none.
    /// Nothing is written. `inspection` tells how rows are made and redacted where that has to be done here.
    ///
    /// # Errors
    /// Where there is none; the message says where it was looked for, and what to do.
    pub fn open(captures: &Path, which: Option<&str>, inspection: Inspection) -> Result<Self, Error> {
        Self::open_dir(CaptureDir::resolve(captures, which)?, inspection)
    }

    /// Opens the capture in a folder.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_dir(mut dir: CaptureDir, inspection: Inspection) -> Result<Self, Error> {
        let gone = Gone::of(&dir)?;
        let mut notes: Vec<String> = gone.iter().map(|gone| format!("{gone}: this is the rest")).collect();
        let mut standing = Standing::of(&dir)?;
        if standing == Standing::Running {
            match Client::connect(&dir) {
                Ok(client) => return Ok(Self { dir, inspection, held: Held::Recorder(client), notes, gone }),
                Err(error) => {
                    // It may have ended meanwhile. Else it starts, stops, or is being reindexed: the files are there.
                    dir.reload()?;
                    standing = if dir.meta().state == State::Recording { Standing::Killed } else { Standing::Finished };
                    if dir.lock_state()? == LockState::Running {
                        notes.push(format!(
                            "another process writes this capture and does not answer at {}: {error}; reading its files",
                            dir.socket_path().display()
                        ));
                    } else {
                        dir.reload()?;
                        standing = Standing::of(&dir)?;
                    }
                }
            }
        }
        if let State::Incomplete { from_ns, why } = &dir.meta().state {
            let from = from_ns.map(|from| format!(" from +{:.3} s on", from.0 as f64 / 1e9)).unwrap_or_default();
            notes.push(format!("this capture is incomplete{from}: {why}"));
        }
        let rows = record::index_tail(&dir, &inspection)?;
        match standing {
            Standing::Killed if in_memory(&rows) => notes.push(format!(
                "the recorder of {} ended without sealing it; what its files hold beyond the tables is indexed in memory \
                 (hint: `firstframe reindex` does it for good)",
                dir.name()
            )),
            Standing::Killed => notes.push(format!("the recorder of {} ended without sealing it", dir.name())),
            // Tables were deleted, or could not be written.
            Standing::Finished if in_memory(&rows) => notes.push(format!(
                "tables of {} are missing; its segments are indexed in memory (hint: `firstframe reindex` makes them anew)",
                dir.name()
            )),
            Standing::Finished | Standing::Running => {}
        }
        Ok(Self { dir, inspection, held: Held::Files(standing, rows), notes, gone })
    }

    /// Who holds it.
    pub fn standing(&self) -> Standing {
        match &self.held {
            Held::Files(standing, _) => *standing,
            Held::Recorder(_) => Standing::Running,
        }
    }

    /// What a person should be told of its state, each a sentence; most captures have none.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The capture's folder.
    pub fn dir(&self) -> &CaptureDir {
        &self.dir
    }

    /// The wall time of its start.
    pub fn anchor(&self) -> WallAnchor {
        self.dir.meta().anchor
    }

    /// Its recorder, while one runs.
    pub fn recorder(&self) -> Option<&Client> {
        match &self.held {
            Held::Recorder(client) => Some(client),
            Held::Files(..) => None,
        }
    }

    /// What is known of its API.
    pub fn profile(&self) -> Option<&Profile> {
        self.inspection.rules.profile.as_deref()
    }

    /// The headers that name virtual users.
    pub fn identity_headers(&self) -> &[String] {
        &self.inspection.inspector.identity_headers
    }

    /// The statuses that count as refused.
    pub fn refused(&self) -> &Refused {
        &self.inspection.refused
    }

    /// Whether everything that passed is in it.
    pub fn is_whole(&self) -> bool {
        self.dir.meta().state == State::Clean && self.gone.is_none()
    }

    /// What retention took from its begin.
    pub fn gone(&self) -> Option<Gone> {
        self.gone
    }

    pub(super) fn held(&self) -> &Held {
        &self.held
    }

    /// A fresh redactor with this capture's key.
    pub fn redactor(&self) -> Redactor {
        let inspector = &self.inspection.inspector;
        Redactor::with_options(inspector.redaction_key, &inspector.secrets)
    }

    /// Collects this capture's secrets, with its key.
    pub fn collector(&self) -> Collector {
        let inspector = &self.inspection.inspector;
        Collector::new(inspector.redaction_key, &inspector.secrets)
    }

    /// Hands out the rows of a kind in the order of ids, flags in that of instants.
    ///
    /// # Errors
    /// Where the filter is none, or tables or segments cannot be read.
    pub fn list(&self, kind: Kind, query: Query<'_>, each: &mut Each<'_>) -> Result<(), Error> {
        match &self.held {
            Held::Files(_, rows) => list::list(self.shelf(rows), kind, query, each),
            Held::Recorder(client) => client.list(kind, query, each),
        }
    }

    /// The row that an id names.
    ///
    /// # Errors
    /// [`Error::UnknownId`] where there is none; it tells which there are.
    pub fn show(&self, id: Subject, secrets: Secrets) -> Result<Row, Error> {
        match &self.held {
            Held::Files(_, rows) => show(self.shelf(rows), id, secrets),
            Held::Recorder(client) => client.show(id, secrets),
        }
    }

    /// Copies exact bytes, secrets included, from the segments; at most `limit` where there is one. Tells what of them
    /// is missing. A running capture's recorder is only asked where they lie.
    ///
    /// # Errors
    /// Where there is no such id, it has no such part, or the segments cannot be read or `out` not be written.
    pub fn raw(&self, id: Subject, part: Part, limit: Option<u64>, out: &mut dyn Write) -> Result<Copied, Error> {
        raw::copy(&self.dir, &self.show(id, Secrets::Fingerprints)?, part, limit, out)
    }

    fn shelf<'s>(&'s self, rows: &'s Snapshot) -> Shelf<'s> {
        Shelf { dir: &self.dir, rows, redaction: &self.inspection.inspector }
    }
}

/// Whether any rows had to be made here.
fn in_memory(rows: &Snapshot) -> bool {
    !rows.open.is_empty() || rows.recent.iter().any(|block| !block.is_empty())
}
