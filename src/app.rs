//! The composition root: settings to a running proxy with its recorder, and its end.

use std::path::Path;

use anyhow::Context as _;

use crate::{
    config::{Problem, RedactionKey, Settings},
    inspect,
    profile::{Metadata, MetadataSpec, Profile},
    record::Inspection,
    rules,
    store::CaptureDir,
};

/// The key in `capture.json`'s options under which a profile's text stands that came from a file: the file may change.
const PROFILE_TEXT: &str = "profile_text";

/// Whether a recording could be set up from these settings, as far as that can be told without starting it.
///
/// # Errors
/// The first thing that is wrong.
pub fn check(settings: &Settings) -> anyhow::Result<()> {
    inspection(settings, &load_profile(settings)?, RedactionKey([0; 32]))?;
    Ok(())
}

/// How facts become rows and flags under these settings.
fn inspection(settings: &Settings, profile: &Profile, key: RedactionKey) -> Result<Inspection, Problem> {
    let filter = match (&settings.metadata, &profile.metadata) {
        (Some(filter), _) | (None, MetadataSpec::Filter(filter)) => Some(filter),
        (None, MetadataSpec::FirstAfterUpgrade) => None,
    };
    let metadata = match filter {
        Some(filter) => metadata_filter(settings, filter)?,
        None => Metadata::FirstAfterUpgrade,
    };
    let mut inspector =
        inspect::Options { redaction_key: key.0, secrets: settings.redact.clone(), ..settings.inspect.clone() };
    if settings.origin("inspect.identity_headers").is_none() {
        inspector.identity_headers.clone_from(&profile.identity_headers);
    }
    let rules = rules::Options {
        metadata,
        identity_headers: inspector.identity_headers.clone(),
        off: settings.rules.off.clone(),
    };
    Ok(Inspection { inspector, rules, refused: profile.refused.clone() })
}

/// How a capture's facts become rows and flags: as they did when it was recorded, unless these settings say otherwise.
///
/// # Errors
/// Where the profile, the metadata filter or the redaction key cannot be used.
pub fn inspection_of(dir: &CaptureDir, settings: &Settings) -> anyhow::Result<Inspection> {
    let options = &dir.meta().options;
    let recorded_profile = options.get(PROFILE_TEXT).and_then(|text| text.as_str());
    let profile = match (settings.origin("profile"), recorded_profile) {
        (None, Some(text)) => Profile::parse("the capture's profile", text)?,
        _ => load_profile(settings)?,
    };
    let settings = settings.or_recorded(options);
    let captures = dir.path().parent().unwrap_or(Path::new("."));
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

/// The profile that the settings name.
fn load_profile(settings: &Settings) -> Result<Profile, Problem> {
    let wrong = |why: String| settings.problem("profile", why);
    match profile_file(settings)? {
        None => Profile::named(&settings.profile).map_err(|error| wrong(error.to_string())),
        Some(text) => Profile::parse(&settings.profile, &text).map_err(|error| wrong(error.to_string())),
    }
}

/// The profile's text where a file is named: what has a folder or `.toml` in it, and is not built in.
fn profile_file(settings: &Settings) -> Result<Option<String>, Problem> {
    let path = Path::new(&settings.profile);
    let is_path = path.components().count() > 1 || path.extension().is_some_and(|extension| extension == "toml");
    if !is_path {
        return Ok(None);
    }
    let text = std::fs::read_to_string(path);
    text.map(Some).map_err(|error| settings.problem("profile", format!("cannot be read: {error}")))
}

fn metadata_filter(settings: &Settings, _filter: &str) -> Result<Metadata, Problem> {
    Err(settings.problem("metadata", "filters are being built"))
}
