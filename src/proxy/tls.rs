//! TLS on both legs: what we offer servers, what we serve clients, how certificates are verified, and where keys are
//! logged.
//!
//! What must not happen here: a server's certificate taken unverified unless its host was named insecure, a session of
//! an unverified server resumed for a verified one, a protocol chosen for the client that the server did not choose.

use std::{
    collections::HashMap,
    fmt::Write as _,
    fs::{File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, KeyLog, RootCertStore, ServerConfig, SignatureScheme,
    client::{
        ClientSessionMemoryCache, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature},
    server::{Accepted, Acceptor, ProducesTickets},
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _};

use super::{Error, Options, trust::Named};
use crate::ca::{Authority, truststore::SystemRoots};

/// Lists of application protocols for which a client configuration is kept; clients invent more only to hurt us.
const MAX_CONFIGS: usize = 64;
/// Servers whose sessions are kept for resumption.
const MAX_SESSIONS: usize = 512;
/// A ClientHello is no larger (rustls takes no more either).
const MAX_HELLO: usize = 64 << 10;

/// What tells one client configuration from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Terms {
    offer: Vec<Vec<u8>>,
    verified: bool,
}

/// Everything TLS that connections share.
pub(super) struct Shared {
    /// Whose leaves clients get; nobody's where there are no clients.
    authority: Option<Arc<Authority>>,
    provider: Arc<CryptoProvider>,
    roots: Arc<RootCertStore>,
    /// Where certificates were named; else chains to the roots are all there is.
    named: Option<Arc<Named>>,
    insecure: Vec<String>,
    http2: bool,
    key_log: Option<Arc<dyn KeyLog>>,
    tickets: Arc<dyn ProducesTickets>,
    configs: Mutex<HashMap<Terms, Arc<ClientConfig>>>,
    /// Sessions of verified servers, and of the others.
    sessions: [Arc<ClientSessionMemoryCache>; 2],
}

impl Shared {
    pub(super) fn new(options: &Options, authority: Arc<Authority>) -> Result<Self, Error> {
        Ok(Self { authority: Some(authority), ..Self::to_servers(options)? })
    }

    /// For connections to servers alone.
    pub(super) fn to_servers(options: &Options) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(SystemRoots::load().certificates);
        let mut certificates = Vec::new();
        for path in &options.server_ca {
            for certificate in read_certificates(path)? {
                let unfit = |why: rustls::Error| Error::ServerCa { path: path.clone(), why: why.to_string() };
                roots.add(certificate.clone()).map_err(unfit)?;
                certificates.push(certificate);
            }
        }
        let (roots, provider) = (Arc::new(roots), Arc::new(ring::default_provider()));
        let named = if certificates.is_empty() {
            None
        } else {
            let verifier = Named::new(Arc::clone(&roots), certificates, Arc::clone(&provider));
            Some(Arc::new(verifier.map_err(|why| rustls::Error::General(why.to_string()))?))
        };
        let key_log = match options.key_log.clone().or_else(key_log_from_environment) {
            Some(path) => Some(Arc::new(KeyFile::open(path)?) as Arc<dyn KeyLog>),
            None => None,
        };
        let session_cache = || Arc::new(ClientSessionMemoryCache::new(MAX_SESSIONS));
        Ok(Self {
            authority: None,
            provider,
            roots,
            named,
            insecure: options.insecure.iter().map(|host| host.to_ascii_lowercase()).collect(),
            http2: options.http2,
            key_log,
            tickets: ring::Ticketer::new()?,
            configs: Mutex::default(),
            sessions: [session_cache(), session_cache()],
        })
    }

    /// What the client offers, less what may not be chosen.
    pub(super) fn offer(&self, client: &[Vec<u8>]) -> Vec<Vec<u8>> {
        client.iter().filter(|protocol| self.http2 || protocol.as_slice() != b"h2").cloned().collect()
    }

    /// A connection to a server of that name, offering these protocols.
    pub(super) fn to_server(&self, name: &str, offer: &[Vec<u8>]) -> Result<ClientConnection, rustls::Error> {
        let server = ServerName::try_from(name.to_owned())
            .map_err(|_| rustls::Error::General(format!("{name:?} cannot be asked for in TLS")))?;
        ClientConnection::new(self.client_config(name, offer)?, server)
    }

    fn client_config(&self, name: &str, offer: &[Vec<u8>]) -> Result<Arc<ClientConfig>, rustls::Error> {
        let verified = !self.insecure.iter().any(|host| host == &name.to_ascii_lowercase());
        let mut configs = self.configs.lock().unwrap_or_else(PoisonError::into_inner);
        let key = Terms { offer: offer.to_vec(), verified };
        if let Some(config) = configs.get(&key) {
            return Ok(Arc::clone(config));
        }
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&self.provider)).with_safe_default_protocol_versions()?;
        let builder = match &self.named {
            _ if !verified => {
                let verifier = Arc::new(Unverified(Arc::clone(&self.provider)));
                builder.dangerous().with_custom_certificate_verifier(verifier)
            }
            Some(named) => builder.dangerous().with_custom_certificate_verifier(Arc::clone(named) as _),
            None => builder.with_root_certificates(Arc::clone(&self.roots)),
        };
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = offer.to_vec();
        let [of_verified, of_others] = &self.sessions;
        config.resumption = Resumption::store(Arc::clone(if verified { of_verified } else { of_others }) as _);
        if let Some(log) = &self.key_log {
            config.key_log = Arc::clone(log);
        }
        let config = Arc::new(config);
        if configs.len() < MAX_CONFIGS {
            configs.insert(key, Arc::clone(&config));
        }
        Ok(config)
    }

    /// What a client is served that asks for `name`: a leaf of ours like the server's certificate, and that protocol.
    pub(super) fn to_client(
        &self,
        name: &str,
        like: Option<&CertificateDer<'_>>,
        alpn: Option<&[u8]>,
    ) -> Result<Arc<ServerConfig>, String> {
        let authority = self.authority.as_ref().ok_or("there is no authority to mint it")?;
        let leaf = authority.leaf(name, like).map_err(|error| error.to_string())?;
        Ok(leaf.server_config(alpn, |key| self.server_config(key, alpn)))
    }

    fn server_config(&self, key: &Arc<CertifiedKey>, alpn: Option<&[u8]>) -> ServerConfig {
        // The provider's own versions always fit the provider.
        let builder = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .unwrap_or_else(|_| ServerConfig::builder());
        let resolver = SingleCertAndKey::from(CertifiedKey::clone(key));
        let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = alpn.into_iter().map(<[u8]>::to_vec).collect();
        config.ticketer = Arc::clone(&self.tickets);
        if let Some(log) = &self.key_log {
            config.key_log = Arc::clone(log);
        }
        config
    }
}

