//! The objects of HAR 1.2 (<http://www.softwareishard.com/blog/har-12-spec/>), in the order in which browsers write them.

use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry<'c> {
    #[serde(rename = "startedDateTime")]
    pub(super) started: String,
    pub(super) time: f64,
    pub(super) request: Request,
    pub(super) response: Response,
    pub(super) cache: Cache,
    pub(super) timings: Timings,
    #[serde(rename = "serverIPAddress", skip_serializing_if = "Option::is_none")]
    pub(super) server_address: Option<&'c str>,
    pub(super) connection: String,
    #[serde(rename = "_resourceType", skip_serializing_if = "Option::is_none")]
    pub(super) resource_type: Option<&'static str>,
    #[serde(rename = "_firstframe")]
    pub(super) ours: Ours<'c>,
    #[serde(rename = "_webSocketClose", skip_serializing_if = "Option::is_none")]
    pub(super) close: Option<Closed>,
}

/// Nothing is known of caches.
#[derive(Serialize)]
pub(super) struct Cache {}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) url: String,
    #[serde(rename = "_target", skip_serializing_if = "Option::is_none")]
    pub(super) raw_target: Option<String>,
    #[serde(rename = "httpVersion")]
    pub(super) version: String,
    pub(super) cookies: Vec<Cookie>,
    pub(super) headers: Vec<Pair>,
    #[serde(rename = "queryString")]
    pub(super) query: Vec<Pair>,
    #[serde(rename = "postData", skip_serializing_if = "Option::is_none")]
    pub(super) post: Option<PostData>,
    pub(super) headers_size: i64,
    pub(super) body_size: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Response {
    pub(super) status: u16,
    #[serde(rename = "statusText")]
    pub(super) reason: String,
    #[serde(rename = "httpVersion")]
    pub(super) version: String,
    pub(super) cookies: Vec<Cookie>,
    pub(super) headers: Vec<Pair>,
    pub(super) content: Content,
    #[serde(rename = "redirectURL")]
    pub(super) redirect: String,
    pub(super) headers_size: i64,
    pub(super) body_size: i64,
    #[serde(rename = "_error", skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct Content {
    pub(super) size: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) compression: Option<i64>,
    #[serde(rename = "mimeType")]
    pub(super) mime: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) comment: Option<&'static str>,
}

#[derive(Serialize)]
pub(super) struct PostData {
    #[serde(rename = "mimeType")]
    mime: String,
    text: String,
    #[serde(rename = "_content", skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<Coded>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<&'static str>,
}

impl PostData {
    pub(super) fn new(mime: String, text: String, comment: Option<&'static str>) -> Self {
        Self { mime, text, content: None, comment }
    }
}

/// A request's body that is no text, for which HAR has no place.
#[derive(Serialize)]
pub(super) struct Coded {
    pub(super) text: String,
    pub(super) encoding: &'static str,
}

#[derive(Serialize)]
pub(super) struct Timings {
    pub(super) blocked: f64,
    pub(super) dns: f64,
    pub(super) connect: f64,
    pub(super) ssl: f64,
    pub(super) send: f64,
    pub(super) wait: f64,
    pub(super) receive: f64,
}

/// A name and a value: of a header, of a query.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) value: String,
}

impl Pair {
    pub(super) fn of((name, value): (&str, &str)) -> Self {
        Self { name: name.to_owned(), value: value.to_owned() }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cookie {
    pub(super) name: String,
    pub(super) value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) domain: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) http_only: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) secure: bool,
}

/// What only we know. Nanoseconds are on the capture's clock.
#[derive(Serialize)]
pub(super) struct Ours<'c> {
    pub(super) exchange: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session: Option<String>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) flags: &'c [String],
    pub(super) request_first_byte_ns: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) proxy_made: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) rewritten: Vec<&'c str>,
}

/// A message as Chromium's DevTools write it.
#[derive(Serialize)]
pub(super) struct Message<'m> {
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// Seconds since 1970.
    pub(super) time: f64,
    pub(super) opcode: u8,
    /// Text, or Base64 where it is binary.
    pub(super) data: &'m str,
}

/// How a socket ended.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Closed {
    /// By a Close frame.
    Frame(Close),
    /// `"aborted"`: without one.
    Aborted(&'static str),
}

#[derive(Clone, Serialize)]
pub(super) struct Close {
    pub(super) code: Option<u16>,
    pub(super) reason: String,
    /// Seconds since 1970.
    pub(super) timestamp: f64,
    #[serde(rename = "_from")]
    pub(super) from: &'static str,
}
