//! What an API's answers look like: the marks of a true one, ids to quote, error bodies, limits said in headers.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::{FrameMatcher, Pattern, Pointer};

/// What every answer has that the API itself made; one that lacks it was made by something before it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Origin {
    /// Response headers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Places in every JSON body.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pointers: Vec<Pointer>,
    /// Places in the JSON body of every error.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub error_pointers: Vec<Pointer>,
}

impl Origin {
    /// Whether it says nothing, so that nothing can be told.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where the ids stand by which the API's makers find a request again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Correlation {
    /// Response headers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Response headers of what stands before the API.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edge_headers: Vec<String>,
    /// A place in the body of an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<Pointer>,
}

/// Where an error's parts stand in its JSON body.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ErrorBody {
    /// A word that programs understand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Pointer>,
    /// A sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Pointer>,
    /// The status, once more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<Pointer>,
    /// More.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<Pointer>,
    /// Which limit was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limiter: Option<Pointer>,
    /// What codes look like; another one was not made by the API.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code_pattern: Option<Pattern>,
    /// Codes that come with a 400 and mean that a quota is used up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub quota_400: Vec<String>,
}

impl ErrorBody {
    /// The code in an error's body.
    pub fn code<'v>(&self, body: &'v Value) -> Option<&'v str> {
        self.code.as_ref()?.find(body)?.as_str()
    }

    /// The message in an error's body.
    pub fn message<'v>(&self, body: &'v Value) -> Option<&'v str> {
        self.message.as_ref()?.find(body)?.as_str()
    }

    /// The limit that an error's body names.
    pub fn limiter<'v>(&self, body: &'v Value) -> Option<&'v str> {
        self.limiter.as_ref()?.find(body)?.as_str()
    }

    /// Whether that code means a quota that is used up.
    pub fn is_quota(&self, code: &str) -> bool {
        self.quota_400.iter().any(|known| known == code)
    }
}

/// Messages of the server that are errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErrorFrame {
    /// Its name, unique in the profile.
    pub id: String,
    /// Which messages.
    pub when: FrameMatcher,
    /// Where the status or code stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<Pointer>,
    /// Where the sentence stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Pointer>,
}

/// What a close code means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CloseCode {
    /// 1000 to 4999 (RFC 6455, 7.4).
    pub code: u16,
    /// In a sentence.
    pub meaning: String,
    /// What it speaks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hypothesis: Option<String>,
}

/// What an API answers with a status of its own, so that a 400 speaks against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Refusal {
    Auth,
    Conflict,
    Forbidden,
    MediaType,
    NotAcceptable,
    NotFound,
    Overload,
    Precondition,
    RateLimit,
    Size,
    Timeout,
}

impl Refusal {
    /// As a profile spells them.
    pub const ALL: &[(&str, Self)] = &[
        ("auth", Self::Auth),
        ("conflict", Self::Conflict),
        ("forbidden", Self::Forbidden),
        ("media_type", Self::MediaType),
        ("not_acceptable", Self::NotAcceptable),
        ("not_found", Self::NotFound),
        ("overload", Self::Overload),
        ("precondition", Self::Precondition),
        ("rate_limit", Self::RateLimit),
        ("size", Self::Size),
        ("timeout", Self::Timeout),
    ];
}

/// The statuses with which an API refuses.
pub type ExpectedStatus = BTreeMap<Refusal, u16>;

/// Response headers that tell of rate limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RateLimitHeaders {
    /// Requests that were counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<String>,
    /// Requests that are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// Requests that are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<String>,
    /// When counting begins anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<String>,
    /// After how long to come again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<String>,
}
