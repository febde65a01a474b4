//! A profile as a file has it, with all that the loader filled in: as TOML that reads back as the same profile, or JSON.

use serde::{Serialize, Serializer};

use super::{
    Claim, CloseCode, Correlation, ErrorBody, ErrorFrame, ExpectedStatus, FrameMatcher, Gate, Hosts, Limit,
    MetadataSpec, Origin, Profile, RateLimitHeaders, Route, Secrets, SessionKey, SocketRoute, Window, route::Table,
};

impl Profile {
    /// As TOML, complete in itself: schemas from files are in it.
    ///
    /// # Errors
    /// None that is known: every profile is one in TOML.
    pub fn to_toml(&self) -> Result<String, toml::ser::Error> {
        toml::to_string_pretty(self)
    }
}

/// In the shape of the file.
impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let range = |(low, high): &(u16, u16)| if low == high { low.to_string() } else { format!("{low}-{high}") };
        let (matched, filter) = match &self.metadata {
            MetadataSpec::FirstAfterUpgrade => (Some("first-after-upgrade"), None),
            MetadataSpec::Routes => (Some("routes"), None),
            MetadataSpec::Frames => (Some("frames"), None),
            MetadataSpec::Filter(filter) => (None, Some(filter.as_str())),
        };
        File {
            name: &self.name,
            summary: &self.summary,
            hosts: some(&self.hosts, self.hosts.is_empty()),
            refused: Refused {
                statuses: self.refused.statuses.iter().map(range).collect(),
                except: &self.refused.except,
            },
            session: Session { identity_headers: &self.identity_headers, keys: &self.session_keys },
            metadata: Metadata { r#match: matched, filter, frame: self.metadata_frame.as_ref() },
            gate: &self.gate,
            window: self.window.as_ref(),
            routes: some(&self.routes, self.routes.is_empty()),
            sockets: some(&self.sockets, self.sockets.is_empty()),
            origin: some(&self.origin, self.origin.is_empty()),
            correlation: some(&self.correlation, self.correlation == Correlation::default()),
            error: some(&self.error, self.error == ErrorBody::default()),
            error_frames: &self.error_frames,
            close_codes: &self.close_codes,
            expected_status: some(&self.expected_status, self.expected_status.is_empty()),
            rate_limit: some(&self.rate_limit, self.rate_limit == RateLimitHeaders::default()),
            limits: &self.limits,
            secrets: some(&self.secrets, self.secrets == Secrets::default()),
            templates: (!self.unresolved.is_empty()).then_some(Templates { unresolved: &self.unresolved }),
            claims: &self.claims,
        }
        .serialize(serializer)
    }
}

fn some<T>(value: &T, is_empty: bool) -> Option<&T> {
    (!is_empty).then_some(value)
}

#[derive(Serialize)]
struct File<'a> {
    name: &'a str,
    summary: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<&'a Hosts>,
    refused: Refused<'a>,
    session: Session<'a>,
    metadata: Metadata<'a>,
    gate: &'a Gate,
    #[serde(skip_serializing_if = "Option::is_none")]
    window: Option<&'a Window>,
    #[serde(skip_serializing_if = "Option::is_none")]
    routes: Option<&'a Table<Route>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sockets: Option<&'a Table<SocketRoute>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<&'a Origin>,
    #[serde(skip_serializing_if = "Option::is_none")]
    correlation: Option<&'a Correlation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a ErrorBody>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    error_frames: &'a [ErrorFrame],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    close_codes: &'a [CloseCode],
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_status: Option<&'a ExpectedStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate_limit: Option<&'a RateLimitHeaders>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    limits: &'a [Limit],
    #[serde(skip_serializing_if = "Option::is_none")]
    secrets: Option<&'a Secrets>,
    #[serde(skip_serializing_if = "Option::is_none")]
    templates: Option<Templates<'a>>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    claims: &'a [Claim],
}

#[derive(Serialize)]
struct Refused<'a> {
    statuses: Vec<String>,
    except: &'a [u16],
}

#[derive(Serialize)]
struct Session<'a> {
    identity_headers: &'a [String],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    keys: &'a [SessionKey],
}

#[derive(Serialize)]
struct Metadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    r#match: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    frame: Option<&'a FrameMatcher>,
}

#[derive(Serialize)]
struct Templates<'a> {
    unresolved: &'a [String],
}
