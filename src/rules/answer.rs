//! What an answer says of itself, and its body.

use std::borrow::Cow;

use serde_json::Value;

use crate::{
    decode::content::decode_content,
    model::{
        anomaly::{Anomaly, AnomalyKind},
        exchange::Exchange,
        http::Head,
        observation::Collected,
        side::Side,
    },
};

use super::words;

/// More of a body is not looked at.
const CAP: usize = 64 * 1024;

/// Whether an answer goes on until the client has enough (`EventSource`, cameras).
pub(super) fn is_endless(head: &Head) -> bool {
    let media = head.header("content-type").unwrap_or_default();
    [&b"text/event-stream"[..], b"multipart/x-mixed-replace"]
        .iter()
        .any(|endless| media.get(..endless.len()).is_some_and(|start| start.eq_ignore_ascii_case(endless)))
}

/// Whether it is bytes of the server's that are no answer: of what comes behind them, little is known.
pub(super) fn is_none(anomaly: &Anomaly) -> bool {
    anomaly.range.from == Side::Server && (anomaly.opaque || anomaly.kind == AnomalyKind::BytesAfterBody)
}

/// The body without its content coding, as far as it is there.
pub(super) fn text<'a>(exchange: &Exchange, body: Collected<'a>) -> Cow<'a, [u8]> {
    let (Collected::Whole(bytes) | Collected::TooLarge(bytes)) = body else { return Cow::Borrowed(b"") };
    let coding = exchange.response.as_ref().and_then(|head| head.header("content-encoding"));
    match coding.filter(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")) {
        Some(coding) => Cow::Owned(decode_content(coding, bytes, CAP).bytes().to_vec()),
        None => Cow::Borrowed(bytes),
    }
}

/// The body as JSON.
pub(super) fn json(exchange: &Exchange, body: Collected<'_>) -> Option<Value> {
    let text = text(exchange, body);
    matches!(text.trim_ascii_start().first(), Some(b'{' | b'[')).then(|| serde_json::from_slice(&text).ok())?
}

/// `: "the beginning of it"`, or nothing.
pub(super) fn excerpt(text: &[u8]) -> String {
    let text = text.trim_ascii();
    if text.is_empty() { String::new() } else { format!(": \"{}\"", words::printable(text, 200)) }
}
