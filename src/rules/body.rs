//! What a request says about its body.

use crate::model::exchange::Exchange;

/// What a `Content-Type` names, as far as rules care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// Nothing was said.
    Unknown,
    Json,
    Form,
    Xml,
    /// `text/plain` and other texts.
    Text,
    /// Something else.
    Other,
}

/// The media type without parameters, as written.
pub(super) fn media_type(content_type: &[u8]) -> &[u8] {
    content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii()
}

/// What the request says that its body is.
pub(super) fn declared(exchange: &Exchange) -> Media {
    let Some(value) = exchange.request.header("content-type").filter(|value| !value.is_empty()) else {
        return Media::Unknown;
    };
    let media = media_type(value);
    let is = |name: &str| media.eq_ignore_ascii_case(name.as_bytes());
    let ends = |ending: &str| {
        media
            .len()
            .checked_sub(ending.len())
            .and_then(|at| media.get(at..))
            .is_some_and(|end| end.eq_ignore_ascii_case(ending.as_bytes()))
    };
    if ends("json") {
        Media::Json
    } else if is("application/x-www-form-urlencoded") {
        Media::Form
    } else if ends("xml") || is("text/html") {
        Media::Xml
    } else if media.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"text/")) {
        Media::Text
    } else {
        Media::Other
    }
}

/// The declared charset, bare.
pub(super) fn charset(exchange: &Exchange) -> Option<&[u8]> {
    let value = exchange.request.header("content-type")?;
    value.split(|b| *b == b';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_at_checked(parameter.iter().position(|b| *b == b'=')?)?;
        let value = value.get(1..)?.trim_ascii();
        let bare = value.strip_prefix(b"\"").and_then(|v| v.strip_suffix(b"\"")).unwrap_or(value);
        name.trim_ascii().eq_ignore_ascii_case(b"charset").then_some(bare)
    })
}

/// Whether the body is compressed: then its bytes are not the document.
pub(super) fn is_encoded(exchange: &Exchange) -> bool {
    exchange.request.all("content-encoding").any(|value| !value.is_empty() && !value.eq_ignore_ascii_case(b"identity"))
}

/// A text without the mark that some put before UTF-8, and without white space around it.
pub(super) fn trimmed(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text).trim_ascii()
}

/// Whether a text begins like a JSON object or list.
pub(super) fn begins_like_json(text: &[u8]) -> bool {
    matches!(trimmed(text).first(), Some(b'{' | b'['))
}
