//! Which certificates of servers are taken, beyond what a chain to a trusted root says.
//!
//! What must not happen here: a certificate taken that nobody named, or for another host than it was made for.

use std::sync::Arc;

use rustls::{
    CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::{
        VerifierBuilderError, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    server::ParsedCertificate,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// Chains to trusted roots; and the very certificates that `--server-ca` names, though they are a CA's own. That is
/// what `openssl req -x509` makes and half of all test servers serve; curl and Python take it from `--cacert`, and
/// webpki alone never does (`CaUsedAsEndEntity`).
#[derive(Debug)]
pub(super) struct Named {
    chains: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl Named {
    /// # Errors
    ///
    /// Without any root.
    pub(super) fn new(
        roots: Arc<RootCertStore>,
        certificates: Vec<CertificateDer<'static>>,
        provider: Arc<CryptoProvider>,
    ) -> Result<Self, VerifierBuilderError> {
        let chains = WebPkiServerVerifier::builder_with_provider(roots, provider).build()?;
        Ok(Self { chains, certificates })
    }
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.chains.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // Dates have been looked at by now and have errors of their own; the name has not.
            Err(Error::InvalidCertificate(CertificateError::Other(_))) if self.certificates.contains(end_entity) => {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::time::Duration;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use rustls::crypto::ring;

    use super::*;

    /// As `openssl req -x509 -addext subjectAltName=DNS:api.test` makes it.
    fn own() -> CertificateDer<'static> {
        let mut params = CertificateParams::new(vec!["api.test".into()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn naming(certificate: &CertificateDer<'static>) -> Named {
        let mut roots = RootCertStore::empty();
        roots.add(certificate.clone()).unwrap();
        Named::new(Arc::new(roots), vec![certificate.clone()], Arc::new(ring::default_provider())).unwrap()
    }

    fn taken(
        verifier: &Named,
        certificate: &CertificateDer<'_>,
        host: &'static str,
        at: UnixTime,
    ) -> Result<(), Error> {
        verifier.verify_server_cert(certificate, &[], &ServerName::try_from(host).unwrap(), &[], at).map(|_| ())
    }

    #[test]
    fn a_self_signed_ca_is_taken_where_it_was_named_for_its_host_and_in_its_time() {
        let (mine, other) = (own(), own());
        let verifier = naming(&mine);
        let year = |years: u64| UnixTime::since_unix_epoch(Duration::from_secs(years * 365 * 86_400));
        let now = year(50);
        taken(&verifier, &mine, "api.test", now).unwrap();
        for (certificate, host, at) in
            [(&other, "api.test", now), (&mine, "other.test", now), (&mine, "api.test", year(4))]
        {
            let error = taken(&verifier, certificate, host, at).unwrap_err();
            assert!(matches!(error, Error::InvalidCertificate(_)), "{error}");
        }
    }
}