/// What the first bytes of a connection are.
pub(super) enum Hello {
    /// Not known yet.
    Unknown,
    /// TLS, and what the client asks for.
    Tls(Box<ClientHello>),
    /// Something else.
    NotTls,
}

/// A ClientHello that came in whole.
pub(super) struct ClientHello {
    /// rustls' side of it.
    pub(super) accepted: Accepted,
    /// The name asked for.
    pub(super) sni: Option<String>,
    /// The application protocols offered.
    pub(super) alpn: Vec<Vec<u8>>,
}

/// Collects a ClientHello that may come byte by byte and in several records. Its bytes are kept until it is known what
/// they are, so that what turns out to be something else can be relayed as it came.
#[derive(Default)]
pub(super) struct Peek {
    acceptor: Acceptor,
    /// Everything so far.
    pub(super) bytes: Vec<u8>,
    fed: usize,
}

impl Peek {
    /// Looks at what is in `bytes` now. On [`Hello::Tls`] all of them have been used up.
    pub(super) fn look(&mut self) -> Hello {
        if !may_be_hello(&self.bytes) || self.bytes.len() > MAX_HELLO {
            return Hello::NotTls;
        }
        loop {
            match self.acceptor.accept() {
                Ok(Some(accepted)) => {
                    let hello = accepted.client_hello();
                    let sni = hello.server_name().map(str::to_owned);
                    let alpn = hello.alpn().into_iter().flatten().map(<[u8]>::to_vec).collect();
                    self.bytes.drain(..self.fed);
                    return Hello::Tls(Box::new(ClientHello { accepted, sni, alpn }));
                }
                Ok(None) => {}
                Err(_) => return Hello::NotTls,
            }
            let Some(mut rest) = self.bytes.get(self.fed..).filter(|rest| !rest.is_empty()) else {
                return Hello::Unknown;
            };
            match self.acceptor.read_tls(&mut rest) {
                Ok(0) | Err(_) => return Hello::NotTls,
                Ok(read) => self.fed += read,
            }
        }
    }
}

/// A handshake record of TLS 1.0 to 1.3 that holds a ClientHello (RFC 8446, 5.1 and 4), or the beginning of one.
fn may_be_hello(bytes: &[u8]) -> bool {
    let fits = |at: usize, fit: fn(u8) -> bool| bytes.get(at).is_none_or(|byte| fit(*byte));
    fits(0, |byte| byte == 0x16) && fits(1, |byte| byte == 3) && fits(2, |byte| byte <= 4) && fits(5, |byte| byte == 1)
}

/// How a handshake that went well is told.
pub(super) fn version_name(version: rustls::ProtocolVersion) -> String {
    match version {
        rustls::ProtocolVersion::TLSv1_2 => "TLSv1.2".into(),
        rustls::ProtocolVersion::TLSv1_3 => "TLSv1.3".into(),
        other => format!("{other:?}"),
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let error = |why: String| Error::ServerCa { path: path.into(), why };
    let pem = std::fs::read(path).map_err(|why| error(why.to_string()))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = read.map_err(|why| error(why.to_string()))?;
    if certificates.is_empty() { Err(error("it holds no certificate".into())) } else { Ok(certificates) }
}

/// Takes any certificate: for hosts that were named insecure, and for clients that trust everything, as JMeter does.
/// Signatures are still checked: without, the keys of the handshake would be anybody's.
#[derive(Debug)]
pub struct Unverified(pub Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn key_log_from_environment() -> Option<PathBuf> {
    let named = |name| std::env::var_os(name).filter(|path| !path.is_empty()).map(PathBuf::from);
    named("FIRSTFRAME_SSLKEYLOGFILE").or_else(|| named("SSLKEYLOGFILE"))
}

/// The file of TLS keys, in the format that Wireshark reads.
#[derive(Debug)]
struct KeyFile(Mutex<File>);

impl KeyFile {
    fn open(path: PathBuf) -> Result<Self, Error> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        match options.open(&path) {
            Ok(file) => Ok(Self(Mutex::new(file))),
            Err(source) => Err(Error::KeyLog { path, source }),
        }
    }
}

impl KeyLog for KeyFile {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut line = format!("{label} ");
        for byte in client_random {
            let _ = write!(line, "{byte:02x}");
        }
        line.push(' ');
        for byte in secret {
            let _ = write!(line, "{byte:02x}");
        }
        line.push('\n');
        // Keys that cannot be written must not stop the traffic.
        let _ = self.0.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    }
}
