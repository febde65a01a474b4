//! The root: made at the first run, read ever after.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, PublicKeyData as _, date_time_ymd,
};
use rustls_pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    Error,
    leaf::{Leaf, Minter},
    leaf_cache::LeafCache,
};
use crate::clock;

/// The root's certificate, PEM. Clients are told to trust this file.
pub const CERTIFICATE_FILE: &str = "firstframe-ca.pem";
/// The root's private key, PKCS#8 PEM, mode 0600.
pub const KEY_FILE: &str = "firstframe-ca.key";

/// How long a root lives.
const ROOT_LIFE: Duration = Duration::from_secs(10 * 365 * 86_400);
/// How far a root's life begins before it was made: clients' clocks differ.
const ROOT_BACKDATED: Duration = Duration::from_secs(7 * 86_400);

/// Our certificate authority, with the leaves it has made.
#[derive(Debug)]
pub struct Authority {
    dir: PathBuf,
    pem: String,
    der: CertificateDer<'static>,
    minter: Minter,
    leaves: LeafCache,
}

impl Authority {
    /// Opens the authority in `dir`, and makes it (and the folder) where there is none.
    ///
    /// # Errors
    /// Where the folder or files cannot be read or written, where others can read the key, or where the files are damaged.
    pub fn open_or_create(dir: &Path) -> Result<Self, Error> {
        match (dir.join(KEY_FILE).exists(), dir.join(CERTIFICATE_FILE).exists()) {
            (false, false) => create(dir)?,
            // Another process may be making it.
            (true, false) => wait_for(dir)?,
            (_, true) => {}
        }
        Self::open(dir)
    }

    /// Opens the authority in `dir`.
    ///
    /// # Errors
    /// As [`Self::open_or_create`], and where there is none.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let (key_path, certificate_path) = (dir.join(KEY_FILE), dir.join(CERTIFICATE_FILE));
        match (key_path.exists(), certificate_path.exists()) {
            (true, true) => {}
            (true, false) => {
                return Err(Error::HalfThere { dir: dir.into(), present: KEY_FILE, missing: CERTIFICATE_FILE });
            }
            (false, true) => {
                return Err(Error::HalfThere { dir: dir.into(), present: CERTIFICATE_FILE, missing: KEY_FILE });
            }
            (false, false) => return Err(Error::Missing { dir: dir.into() }),
        }
        refuse_readable_by_others(&key_path)?;
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|source| Error::File { what: "cannot read", path: path.into(), source })
        };
        let (key_pem, pem) = (read(&key_path)?, read(&certificate_path)?);
        let key = KeyPair::from_pem(&key_pem).map_err(|error| Error::NotUsable {
            path: key_path.clone(),
            expected: "private key",
            why: error.to_string(),
        })?;
        let bad_certificate =
            |why: String| Error::NotUsable { path: certificate_path.clone(), expected: "certificate of this CA", why };
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| bad_certificate(error.to_string()))?;
        // The public key stands in a certificate bit for bit.
        if memchr::memmem::find(&der, key.der_bytes()).is_none() {
            return Err(bad_certificate(format!("it does not belong to the key in {KEY_FILE}")));
        }
        let issuer = Issuer::from_ca_cert_der(&der, key).map_err(|error| bad_certificate(error.to_string()))?;
        let minter = Minter::new(issuer)?;
        Ok(Self { dir: dir.into(), pem, der, minter, leaves: LeafCache::default() })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the root's certificate lies.
    pub fn certificate_path(&self) -> PathBuf {
        self.dir.join(CERTIFICATE_FILE)
    }

    /// The root's certificate as PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The root's certificate as DER.
    pub fn certificate_der(&self) -> &CertificateDer<'static> {
        &self.der
    }

    /// The leaf that stands in for `name` (a host name or an IP address). Its names are those of `like`, the server's own
    /// certificate, and `name`. Made once and kept; where several ask for it at once, one makes it and the others wait.
    ///
    /// # Errors
    /// Where the name is one that no certificate can bear.
    pub fn leaf(&self, name: &str, like: Option<&CertificateDer<'_>>) -> Result<Arc<Leaf>, Error> {
        self.leaves.find_or_mint(name, like, &self.minter)
    }

    /// How many leaves have been made so far.
    pub fn leaves_minted(&self) -> u64 {
        self.minter.minted()
    }
}

