//! What is known of one API: types, and a strict loader. PURE: whoever calls reads the files.
//!
//! - `load` reads TOML and refuses what it does not understand, with line and hint (`error`, `read`);
//! - [`route`] and [`template`] find a request's route, [`shape`] guesses one without knowledge;
//! - [`frame`], [`gate`], [`answer`], [`limit`], [`session`], [`secrets`], [`schema`], [`claim`] are a profile's parts;
//! - `write` gives a profile as TOML or JSON that reads back as the same.

pub mod answer;
pub mod claim;
mod error;
pub mod frame;
pub mod gate;
pub mod host;
pub mod limit;
mod load;
mod read;
pub mod route;
pub mod schema;
pub mod secrets;
pub mod session;
pub mod shape;
pub mod template;
mod write;

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

use serde::Serialize;

use crate::model::exchange::Exchange;

pub use answer::{CloseCode, Correlation, ErrorBody, ErrorFrame, ExpectedStatus, Origin, RateLimitHeaders, Refusal};
pub use claim::{Claim, HYPOTHESES, HYPOTHESIS_PREFIXES, is_hypothesis};
pub use error::Error;
pub use frame::{FrameMatcher, Pattern, Pointer};
pub use gate::{Gate, Window};
pub use host::Hosts;
pub use limit::{Counts, Limit, Per};
pub use route::{IdShape, Route, SocketRoute, Speaker};
pub use schema::{Schema, Violation};
pub use secrets::{FrameSecret, Secrets};
pub use session::{RequestPlace, SessionKey, SocketPlace};
pub use shape::{generic_template, series};
pub use template::Template;

/// What is known of one API.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Its name, as `--profile` takes it.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Where the API lives; empty where any host may be it.
    pub hosts: Hosts,
    /// Which statuses count as refused.
    pub refused: Refused,
    /// Headers whose value names the virtual user.
    pub identity_headers: Vec<String>,
    /// Values that bind requests and sockets together.
    pub session_keys: Vec<SessionKey>,
    /// What metadata is.
    pub metadata: MetadataSpec,
    /// Messages of the client that are metadata.
    pub metadata_frame: Option<FrameMatcher>,
    /// When a socket is ready for metadata.
    pub gate: Gate,
    /// How long after OPEN metadata is in time.
    pub window: Option<Window>,
    /// The requests that are known.
    pub routes: route::Table<Route>,
    /// The sockets that are known.
    pub sockets: route::Table<SocketRoute>,
    /// The marks of an answer that the API itself made.
    pub origin: Origin,
    /// Where the ids stand to quote to the API's makers.
    pub correlation: Correlation,
    /// What error bodies look like.
    pub error: ErrorBody,
    /// Messages that are errors.
    pub error_frames: Vec<ErrorFrame>,
    /// What close codes mean.
    pub close_codes: Vec<CloseCode>,
    /// The statuses with which the API refuses.
    pub expected_status: ExpectedStatus,
    /// Headers that tell of rate limits.
    pub rate_limit: RateLimitHeaders,
    /// The limits that are known.
    pub limits: Vec<Limit>,
    /// Where secrets are beside the usual places.
    pub secrets: Secrets,
    /// Texts that a client leaves in the place of a variable it could not resolve, beside those every tool knows.
    pub unresolved: Vec<String>,
    /// What people say causes the refusals.
    pub claims: Vec<Claim>,
}

/// How well something is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// The API's makers say so.
    #[default]
    Documented,
    /// Seen on the wire or in a client's source.
    Observed,
    /// People say so; nothing else is known to bear it out.
    Reported,
    /// Sources disagree.
    Disputed,
}

impl Confidence {
    /// As a profile spells them.
    pub const ALL: &[(&str, Self)] = &[
        ("documented", Self::Documented),
        ("observed", Self::Observed),
        ("reported", Self::Reported),
        ("disputed", Self::Disputed),
    ];
}

/// Which statuses count as refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// First and last status of each range.
    pub statuses: Vec<(u16, u16)>,
    /// These are not, even where a range says so.
    pub except: Vec<u16>,
}

impl Default for Refused {
    /// RFC 9110, 15.5: client errors, but for those that say something else than "this request is bad now": who you are
    /// (401, 403, 407) and that there is no such thing (404).
    fn default() -> Self {
        Self { statuses: vec![(400, 499)], except: vec![401, 403, 404, 407] }
    }
}

impl Refused {
    /// Whether that status counts as refused.
    pub fn contains(&self, status: u16) -> bool {
        !self.except.contains(&status) && self.statuses.iter().any(|(low, high)| (*low..=*high).contains(&status))
    }
}

/// What a profile says metadata is, as far as it is a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum MetadataSpec {
    /// The first request with an unsafe method whose first byte arrives after its session's upgrade request.
    #[default]
    FirstAfterUpgrade,
    /// What the filter takes; whoever has the filter language turns it into [`Metadata::Matches`].
    Filter(String),
    /// Requests of the routes that say so.
    Routes,
    /// None is; messages alone are ([`Profile::metadata_frame`]).
    Frames,
}

/// A predicate over exchanges whose request head is complete.
pub type ExchangePredicate = Arc<dyn Fn(&Exchange) -> bool + Send + Sync>;

