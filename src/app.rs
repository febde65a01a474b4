//! The composition root: settings to a running proxy with its recorder, and its end.
//!
//! Everything is made here, in the order in which it can fail without leaving anything behind: settings, certificate
//! authority, listening sockets, and only then the capture on disk. No decision about traffic, rules or output is.

mod descriptors;
pub mod jtl;
mod metadata;
pub mod profile;
pub mod verdict;

use std::{
    io,
    net::SocketAddr,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use tokio::{runtime::Runtime, task::JoinHandle};

use crate::{
    api,
    ca::Authority,
    clock::Clock,
    config::{Problem, RedactionKey, Settings},
    inspect,
    model::Timestamp,
    profile::{Profile, Secrets},
    proxy::{self, Proxy},
    record::{Index, Inspection, Recorder, Summary},
    redact::{Find, Further},
    rules,
    shutdown::{self, Shutdown, Trigger},
    store::{CaptureDir, CaptureMeta},
};

/// A recording that runs.
pub struct Running {
    capture: CaptureDir,
    certificate: PathBuf,
    authority: Arc<Authority>,
    listeners: Vec<proxy::Listening>,
    clock: Clock,
    recorder: Recorder,
    server: api::Server,
    stop: Trigger,
    proxy: JoinHandle<()>,
}

/// The runtime that a recording lives in.
///
/// # Errors
/// Where the system gives no threads.
pub fn runtime() -> anyhow::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("relay")
        .build()
        .context("cannot start the threads of the relay (hint: ulimit -u)")
}

impl Running {
    /// Starts a recording. Must be called within a runtime. When it returns, all listeners accept.
    ///
    /// # Errors
    /// What keeps it from starting; nothing is left running then.
    pub fn start(settings: &Settings) -> anyhow::Result<Self> {
        let profile = profile::load(settings)?;
        // What is wrong with the settings comes before anything is touched.
        inspection(settings, &profile, RedactionKey([0; 32]))?;
        let authority = Arc::new(Authority::open_or_create(&settings.ca_dir())?);
        make_captures_folder(settings)?;
        let key = RedactionKey::load_or_create(settings)?;
        let inspection = inspection(settings, &profile, key)?;
        let clock = Clock::start();
        let options = recorded_options(settings, &inspection)?;
        let meta = CaptureMeta::new(clock.anchor(), options, Some(key.id()));
        let capture = CaptureDir::create(&settings.captures, settings.name.as_deref(), meta)?;
        let folder = capture.path().to_owned();
        let started = Self::start_in(capture, settings, authority, clock, inspection);
        if started.is_err() {
            // It holds nothing, and nobody has heard of it yet.
            let _ = std::fs::remove_dir_all(folder);
        }
        started
    }

    fn start_in(
        capture: CaptureDir,
        settings: &Settings,
        authority: Arc<Authority>,
        clock: Clock,
        inspection: Inspection,
    ) -> anyhow::Result<Self> {
        let redaction = inspection.inspector.clone();
        let (tap, recorder) = Recorder::start(capture.clone(), clock, settings.record.clone(), inspection)?;
        let mut options = settings.proxy.clone();
        options.max_connections = descriptors::connections(options.max_connections);
        if options.max_connections < settings.proxy.max_connections {
            tracing::info!(
                "at most {} connections at once, for want of open files (hint: ulimit -n)",
                options.max_connections
            );
        }
        let proxy = match Proxy::bind(options, tap, Arc::clone(&authority)) {
            Ok(proxy) => proxy,
            Err(error) => {
                recorder.stop()?;
                return Err(error.into());
            }
        };
        let listeners = proxy.addresses().to_vec();
        let server = api::Server::start(&capture, recorder.index(), redaction)?;
        let (stop, stopped) = shutdown::channel();
        let proxy = tokio::spawn(proxy.run(stopped));
        let certificate = absolute(&authority.certificate_path());
        Ok(Self { capture, certificate, authority, listeners, clock, recorder, server, stop, proxy })
    }

    /// Where it listens, in the order of the modes.
    pub fn listeners(&self) -> &[proxy::Listening] {
        &self.listeners
    }

    /// The address of the first listener that is a forward proxy.
    pub fn forward_address(&self) -> Option<SocketAddr> {
        self.listeners.iter().find(|listener| listener.mode == "forward").map(|listener| listener.address)
    }

    /// The capture's folder.
    pub fn capture(&self) -> &CaptureDir {
        &self.capture
    }

    /// The capture's folder, absolute.
    pub fn capture_path(&self) -> PathBuf {
        absolute(self.capture.path())
    }

    /// The certificate that clients are to trust, absolute.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Our certificate authority.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What a status line asks.
    pub fn index(&self) -> Arc<Index> {
        self.recorder.index()
    }

    /// The capture's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Says stop where recording failed and the settings say that the proxy stops then.
    pub fn failed(&self) -> Shutdown {
        self.recorder.failed()
    }

    /// Stops in order: listeners close, open connections get their drain, the capture is sealed and indexed to its end.
    /// Where `at_once` comes first, connections that are still open are cut.
    ///
    /// # Errors
    /// Where the capture's state could not be written, or a thread had panicked.
    pub async fn stop(mut self, at_once: impl Future<Output = ()>) -> anyhow::Result<Summary> {
        self.stop.stop();
        let drained = tokio::select! {
            ended = &mut self.proxy => ended,
            () = at_once => {
                self.proxy.abort();
                Ok(())
            }
        };
        let recorder = self.recorder;
        let summary = tokio::task::spawn_blocking(move || recorder.stop()).await?;
        self.server.stop().await;
        drained.context("the proxy has panicked; what it had recorded stands")?;
        Ok(summary?)
    }
}