/// Makes key and certificate. Of several processes that do so at once, one wins and the others use what it made.
fn create(dir: &Path) -> Result<(), Error> {
    fs::create_dir_all(dir).map_err(|source| Error::File { what: "cannot create", path: dir.into(), source })?;
    let mint = |why: rcgen::Error| Error::Mint { name: "the CA itself".into(), why: why.to_string() };
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(mint)?;
    let mut params = CertificateParams::default();
    let now = Duration::from_nanos(u64::try_from(clock::wall_unix_ns()).unwrap_or_default());
    let begin = date_time_ymd(1970, 1, 1) + now.saturating_sub(ROOT_BACKDATED);
    (params.not_before, params.not_after) = (begin, begin + ROOT_LIFE);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    // The name differs per installation, so that two of our roots in one truststore do not shadow each other; so does
    // the serial number, which rcgen derives from the key as well.
    let tag: String = params.key_identifier(&key).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::OrganizationName, "Firstframe");
    subject.push(DnType::CommonName, format!("Firstframe CA {tag}"));
    params.distinguished_name = subject;
    let certificate = params.self_signed(&key).map_err(mint)?;

    // The key is published last and at once (a hard link does not replace a file), so that nobody sees half a CA of his.
    let temporary = |file: &str| dir.join(format!(".{file}.{tag}"));
    let (key_new, certificate_new) = (temporary(KEY_FILE), temporary(CERTIFICATE_FILE));
    let made = write_private(&key_new, &key.serialize_pem())
        .and_then(|()| write_public(&certificate_new, &certificate.pem()))
        .and_then(|()| publish(&key_new, &dir.join(KEY_FILE)))
        .and_then(|first| if first { rename(&certificate_new, &dir.join(CERTIFICATE_FILE)) } else { wait_for(dir) });
    let _ = fs::remove_file(&key_new);
    let _ = fs::remove_file(&certificate_new);
    made
}

fn publish(from: &Path, to: &Path) -> Result<bool, Error> {
    match fs::hard_link(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // A file system without hard links.
        Err(_) => rename(from, to).map(|()| true),
    }
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    fs::rename(from, to).map_err(|source| Error::File { what: "cannot write", path: to.into(), source })
}

/// Another process is between its two steps.
fn wait_for(dir: &Path) -> Result<(), Error> {
    for _ in 0..100 {
        if dir.join(CERTIFICATE_FILE).exists() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(Error::HalfThere { dir: dir.into(), present: KEY_FILE, missing: CERTIFICATE_FILE })
}

fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| Error::File { what: "cannot write", path: path.into(), source })
}

fn write_public(path: &Path, text: &str) -> Result<(), Error> {
    fs::write(path, text).map_err(|source| Error::File { what: "cannot write", path: path.into(), source })
}

#[cfg(unix)]
fn refuse_readable_by_others(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    let meta = fs::metadata(path).map_err(|source| Error::File { what: "cannot read", path: path.into(), source })?;
    let mode = meta.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(Error::KeyReadableByOthers { path: path.into(), mode });
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_readable_by_others(_: &Path) -> Result<(), Error> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_run_makes_it_and_the_second_reads_it() {
        let dir = tempfile::tempdir().unwrap();
        let first = Authority::open_or_create(dir.path()).unwrap();
        let second = Authority::open_or_create(dir.path()).unwrap();
        assert_eq!(first.certificate_der(), second.certificate_der());
        let other = Authority::open_or_create(tempfile::tempdir().unwrap().path()).unwrap();
        assert_ne!(first.certificate_der(), other.certificate_der());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing but the two files stays behind");
    }

    #[test]
    #[cfg(unix)]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        Authority::open_or_create(dir.path()).unwrap();
        let key = dir.path().join(KEY_FILE);
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
        for mode in [0o640, 0o604, 0o644] {
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).unwrap();
            let message = Authority::open_or_create(dir.path()).unwrap_err().to_string();
            assert!(message.contains(&format!("mode {mode:04o}")) && message.contains("chmod 600"), "{message}");
        }
    }

    #[test]
    fn half_a_ca_a_foreign_certificate_and_garbage_are_told_apart() {
        let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        Authority::open_or_create(dir.path()).unwrap();
        Authority::open_or_create(other.path()).unwrap();
        fs::copy(other.path().join(CERTIFICATE_FILE), dir.path().join(CERTIFICATE_FILE)).unwrap();
        let message = Authority::open(dir.path()).unwrap_err().to_string();
        assert!(message.contains("does not belong to the key"), "{message}");
        fs::write(dir.path().join(CERTIFICATE_FILE), "nonsense").unwrap();
        assert!(matches!(Authority::open(dir.path()).unwrap_err(), Error::NotUsable { .. }));
        fs::remove_file(dir.path().join(CERTIFICATE_FILE)).unwrap();
        assert!(matches!(Authority::open_or_create(dir.path()).unwrap_err(), Error::HalfThere { .. }));
        fs::remove_file(dir.path().join(KEY_FILE)).unwrap();
        assert!(matches!(Authority::open(dir.path()).unwrap_err(), Error::Missing { .. }));
    }

    #[test]
    fn several_first_runs_at_once_agree() {
        let dir = tempfile::tempdir().unwrap();
        let made: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(|| Authority::open_or_create(dir.path()))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let last = Authority::open(dir.path()).unwrap();
        for one in made {
            assert_eq!(one.unwrap().certificate_der(), last.certificate_der(), "who comes between the steps waits");
        }
    }
}
