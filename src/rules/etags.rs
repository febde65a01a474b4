//! The versions of resources that answers told, for rules about preconditions.

use crate::model::{ExchangeId, Timestamp, exchange::Exchange};

use super::recent::{Recent, number};

/// Resources whose version is remembered.
const RESOURCES: usize = 1 << 13;
/// Longer ones are not remembered.
const LONGEST: usize = 256;

/// A version as an answer told it.
pub(super) struct Version {
    /// Without the mark of a weak one.
    pub(super) etag: Box<[u8]>,
    pub(super) told_by: ExchangeId,
    pub(super) at: Timestamp,
}

/// The last version of each resource, and the last that each bearer of a token or a cookie was told.
pub(super) struct Etags {
    resources: Recent<u64, Version>,
    askers: Recent<u64, Version>,
}

impl Default for Etags {
    fn default() -> Self {
        Self { resources: Recent::new(RESOURCES), askers: Recent::new(RESOURCES) }
    }
}

impl Etags {
    /// Takes the version that a response tells.
    pub(super) fn learn(&mut self, exchange: &Exchange) {
        let Some(head) = exchange.response.as_ref() else { return };
        let Some(etag) = head.header("etag").map(strong).filter(|etag| etag.len() <= LONGEST) else { return };
        let (Some(at), Some(200..=304)) = (exchange.response_first_byte, head.status()) else { return };
        for (versions, key) in [(&mut self.resources, resource(exchange)), (&mut self.askers, asked(exchange))] {
            match versions.get_mut(key) {
                Some(known) if known.at > at => {}
                Some(known) if *known.etag == *etag => (known.told_by, known.at) = (exchange.id, at),
                _ => versions.put(key, Version { etag: etag.into(), told_by: exchange.id, at }),
            }
        }
    }

    /// The version that had been told when the request came.
    pub(super) fn before(&self, exchange: &Exchange) -> Option<&Version> {
        before(&self.resources, resource(exchange), exchange)
    }

    /// The version that whoever sends this request had been told. What `/users/me` is, and its version, depends on that.
    pub(super) fn told_to_sender_of(&self, exchange: &Exchange) -> Option<&Version> {
        before(&self.askers, asked(exchange), exchange)
    }
}

fn before<'v>(versions: &'v Recent<u64, Version>, key: u64, exchange: &Exchange) -> Option<&'v Version> {
    versions.get(key).filter(|version| version.at <= exchange.request_first_byte)
}

/// Without the mark of a weak one.
pub(super) fn strong(etag: &[u8]) -> &[u8] {
    let etag = etag.trim_ascii();
    etag.strip_prefix(b"W/").unwrap_or(etag)
}

fn resource(exchange: &Exchange) -> u64 {
    number(&[exchange.authority.as_bytes(), exchange.path(), exchange.query().unwrap_or_default()])
}

/// The resource, and who asks for it as far as that is seen.
fn asked(exchange: &Exchange) -> u64 {
    let asker = exchange.request.header("authorization").or_else(|| exchange.request.header("cookie"));
    number(&[&resource(exchange).to_be_bytes(), asker.unwrap_or_default()])
}
