//! Files that make clients trust us. Several settings (`SSL_CERT_FILE`, `REQUESTS_CA_BUNDLE`, Java's `trustStore`)
//! *replace* the client's own roots, so every bundle here holds the system's roots and ours.

use std::fmt::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use p12_keystore::{Certificate, KeyStore, KeyStoreEntry};
use rustls_pki_types::CertificateDer;

use super::{Authority, Error};

/// The password of the PKCS#12 truststore: Java's customary one. It protects nothing, certificates are public.
pub const PASSWORD: &str = "changeit";

/// The system's root certificates.
#[derive(Debug, Default)]
pub struct SystemRoots {
    /// What could be read.
    pub certificates: Vec<CertificateDer<'static>>,
    /// What could not, in words.
    pub problems: Vec<String>,
}

impl SystemRoots {
    /// Reads them from where the platform keeps them (or `SSL_CERT_FILE`/`SSL_CERT_DIR`).
    pub fn load() -> Self {
        let found = rustls_native_certs::load_native_certs();
        Self { certificates: found.certs, problems: found.errors.iter().map(ToString::to_string).collect() }
    }
}

/// The root alone, as DER.
pub fn der(authority: &Authority) -> &[u8] {
    authority.certificate_der()
}

/// The system's roots and ours, as PEM; ours comes first.
pub fn pem_bundle(authority: &Authority, system: &SystemRoots) -> String {
    let mut text = String::from("# Firstframe's own CA\n");
    text.push_str(authority.certificate_pem().trim_end());
    text.push_str("\n# The roots of this system\n");
    for certificate in &system.certificates {
        push_pem(&mut text, certificate);
    }
    text
}

/// The system's roots and ours, as a PKCS#12 truststore that Java 8u301 and later reads; password [`PASSWORD`].
///
/// # Errors
/// Where our own root cannot be stored. Roots of the system that cannot are left out.
pub fn pkcs12(authority: &Authority, system: &SystemRoots) -> Result<Vec<u8>, Error> {
    let error = |why: p12_keystore::error::Error| Error::Truststore(why.to_string());
    let mut store = KeyStore::new();
    let ours = Certificate::from_der(authority.certificate_der()).map_err(error)?;
    for (number, certificate) in system.certificates.iter().enumerate() {
        if let Ok(certificate) = Certificate::from_der(certificate) {
            store.add_entry(&format!("system-{number:03}"), KeyStoreEntry::Certificate(certificate));
        }
    }
    store.add_entry("firstframe", KeyStoreEntry::Certificate(ours));
    store.writer(PASSWORD).write().map_err(error)
}

fn push_pem(text: &mut String, der: &[u8]) {
    text.push_str("-----BEGIN CERTIFICATE-----\n");
    let encoded = STANDARD.encode(der);
    for line in encoded.as_bytes().chunks(64) {
        let _ = writeln!(text, "{}", String::from_utf8_lossy(line));
    }
    text.push_str("-----END CERTIFICATE-----\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use p12_keystore::Pkcs12ImportPolicy;
    use rustls_pki_types::pem::PemObject as _;

    fn fixture() -> (Authority, SystemRoots) {
        let authority = Authority::open_or_create(tempfile::tempdir().unwrap().path()).unwrap();
        let root = rcgen::generate_simple_self_signed(["root.test".to_owned()]).unwrap();
        let junk = CertificateDer::from(vec![1, 2, 3]);
        (authority, SystemRoots { certificates: vec![root.cert.der().clone(), junk], problems: Vec::new() })
    }

    #[test]
    fn the_bundle_holds_ours_and_the_systems() {
        let (authority, system) = fixture();
        let bundle = pem_bundle(&authority, &system);
        let read: Vec<_> = CertificateDer::pem_slice_iter(bundle.as_bytes()).map(Result::unwrap).collect();
        let mut expected = vec![authority.certificate_der().clone()];
        expected.extend(system.certificates);
        assert_eq!(read, expected);
    }

    #[test]
    fn the_truststore_holds_ours_and_the_systems_as_trusted() {
        let (authority, system) = fixture();
        let bytes = pkcs12(&authority, &system).unwrap();
        // `Strict` reads none but trusted certificates.
        let store = KeyStore::from_pkcs12(&bytes, PASSWORD, Pkcs12ImportPolicy::Strict).unwrap();
        assert_eq!(store.entries_len(), 2);
        let Some(KeyStoreEntry::Certificate(ours)) = store.entry("firstframe") else { unreachable!() };
        assert_eq!(ours.as_der(), der(&authority));
    }

    #[test]
    fn java_lists_the_truststore() {
        let (authority, system) = fixture();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pkcs12(&authority, &system).unwrap()).unwrap();
        let mut keytool = std::process::Command::new("keytool");
        keytool.args(["-list", "-storepass", PASSWORD, "-keystore"]).arg(file.path());
        // Machines without Java cannot ask it.
        let Ok(answer) = keytool.output() else { return };
        let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
        assert!(answer.contains("2 entries") && answer.contains("firstframe"), "{answer}");
        assert_eq!(answer.matches("trustedCertEntry").count(), 2, "{answer}");
    }
}
