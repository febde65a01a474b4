//! Which profile is meant, and reading it with the files it names.

use std::path::Path;

use crate::{
    config::{Problem, Settings},
    profile::Profile,
};

/// Larger files are none that people write.
const MAX_BYTES: u64 = 4 << 20;

/// The profile that the settings name.
pub(super) fn load(settings: &Settings) -> Result<Profile, Problem> {
    find(&settings.profile).map_err(|why| settings.problem("profile", why))
}

/// The profile's own text where a file is named, complete in itself: the file, and those it names, may change.
pub(super) fn text_to_record(settings: &Settings) -> Result<Option<String>, Problem> {
    if !is_path(&settings.profile) {
        return Ok(None);
    }
    let profile = load(settings)?;
    profile.to_toml().map(Some).map_err(|error| settings.problem("profile", error.to_string()))
}

/// A built-in profile by its name, or one from a file: what has a folder or `.toml` in it.
///
/// # Errors
/// Why it cannot be had, in one line.
pub fn find(name: &str) -> Result<Profile, String> {
    if is_path(name) { from_file(Path::new(name)) } else { Profile::named(name).map_err(|error| error.to_string()) }
}

/// Whether a recording could use a profile; all but its filter has been looked at when it was read.
///
/// # Errors
/// What is wrong with its filter.
pub fn check(profile: &Profile) -> Result<(), String> {
    let metadata = profile.metadata_with(super::metadata::matching);
    metadata.map(drop).map_err(|why| format!("`metadata.filter` is no filter for requests: {why}"))
}

/// The profile in a file, with the files beside it that it names.
///
/// # Errors
/// Why it cannot be had, in one line.
pub fn from_file(path: &Path) -> Result<Profile, String> {
    let name = path.display().to_string();
    let text = read(path).map_err(|why| format!("{name}: cannot be read: {why}"))?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    Profile::parse_with(&name, &text, &mut |file| read(&folder.join(file))).map_err(|error| error.to_string())
}

fn is_path(name: &str) -> bool {
    let path = Path::new(name);
    path.components().count() > 1 || path.extension().is_some_and(|extension| extension == "toml")
}

fn read(path: &Path) -> Result<String, String> {
    let size = std::fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size > MAX_BYTES {
        return Err(format!("it has {size} bytes, at most {MAX_BYTES} are allowed"));
    }
    std::fs::read_to_string(path).map_err(|error| error.to_string())
}
