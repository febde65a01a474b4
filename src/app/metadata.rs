//! What metadata is, as a filter says it: the filter language applied to a request whose head has just arrived.

use std::sync::Arc;

use crate::{
    model::{exchange::Exchange, rows::ExchangeRow},
    profile::Metadata,
    query::filter::{Filter, RowKind, RowRef},
};

/// Fields of an exchange that its request's head does not tell: a filter that names one would never match, or always.
const LATER: &[&str] = &[
    "answered",
    "close-code",
    "duration",
    "failed",
    "flag",
    "flags",
    "frames",
    "frames-from-client",
    "frames-from-server",
    "open-time",
    "proxy-made",
    "reason",
    "refused",
    "response-header",
    "rewritten",
    "server",
    "session",
    "socket-closed-by",
    "status",
    "wait",
];

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
    if let Some(field) = filter.fields().into_iter().find(|field| LATER.contains(field)) {
        return Err(format!(
            "`{field}` is not known yet: metadata is recognised when a request's head arrives, before any answer (hint: \
             fields of the request, such as method, path, query, host or header.NAME)"
        ));
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
        request_headers: request.headers().map(|(name, value)| (text(name), text(value))).collect(),
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
        for late in ["status=4", "path~\"/m\" and not refused", "wait>1s", "response-header.x=1", "session=s1"] {
            let why = matching(late).unwrap_err();
            assert!(why.contains("is not known yet") && why.contains("hint"), "{late}: {why}");
        }
        assert!(matching("method=POST and header.x=1 and websocket").is_ok());
    }
}
