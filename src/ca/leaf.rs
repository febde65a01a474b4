//! One leaf: what the client sees in the place of the server's certificate.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType, SerialNumber, date_time_ymd,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    sign::{CertifiedKey, SigningKey},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::{
    Error,
    der::{self, Name},
};
use crate::clock;

/// A leaf's life: with backdating under the 200 days that clients allow from 2026 on.
const LEAF_LIFE: Duration = Duration::from_secs(180 * 86_400);
/// How far it begins before it was made: clients' clocks differ.
const LEAF_BACKDATED: Duration = Duration::from_secs(2 * 86_400);
/// From this age on a kept leaf is made anew.
pub(super) const LEAF_FRESH: Duration = Duration::from_secs(90 * 86_400);
/// A common name holds no more (RFC 5280, appendix A.1).
const MAX_COMMON_NAME: usize = 64;
/// Application protocols for which one leaf keeps a configuration; clients invent more only to hurt us.
const MAX_CONFIGS: usize = 8;

/// The configuration that chooses one application protocol, or none.
#[derive(Debug)]
struct Served {
    alpn: Option<Box<[u8]>>,
    config: Arc<ServerConfig>,
}

/// A leaf certificate with its key, ready to be served.
#[derive(Debug)]
pub struct Leaf {
    key: Arc<CertifiedKey>,
    made: Duration,
    served: Mutex<Vec<Served>>,
}

impl Leaf {
    /// The chain and its key.
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// The configuration that serves this leaf and chooses `alpn`: made by `build` at the first time, then kept.
    pub fn server_config(
        &self,
        alpn: Option<&[u8]>,
        build: impl FnOnce(&Arc<CertifiedKey>) -> ServerConfig,
    ) -> Arc<ServerConfig> {
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = served.iter().find(|known| known.alpn.as_deref() == alpn) {
            return Arc::clone(&known.config);
        }
        let config = Arc::new(build(&self.key));
        if served.len() < MAX_CONFIGS {
            served.push(Served { alpn: alpn.map(Into::into), config: Arc::clone(&config) });
        }
        config
    }

    /// Whether it is young enough to be served on.
    pub(super) fn is_fresh(&self) -> bool {
        wall().saturating_sub(self.made) < LEAF_FRESH
    }
}

/// Makes leaves. They share one key, so that a leaf costs a signature and no key pair.
#[derive(Debug)]
pub(super) struct Minter {
    issuer: Issuer<'static, KeyPair>,
    pair: KeyPair,
    key: Arc<dyn SigningKey>,
    minted: AtomicU64,
}

impl Minter {
    pub(super) fn new(issuer: Issuer<'static, KeyPair>) -> Result<Self, Error> {
        let error = |why: String| Error::Mint { name: "any server".into(), why };
        let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|why| error(why.to_string()))?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
        let key = ring::sign::any_ecdsa_type(&der).map_err(|why| error(why.to_string()))?;
        Ok(Self { issuer, pair, key, minted: AtomicU64::new(0) })
    }

    pub(super) fn minted(&self) -> u64 {
        self.minted.load(Ordering::Relaxed)
    }

    pub(super) fn mint(&self, name: &str, like: Option<&CertificateDer<'_>>) -> Result<Leaf, Error> {
        let error = |why: rcgen::Error| Error::Mint { name: name.into(), why: why.to_string() };
        let made = wall();
        let mut params = CertificateParams::default();
        let begin = date_time_ymd(1970, 1, 1) + made.saturating_sub(LEAF_BACKDATED);
        (params.not_before, params.not_after) = (begin, begin + LEAF_LIFE);
        params.serial_number = Some(serial());
        let mut subject = DistinguishedName::new();
        if name.len() <= MAX_COMMON_NAME {
            subject.push(DnType::CommonName, name);
        }
        params.distinguished_name = subject;
        params.subject_alt_names = alternative_names(name, like).map_err(error)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&self.pair, &self.issuer).map_err(error)?;
        self.minted.fetch_add(1, Ordering::Relaxed);
        let key = CertifiedKey::new(vec![certificate.into()], Arc::clone(&self.key));
        Ok(Leaf { key: Arc::new(key), made, served: Mutex::default() })
    }
}

/// The name that was asked for comes first, then those of the server's own certificate that we can bear.
fn alternative_names(name: &str, like: Option<&CertificateDer<'_>>) -> Result<Vec<SanType>, rcgen::Error> {
    let asked = match name.parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.try_into()?),
    };
    let copied = like.map(|certificate| der::alternative_names(certificate)).unwrap_or_default();
    let copied = copied.into_iter().filter_map(|name| match name {
        Name::Dns(name) => name.try_into().ok().map(SanType::DnsName),
        Name::Ip(address) => Some(SanType::IpAddress(address)),
    });
    let mut names = vec![asked];
    for name in copied {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// 16 random bytes, positive. Without randomness the time serves: what matters is that no two leaves bear the same.
fn serial() -> SerialNumber {
    let mut bytes = [0; 16];
    if ring::default_provider().secure_random.fill(&mut bytes).is_err() {
        bytes = wall().as_nanos().to_be_bytes();
    }
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn wall() -> Duration {
    Duration::from_nanos(u64::try_from(clock::wall_unix_ns()).unwrap_or_default())
}