/// The options for `capture.json`: as they are in force, with all that a reader needs to make the same rows.
fn recorded_options(settings: &Settings, inspection: &Inspection) -> Result<serde_json::Value, Problem> {
    let mut effective = settings.clone();
    effective.inspect.identity_headers.clone_from(&inspection.inspector.identity_headers);
    let mut options = effective.to_json();
    if let (Some(text), Some(options)) = (profile::text_to_record(settings)?, options.as_object_mut()) {
        options.insert(PROFILE_TEXT.to_owned(), text.into());
    }
    Ok(options)
}

/// The folder of captures, made for its owner alone where it is missing, and tried: a message here is clearer than one
/// from within the recorder.
fn make_captures_folder(settings: &Settings) -> anyhow::Result<()> {
    let dir = &settings.captures;
    let failed = |what: &str, error: io::Error| {
        let problem = settings.problem("captures", format!("the folder cannot be {what}: {error}"));
        // A failure and not a mistake: the same command works once the folder does.
        anyhow::anyhow!("{}", problem.hint("name another one with -w DIR"))
    };
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir).map_err(|error| failed("made", error))?;
    let probe = dir.join(format!(".probe-{}", std::process::id()));
    let tried = std::fs::File::create(&probe);
    let _ = std::fs::remove_file(&probe);
    tried.map(drop).map_err(|error| failed("written", error))
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The key in `capture.json`'s options under which a profile's text stands that came from a file: the file may change.
const PROFILE_TEXT: &str = "profile_text";

/// Whether a recording could be set up from these settings, as far as that can be told without starting it.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(settings: &Settings) -> anyhow::Result<()> {
    inspection(settings, &profile::load(settings)?, RedactionKey([0; 32]))?;
    Ok(())
}

/// How facts become rows and flags under these settings.
fn inspection(settings: &Settings, profile: &Profile, key: RedactionKey) -> Result<Inspection, Problem> {
    let metadata = match &settings.metadata {
        Some(filter) => metadata::matching(filter).map_err(|why| settings.problem("metadata", why))?,
        None => profile.metadata_with(metadata::matching).map_err(|why| settings.problem("profile", why))?,
    };
    let mut inspector =
        inspect::Options { redaction_key: key.0, secrets: settings.redact.clone(), ..settings.inspect.clone() };
    inspector.secrets.headers.extend(profile.secrets.headers.iter().cloned());
    inspector.secrets.fields.extend(profile.secrets.query.iter().chain(&profile.secrets.fields).cloned());
    if !profile.secrets.paths.is_empty() || !profile.secrets.frames.is_empty() {
        inspector.secrets.further =
            Further::new(Arc::new(Unnamed { secrets: profile.secrets.clone(), missing: profile.unresolved.clone() }));
    }
    if settings.origin("inspect.identity_headers").is_none() {
        inspector.identity_headers.clone_from(&profile.identity_headers);
    }
    inspector.profile = Some(Arc::new(profile.clone()));
    let rules = rules::Options {
        metadata,
        identity_headers: inspector.identity_headers.clone(),
        profile: inspector.profile.clone(),
        ..settings.rules.clone()
    };
    Ok(Inspection { inspector, rules, refused: profile.refused.clone() })
}

/// A profile's secrets that no name marks. Its module and the redactor's lie side by side: neither knows the other.
struct Unnamed {
    secrets: Secrets,
    /// What stands where a value is missing: rules are to name it.
    missing: Vec<String>,
}

impl Find for Unnamed {
    fn in_path(&self, path: &[u8]) -> Vec<Range<usize>> {
        let is_missing = |place: &Range<usize>| {
            path.get(place.clone()).is_some_and(|there| self.missing.iter().any(|word| word.as_bytes() == there))
        };
        let mut places = self.secrets.in_path(path);
        places.retain(|place| !is_missing(place));
        places
    }

    fn in_text(&self, text: &[u8]) -> Vec<Range<usize>> {
        self.secrets.in_frame(text)
    }
}

/// How a capture's facts become rows and flags: as they did when it was recorded, unless these settings say otherwise.
///
/// # Errors
/// Where the profile, the metadata filter or the redaction key cannot be used.
pub fn inspection_of(dir: &CaptureDir, settings: &Settings) -> anyhow::Result<Inspection> {
    let options = &dir.meta().options;
    let recorded_profile = options.get(PROFILE_TEXT).and_then(|text| text.as_str());
    let named = settings.origin("profile").is_some();
    let settings = settings.or_recorded(options);
    let profile = match recorded_profile.filter(|_| !named) {
        Some(text) => Profile::parse("the capture's profile", text)?,
        None => profile::load(&settings)?,
    };
    let captures = dir.path().parent().unwrap_or_else(|| Path::new("."));
    let key = RedactionKey::load(&settings, captures)?;
    if let (Some(key), Some(recorded)) = (key, &dir.meta().redaction_key)
        && key.id() != *recorded
    {
        tracing::warn!(
            "the redaction key here is {}, the capture was recorded with {recorded}: fingerprints that are made now \
             differ from those in its tables (hint: --redaction-key FILE names the right one)",
            key.id()
        );
    }
    // A capture that was copied without its key can be read; its fingerprints match none elsewhere.
    let key = key.unwrap_or(RedactionKey([0; 32]));
    inspection(&settings, &profile, key).context("the capture's own settings cannot be used")
}
