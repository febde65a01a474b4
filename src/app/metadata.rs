//! What metadata is, as a filter says it: the filter language applied to a request whose head has just arrived.

use std::sync::Arc;

use crate::{
    model::{exchange::Exchange, rows::ExchangeRow},
    profile::Metadata,
    query::filter::{Filter, RowKind, RowRef},
};

/// The predicate of a filter.
///
/// # Errors
/// Where it is no filter, or asks for what is not known when a request's head arrives; in words.
pub(super) fn matching(text: &str) -> Result<Metadata, String> {
    let filter = Filter::parse(text).map_err(|error| error.to_string())?;
    filter.check(RowKind::Exchange).map_err(|error| error.to_string())?;
    let needs = filter.needs(RowKind::Exchange);
    if needs.bodies || needs.connection || needs.frame_text {
        return Err("it asks for a body or the connection: metadata is recognised by the request's head".to_owned());
    }
    Ok(Metadata::Matches(Arc::new(move |exchange| filter.matches(&RowRef::Exchange(&row(exchange))))))
}

/// The request as a row. Nothing in it is redacted: it is compared with and forgotten.
fn row(exchange: &Exchange) -> ExchangeRow {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let request = &exchange.request;
    ExchangeRow {
        id: exchange.id,
        connection: exchange.connection,
        session: None,
        server: None,
        index: exchange.index,
        method: text(request.method()),
        target: text(request.target()),
        scheme: exchange.scheme.as_str().to_owned(),
        authority: exchange.authority.clone(),
        path: text(exchange.path()),
        http: text(request.request_version()),
        request_headers: request.headers().map(|(name, value)| [text(name), text(value)]).collect(),
        request_body_bytes: exchange.request_body.bytes,
        status: None,
        reason: None,
        response_headers: None,
        response_body_bytes: None,
        request_first_byte_ns: exchange.request_first_byte,
        request_last_byte_ns: exchange.request_last_byte,
        response_first_byte_ns: None,
        response_last_byte_ns: None,
        proxy_made: false,
        rewritten: Vec::new(),
        websocket: None,
        flags: Vec::new(),
        offsets: Default::default(),
        extent: Default::default(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn what_a_head_cannot_tell_is_refused() {
        assert!(matching("path~\"/metadata\"").is_ok());
        assert!(matching("path=").is_err());
    }
}
