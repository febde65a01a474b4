//! Limits that an API is said to have.

use std::time::Duration;

use serde::Serialize;

use super::{Confidence, gate::as_text};

/// One limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Limit {
    /// Its name, the API's own if it has one.
    pub key: String,
    /// How many.
    pub value: u64,
    /// How many of what.
    pub counts: Counts,
    /// Counted apart for each of these.
    pub per: Per,
    /// In how long; `None` for what may be there at once.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "as_text")]
    pub window: Option<Duration>,
    /// How well it is known.
    pub confidence: Confidence,
    /// Who says so.
    pub source: String,
}

/// What is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counts {
    /// HTTP requests.
    #[default]
    Requests,
    /// Frames or messages of the client.
    Frames,
    /// Sockets that are open.
    OpenSockets,
    /// Sockets that are asked for.
    NewSockets,
    /// Things at the server: channels, subscriptions, recordings.
    Entities,
    /// Bytes.
    Bytes,
}

impl Counts {
    /// As a profile spells them.
    pub const ALL: &[(&str, Self)] = &[
        ("requests", Self::Requests),
        ("frames", Self::Frames),
        ("open-sockets", Self::OpenSockets),
        ("new-sockets", Self::NewSockets),
        ("entities", Self::Entities),
        ("bytes", Self::Bytes),
    ];
}

/// For whom it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "their names say it")]
pub enum Per {
    Address,
    Channel,
    Deployment,
    Message,
    Org,
    Session,
    Socket,
    Token,
    User,
    UserAndApp,
}

impl Per {
    /// As a profile spells them.
    pub const ALL: &[(&str, Self)] = &[
        ("address", Self::Address),
        ("channel", Self::Channel),
        ("deployment", Self::Deployment),
        ("message", Self::Message),
        ("org", Self::Org),
        ("session", Self::Session),
        ("socket", Self::Socket),
        ("token", Self::Token),
        ("user", Self::User),
        ("user-and-app", Self::UserAndApp),
    ];
}