/// What metadata is, ready to be asked.
#[derive(Clone, Default)]
pub enum Metadata {
    /// See [`MetadataSpec::FirstAfterUpgrade`].
    #[default]
    FirstAfterUpgrade,
    /// Every exchange for which it holds. Asked once the request's head is complete.
    Matches(ExchangePredicate),
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FirstAfterUpgrade => "FirstAfterUpgrade",
            Self::Matches(_) => "Matches(…)",
        })
    }
}

/// The profiles in the binary: name and text.
const BUILT_IN: &[(&str, &str)] = &[
    ("generic", include_str!("../../profiles/generic.toml")),
    ("genesys-cloud", include_str!("../../profiles/genesys-cloud.toml")),
    ("graphql-transport-ws", include_str!("../../profiles/graphql-transport-ws.toml")),
];

/// Reads a file that a profile names; the error says why it cannot be.
pub type ReadFile<'a> = &'a mut dyn FnMut(&str) -> Result<String, String>;

impl Profile {
    /// The names of the built-in profiles.
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILT_IN.iter().map(|(name, _)| *name)
    }

    /// A built-in profile.
    ///
    /// # Errors
    /// Where there is none of that name; the message lists those there are.
    pub fn named(name: &str) -> Result<Self, Error> {
        let text = Self::text_of(name)?;
        Self::parse(&format!("profiles/{name}.toml"), text)
    }

    /// A built-in profile as it was written, with its comments.
    ///
    /// # Errors
    /// Where there is none of that name; the message lists those there are.
    pub fn text_of(name: &str) -> Result<&'static str, Error> {
        let found = BUILT_IN.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| *text).ok_or_else(|| Error::Unknown {
            name: name.into(),
            known: Self::names().collect::<Vec<_>>().join(", ").into(),
            hint: match error::nearest(name, Self::names()) {
                Some(near) => format!("did you mean `{near}`?").into(),
                None => "a path has a `/` or ends with `.toml`".into(),
            },
        })
    }

    /// A profile from its TOML text; `file` is for messages. It must be complete in itself: see [`Self::parse_with`].
    ///
    /// # Errors
    /// With file, line, what was found and what is allowed.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        Self::parse_with(
            file,
            text,
            &mut |_| Err("this profile stands in no folder: give the schema itself".to_owned()),
        )
    }

    /// A profile from its TOML text and the files it names (`schema_file`), which `read` knows to find.
    ///
    /// # Errors
    /// With file, line, what was found and what is allowed.
    pub fn parse_with(file: &str, text: &str, read: ReadFile<'_>) -> Result<Self, Error> {
        load::parse(file, text, read)
    }

    /// Whether that status counts as refused.
    pub fn is_refused(&self, status: u16) -> bool {
        self.refused.contains(status)
    }

    /// Whether an authority (`api.test:443`) is one of the API's; any is where the profile names none.
    pub fn host_matches(&self, authority: &str) -> bool {
        self.hosts.is_empty() || self.hosts.matches(authority)
    }

    /// The route of a request, the most specific one; `path` is raw and without query. [`Route::params`] gives the
    /// values in it.
    pub fn route(&self, method: &[u8], path: &[u8]) -> Option<&Route> {
        self.routes.find(method, path)
    }

    /// What kind of socket is asked for at that path.
    pub fn socket(&self, path: &[u8]) -> Option<&SocketRoute> {
        self.sockets.find(b"GET", path)
    }

    /// The template under which a request's path is counted: its route's, else what the path looks like.
    pub fn template_of<'a>(&'a self, method: &[u8], path: &'a str) -> std::borrow::Cow<'a, str> {
        match self.route(method, path.as_bytes()) {
            Some(route) => route.path.as_str().into(),
            None => generic_template(path),
        }
    }

    /// When a socket is ready for the metadata of a route.
    pub fn gate_of<'a>(&'a self, route: Option<&'a Route>) -> &'a Gate {
        route.and_then(|route| route.gate.as_ref()).unwrap_or(&self.gate)
    }

    /// When the metadata of a route is in time.
    pub fn window_of<'a>(&'a self, route: Option<&'a Route>) -> Option<&'a Window> {
        route.and_then(|route| route.window.as_ref()).or(self.window.as_ref())
    }

    /// Whether the server refuses something by closing a socket with that code: one that is explained, and is no normal
    /// end or going away.
    pub fn refuses_by(&self, code: u16) -> bool {
        !matches!(code, 1000 | 1001) && self.close_code(code).is_some()
    }

    /// Whether a message of the server's says that something failed.
    pub fn is_error(&self, text: &str) -> bool {
        self.error_frames.iter().any(|error| error.when.matches(text))
    }

    /// What a close code means.
    pub fn close_code(&self, code: u16) -> Option<&CloseCode> {
        self.close_codes.iter().find(|known| known.code == code)
    }

    /// What metadata is, ready to be asked. `compile` turns a filter into it.
    ///
    /// # Errors
    /// Those of `compile`.
    pub fn metadata_with<E>(&self, compile: impl FnOnce(&str) -> Result<Metadata, E>) -> Result<Metadata, E> {
        Ok(match &self.metadata {
            MetadataSpec::FirstAfterUpgrade => Metadata::FirstAfterUpgrade,
            MetadataSpec::Filter(filter) => compile(filter)?,
            MetadataSpec::Frames => Metadata::Matches(Arc::new(|_| false)),
            MetadataSpec::Routes => {
                let routes = self.routes.clone();
                Metadata::Matches(Arc::new(move |exchange| {
                    let route = routes.find(exchange.request.method(), exchange.path());
                    route.is_some_and(|route| route.metadata)
                }))
            }
        })
    }
}
