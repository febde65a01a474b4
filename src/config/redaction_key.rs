//! The key of the fingerprints that stand for secrets: one per captures folder, or a file that several machines share.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use super::{Problem, Settings};

/// The file's name in a captures folder.
pub const FILE: &str = "redaction.key";

const KEY: &str = "redaction_key";
const MAKE_ONE: &str = "`openssl rand -hex 32 > FILE && chmod 600 FILE` makes one";

/// The key itself. Not printed by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RedactionKey(pub [u8; 32]);

impl std::fmt::Debug for RedactionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RedactionKey({})", self.id())
    }
}

impl RedactionKey {
    /// Which key it is, for `capture.json`: tells two keys apart and nothing of either.
    pub fn id(&self) -> String {
        let hash = blake3::derive_key("firstframe 2026-11 the name of a redaction key", &self.0);
        hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The key that a recording into `settings.captures` uses; made where there is none.
    ///
    /// # Errors
    /// Where the file cannot be read or made, is not a key, or others can read it.
    pub fn load_or_create(settings: &Settings) -> Result<Self, Problem> {
        if let Some(key) = Self::load(settings, &settings.captures)? {
            return Ok(key);
        }
        let path = settings.captures.join(FILE);
        let mut bytes = [0; 32];
        let random = rustls::crypto::ring::default_provider().secure_random;
        random.fill(&mut bytes).map_err(|_| problem(settings, &path, "the system gives no random numbers"))?;
        match create(&path, &Self(bytes)) {
            Ok(()) => Ok(Self(bytes)),
            // Another recorder was faster: its key counts.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                read(&path).map_err(|why| problem(settings, &path, why))
            }
            Err(error) => Err(problem(settings, &path, format!("cannot be made: {error}"))),
        }
    }

    /// The key that captures in the folder `captures` were recorded with; `None` where there is none.
    ///
    /// # Errors
    /// Where the file is there and cannot be used, or `--redaction-key` names one that is not there.
    pub fn load(settings: &Settings, captures: &Path) -> Result<Option<Self>, Problem> {
        let (path, must_be_there) = match &settings.redaction_key {
            Some(path) => (path.clone(), true),
            None => (captures.join(FILE), false),
        };
        if !must_be_there && !path.exists() {
            return Ok(None);
        }
        read(&path).map(Some).map_err(|why| problem(settings, &path, why))
    }
}

fn problem(settings: &Settings, path: &Path, why: impl std::fmt::Display) -> Problem {
    let what = format!("the redaction key {} {why}", path.display());
    let problem = settings.problem(KEY, what).allowed("a file of 64 hexadecimal digits that its owner alone can read");
    problem.hint(MAKE_ONE)
}

fn read(path: &Path) -> Result<RedactionKey, String> {
    let metadata = fs::metadata(path).map_err(|error| format!("cannot be read: {error}"))?;
    refuse_readable_by_others(&metadata)?;
    if metadata.len() > 1024 {
        return Err(format!("has {} bytes", metadata.len()));
    }
    let text = fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    parse(text.trim()).ok_or_else(|| "holds something else".to_owned())
}

fn parse(text: &str) -> Option<RedactionKey> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut key = [0; 32];
    for (index, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(RedactionKey(key))
}

/// Written beside and linked into place, so that nobody reads half a key.
fn create(path: &Path, key: &RedactionKey) -> io::Result<()> {
    let hex: String = key.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let beside = PathBuf::from(format!("{}.{}", path.display(), std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&beside).and_then(|mut file| {
        writeln!(file, "{hex}")?;
        file.sync_all()
    });
    let linked = written.and_then(|()| fs::hard_link(&beside, path));
    let _ = fs::remove_file(&beside);
    linked
}

#[cfg(unix)]
fn refuse_readable_by_others(metadata: &fs::Metadata) -> Result<(), String> {
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    if mode & 0o077 == 0 { Ok(()) } else { Err(format!("has mode {mode:04o}, so that others can use it")) }
}

#[cfg(not(unix))]
fn refuse_readable_by_others(_metadata: &fs::Metadata) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    fn settings(set: impl FnOnce(&mut Settings)) -> Settings {
        let mut settings = Settings::default();
        set(&mut settings);
        settings
    }

    #[test]
    fn one_key_per_folder_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(|settings| settings.captures = folder.path().to_owned());
        assert_eq!(RedactionKey::load(&settings, folder.path()), Ok(None));
        let key = RedactionKey::load_or_create(&settings).unwrap();
        assert_eq!(RedactionKey::load_or_create(&settings), Ok(key), "the same ever after");
        assert_eq!(RedactionKey::load(&settings, folder.path()), Ok(Some(key)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left");
        assert_ne!(key.0, [0; 32]);
        assert!(!format!("{key:?}").contains(&format!("{:02x}{:02x}{:02x}", key.0[0], key.0[1], key.0[2])));

        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let path = folder.path().join(FILE);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            let refused = RedactionKey::load_or_create(&settings).unwrap_err().to_string();
            assert!(refused.contains("has mode 0640") && refused.contains("hint: "), "{refused}");
        }
    }

    #[test]
    fn a_given_key_must_be_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("team.key");
        let settings = settings(|settings| settings.redaction_key = Some(path.clone()));
        assert!(RedactionKey::load_or_create(&settings).is_err(), "it is not made where it was asked for by name");
        create(&path, &RedactionKey([7; 32])).unwrap();
        assert_eq!(RedactionKey::load_or_create(&settings), Ok(RedactionKey([7; 32])));
        fs::write(&path, "secret").unwrap();
        let refused = RedactionKey::load_or_create(&settings).unwrap_err().to_string();
        assert!(refused.contains("holds something else: expected a file of 64 hexadecimal digits"), "{refused}");
    }
}
