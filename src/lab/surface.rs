//! The routes of the simulated API, one set for each profile that the lab speaks: which request stands for which kind,
//! and how client and server read it. What is sent follows what is known of the real clients; what is refused is the
//! causes' business.

use std::fmt::Write as _;

use super::{
    random::Random,
    request::{Ending, Kind, Request},
};

/// Whose API is simulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Surface {
    /// Sessions, a stream for each, items and documents: an API that no profile knows.
    #[default]
    Neutral,
    /// The routes of the profile `genesys-cloud`.
    GenesysCloud,
    /// A socket with subprotocol graphql-transport-ws, and queries by HTTP.
    GraphqlTransportWs,
}

/// Whose request it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// The agent's number, from 0.
    pub agent: u32,
    /// The number of the address it comes from.
    pub address: u32,
    /// The number of the token it bears; agents may share one.
    pub token: u32,
    /// Whose customer it is.
    pub tenant: u32,
    /// Which client library it uses.
    pub client: u32,
}

/// What a round of an agent goes by.
#[derive(Clone, Debug, Default)]
pub struct Round {
    /// The session's id: on its socket and in its metadata.
    pub session: String,
    /// What the API called the channel, where there is one.
    pub channel: String,
    /// The version of the agent's document that was last told.
    pub etag: Option<String>,
    /// Which of the things that are read.
    pub item: usize,
    /// Virtual nanoseconds, for instants in bodies.
    pub now: i64,
}

/// How many different things are read.
pub const ITEMS: usize = 12;

/// Client libraries: what they call themselves, and the languages that they ask for.
const CLIENTS: &[(&str, &str)] = &[
    ("Apache-HttpClient/4.5.14 (Java/17.0.9)", "en-US,en;q=0.9"),
    ("python-requests/2.32.3", "en-GB"),
    ("Java-http-client/17.0.9", "de-DE,de;q=0.7"),
];

/// Method and path of a kind; `{}` is where its id stands.
type Place = (Kind, &'static str, &'static str);

const NEUTRAL: &[Place] = &[
    (Kind::Token, "POST", "/auth/token"),
    (Kind::Refresh, "POST", "/auth/token"),
    (Kind::Channel, "POST", "/v1/channels"),
    (Kind::Socket, "GET", "/v1/stream"),
    (Kind::Metadata, "POST", "/v1/streams/metadata"),
    (Kind::Details, "POST", "/v1/streams/details"),
    (Kind::Read, "GET", "/v1/items/{}"),
    (Kind::Version, "GET", "/v1/documents/{}"),
    (Kind::Write, "PUT", "/v1/documents/{}"),
    (Kind::Publish, "PUT", "/v1/items/{}"),
];

const GENESYS: &[Place] = &[
    (Kind::Token, "POST", "/oauth/token"),
    (Kind::Refresh, "POST", "/oauth/token"),
    (Kind::Channel, "POST", "/api/v2/notifications/channels"),
    (Kind::Socket, "GET", "/channels/{}"),
    (Kind::Metadata, "POST", "/api/v2/recordings/screen"),
    (Kind::Details, "POST", "/api/v2/recordings/screensessions/metadata"),
    (Kind::Read, "GET", "/api/v2/scripts/{}"),
    (Kind::Version, "GET", "/api/v2/notifications/channels/{}/subscriptions"),
    (Kind::Write, "PUT", "/api/v2/notifications/channels/{}/subscriptions"),
    (Kind::Publish, "PUT", "/api/v2/scripts/{}"),
];

const GRAPHQL: &[Place] = &[
    (Kind::Token, "POST", "/auth/token"),
    (Kind::Refresh, "POST", "/auth/token"),
    (Kind::Socket, "GET", "/graphql"),
    (Kind::Details, "POST", "/graphql"),
    (Kind::Read, "GET", "/files/{}"),
    (Kind::Version, "GET", "/documents/{}"),
    (Kind::Write, "PUT", "/documents/{}"),
    (Kind::Publish, "PUT", "/files/{}"),
];

impl Surface {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Neutral, Self::GenesysCloud, Self::GraphqlTransportWs];

    /// The name, which is also that of the profile to record with (`generic` for the neutral one).
    pub fn name(self) -> &'static str {
        match self {
            Self::Neutral => "neutral",
            Self::GenesysCloud => "genesys-cloud",
            Self::GraphqlTransportWs => "graphql-transport-ws",
        }
    }

    /// The profile to record with.
    pub fn profile(self) -> &'static str {
        match self {
            Self::Neutral => "generic",
            other => other.name(),
        }
    }

    /// The authority that clients ask for; in tests and demos it is redirected to the lab's server.
    pub fn host(self) -> &'static str {
        match self {
            Self::Neutral | Self::GraphqlTransportWs => "api.lab.test",
            Self::GenesysCloud => "api.mypurecloud.com",
        }
    }

    fn places(self) -> &'static [Place] {
        match self {
            Self::Neutral => NEUTRAL,
            Self::GenesysCloud => GENESYS,
            Self::GraphqlTransportWs => GRAPHQL,
        }
    }

    /// Whether the API has it at all.
    pub fn has(self, kind: Kind) -> bool {
        self.is_message(kind) || self.places().iter().any(|(known, _, _)| *known == kind)
    }

    /// Whether it is a message on the socket.
    pub fn is_message(self, kind: Kind) -> bool {
        match kind {
            Kind::Hello | Kind::Bind | Kind::Ping => true,
            Kind::Metadata => self == Self::GraphqlTransportWs,
            _ => false,
        }
    }

    /// Whether a server's message says that the socket is ready: a gate that can be seen.
    pub fn has_gate_message(self) -> bool {
        self == Self::GraphqlTransportWs
    }

    /// Whether refused messages are answered with errors that the profile knows.
    pub fn counts_messages(self) -> bool {
        self != Self::Neutral
    }

    /// Method and template, as columns have it: `GET /v1/items/{itemId}`; for messages the socket's path.
    pub fn route(self, kind: Kind) -> String {
        if self.is_message(kind) {
            return match self.places().iter().find(|(known, _, _)| *known == Kind::Socket) {
                Some((_, _, path)) => format!("message {}", path.replace("{}", "{channelId}")),
                None => "message".to_owned(),
            };
        }
        let Some((_, method, path)) = self.places().iter().find(|(known, _, _)| *known == kind) else {
            return kind_word(kind).to_owned();
        };
        format!("{method} {}", path.replace("{}", &format!("{{{}}}", self.parameter(kind))))
    }

    /// What the id in a path is called.
    pub fn parameter(self, kind: Kind) -> &'static str {
        match (self, kind) {
            (Self::GenesysCloud, Kind::Read | Kind::Publish) => "scriptId",
            (Self::GenesysCloud, _) => "channelId",
            // Without a profile's knowledge.
            _ => "id",
        }
    }

    /// What a request that arrived is for; nothing where the API has no such route. For requests alone: what a message
    /// is for, [`Self::kind_of_message`] tells.
    pub fn kind_of(self, method: &str, target: &str, is_upgrade: bool) -> Option<Kind> {
        let path = target.split('?').next().unwrap_or_default();
        let fits = |(kind, known, template): &&Place| {
            if is_upgrade != (*kind == Kind::Socket) || *kind == Kind::Refresh || method != *known {
                return false;
            }
            match template.split_once("{}") {
                None => path == *template,
                Some((before, after)) => {
                    let rest = path.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
                    rest.is_some_and(|id| !id.contains('/'))
                }
            }
        };
        self.places().iter().find(fits).map(|(kind, _, _)| *kind)
    }

    /// What a client's message is for.
    pub fn kind_of_message(self, text: &str) -> Kind {
        let has = |word: &str| text.contains(word);
        match self {
            Self::GraphqlTransportWs if has("\"connection_init\"") => Kind::Hello,
            Self::GraphqlTransportWs if has("\"subscribe\"") => Kind::Metadata,
            Self::GraphqlTransportWs => Kind::Ping,
            _ if has("\"bind\"") => Kind::Bind,
            _ if has("\"subscribe\"") => Kind::Hello,
            _ => Kind::Ping,
        }
    }

    /// The id under which the server knows the session of a request or of a socket's upgrade; nothing where the surface
    /// gives none (then a socket is known by its connection).
    pub fn session_key(self, request: &Request) -> Option<&str> {
        match (self, request.kind) {
            (Self::GraphqlTransportWs, _) => None,
            (_, Kind::Socket) => request.query("sessionId"),
            (_, Kind::Metadata) => request.body_field("sessionId"),
            _ => None,
        }
    }

    /// The request of that kind.
    pub fn request(self, kind: Kind, who: &Who, round: &Round, random: &mut Random) -> Request {
        if self.is_message(kind) {
            return self.message(kind, who, round, random);
        }
        let place = self.places().iter().find(|(known, _, _)| *known == kind);
        let (method, path) = place.map_or(("GET", "/"), |(_, method, path)| (*method, *path));
        let target = match kind {
            Kind::Read | Kind::Publish => path.replace("{}", &item_id(round.item)),
            Kind::Socket => format!("{}?sessionId={}", path.replace("{}", &round.channel), round.session),
            Kind::Version | Kind::Write if self == Self::GenesysCloud => path.replace("{}", &round.channel),
            Kind::Version | Kind::Write => path.replace("{}", &document_id(who.agent)),
            _ => path.to_owned(),
        };
        let mut request = Request {
            kind,
            is_message: false,
            method: method.into(),
            target,
            headers: Vec::with_capacity(12),
            body: self.body(kind, who, round, random),
            ending: Ending::Whole,
            flags: Vec::new(),
        };
        let (agent, language) = CLIENTS.get(who.client as usize % CLIENTS.len()).copied().unwrap_or_default();
        request.set_header("Host", self.host());
        if kind == Kind::Socket {
            request.set_header("Upgrade", "websocket");
            request.set_header("Connection", "Upgrade");
            request.set_header("Sec-WebSocket-Version", "13");
            request.set_header("Sec-WebSocket-Key", sixteen_bytes(random));
            if self == Self::GraphqlTransportWs {
                request.set_header("Sec-WebSocket-Protocol", "graphql-transport-ws");
            }
        } else {
            request.set_header("Connection", "keep-alive");
        }
        match kind {
            Kind::Token | Kind::Refresh => {
                request.set_header("Authorization", "Basic bGFiOmxhYg==");
                request.set_header("Content-Type", "application/x-www-form-urlencoded");
            }
            _ => {
                request.set_header("Authorization", format!("Bearer {}", token(who.token)));
                if !request.body.is_empty() {
                    request.set_header("Content-Type", "application/json");
                }
            }
        }
        if let (Kind::Write, Some(etag)) = (kind, &round.etag) {
            request.set_header("If-Match", etag.clone());
        }
        request.set_header("Accept", "application/json");
        request.set_header("Accept-Language", language);
        request.set_header("User-Agent", agent);
        request.set_header("X-Tenant", tenant(who.tenant));
        request.set_header("X-JM-Thread", format!("agents 1-{}@lab", who.agent + 1));
        request
    }

    fn body(self, kind: Kind, who: &Who, round: &Round, random: &mut Random) -> Vec<u8> {
        let mut body = String::new();
        let at = instant(round.now);
        // Writing to a String does not fail.
        let _ = match kind {
            Kind::Token => write!(body, "grant_type=client_credentials&scope=agent{}", who.token),
            Kind::Refresh => write!(body, "grant_type=refresh_token&refresh_token=r{}", token(who.token)),
            Kind::Channel => write!(body, "{{\"name\":\"agent {}\"}}", who.agent),
            Kind::Metadata => write!(
                body,
                "{{\"recordingId\":\"{}\",\"sessionId\":\"{}\",\"recordingType\":\"screen\",\"startTime\":\"{at}\",\
                 \"place\":\"Zürich\"}}",
                random.uuid(),
                round.session
            ),
            Kind::Details if self == Self::GraphqlTransportWs => write!(
                body,
                "{{\"query\":\"query Q($id: ID!) {{ agent(id: $id) {{ state }} }}\",\"variables\":{{\"id\":\"{}\"}}}}",
                random.uuid()
            ),
            Kind::Details => write!(
                body,
                "{{\"participantJid\":\"{}@lab\",\"roomId\":\"{}\",\"metaData\":[{{\"trackId\":\"{}\",\"screenId\":\"1\",\
                 \"originX\":0,\"originY\":0,\"primary\":true,\"main\":true}}]}}",
                who.agent,
                round.session,
                random.uuid()
            ),
            Kind::Write => write!(body, "[{{\"id\":\"v2.users.{}.presence\",\"at\":\"{at}\"}}]", random.uuid()),
            Kind::Publish => write!(body, "{{\"published\":\"{at}\"}}"),
            _ => Ok(()),
        };
        body.into_bytes()
    }

    fn message(self, kind: Kind, who: &Who, round: &Round, random: &mut Random) -> Request {
        let session = &round.session;
        let body = match (self, kind) {
            (Self::GraphqlTransportWs, Kind::Hello) => {
                format!("{{\"type\":\"connection_init\",\"payload\":{{\"authToken\":\"{}\"}}}}", token(who.token))
            }
            (Self::GraphqlTransportWs, Kind::Metadata) => format!(
                "{{\"id\":\"{}\",\"type\":\"subscribe\",\"payload\":{{\"query\":\"subscription {{ calls {{ state }} \
                 }}\",\"variables\":{{\"startTime\":\"{}\",\"place\":\"Zürich\"}}}}}}",
                random.uuid(),
                instant(round.now)
            ),
            (Self::GraphqlTransportWs, _) => "{\"type\":\"ping\"}".to_owned(),
            (_, Kind::Hello) => format!(
                "{{\"message\":\"subscribe\",\"topics\":[\"v2.users.{}.presence\"],\"correlationId\":\"{session}\"}}",
                random.uuid()
            ),
            (_, Kind::Bind) => format!("{{\"message\":\"bind\",\"sessionId\":\"{session}\"}}"),
            _ => "{\"message\":\"ping\"}".to_owned(),
        };
        Request {
            kind,
            is_message: true,
            method: "".into(),
            target: String::new(),
            headers: Vec::new(),
            body: body.into_bytes(),
            ending: Ending::Whole,
            flags: Vec::new(),
        }
    }
}

fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Channel => "channel",
        _ => "other",
    }
}

/// The id of one of the things that are read.
pub fn item_id(item: usize) -> String {
    format!("5c0a11ab-0000-4000-8000-{item:012x}")
}

/// The id of an agent's own document.
pub fn document_id(agent: u32) -> String {
    format!("d0c00000-0000-4000-8000-{agent:012x}")
}

/// The token of that number.
pub fn token(number: u32) -> String {
    format!("lab-{number:06}-7Qm3xZr9Tk2LwP8sVd4YbN6c")
}

/// The tenant of that number.
pub fn tenant(number: u32) -> String {
    format!("org-{number}")
}

/// RFC 3339 with milliseconds: virtual time begins on the first of the year.
pub fn instant(now: i64) -> String {
    let millis = now.max(0) / 1_000_000;
    let (hours, minutes, seconds) = (millis / 3_600_000 % 24, millis / 60_000 % 60, millis / 1000 % 60);
    format!("2026-01-01T{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", millis % 1000)
}

/// 16 bytes in base64, as `Sec-WebSocket-Key` wants them.
fn sixteen_bytes(random: &mut Random) -> String {
    use base64::Engine as _;
    let bytes = [random.bits().to_be_bytes(), random.bits().to_be_bytes()].concat();
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

    use super::*;

    #[test]
    fn the_server_reads_what_the_client_writes() {
        let mut random = Random::new(1, 1);
        let who = Who { agent: 7, token: 3, ..Who::default() };
        let round = Round { session: "s-1".into(), channel: "ch".into(), item: 4, ..Round::default() };
        for surface in Surface::ALL {
            for kind in Kind::ALL.into_iter().filter(|kind| surface.has(*kind)) {
                let request = surface.request(kind, &who, &round, &mut random);
                let text = String::from_utf8(request.bytes()).unwrap();
                if request.is_message {
                    let expected =
                        if kind == Kind::Bind && surface == Surface::GraphqlTransportWs { Kind::Ping } else { kind };
                    assert_eq!(surface.kind_of_message(&text), expected, "{text}");
                    serde_json::from_str::<serde_json::Value>(&text).unwrap();
                    continue;
                }
                // The body tells them apart.
                let expected = if kind == Kind::Refresh { Kind::Token } else { kind };
                assert_eq!(
                    surface.kind_of(&request.method, &request.target, kind == Kind::Socket),
                    Some(expected),
                    "{text}"
                );
                if request.header("content-type") == Some("application/json") {
                    serde_json::from_slice::<serde_json::Value>(&request.body).unwrap();
                }
                assert!(surface.route(kind).starts_with(&*request.method));
            }
        }
        let socket = Surface::GenesysCloud.request(Kind::Socket, &who, &round, &mut random);
        assert_eq!(Surface::GenesysCloud.session_key(&socket), Some("s-1"));
        let metadata = Surface::GenesysCloud.request(Kind::Metadata, &who, &round, &mut random);
        assert_eq!(Surface::GenesysCloud.session_key(&metadata), Some("s-1"));
        assert_eq!(instant(3_723_004_000_000), "2026-01-01T01:02:03.004Z");
    }

    #[test]
    fn requests_are_what_their_profile_knows() {
        for kind in Kind::ALL {
            let surface = Surface::GenesysCloud;
            if !surface.has(kind) || surface.is_message(kind) || matches!(kind, Kind::Socket | Kind::Publish) {
                continue;
            }
            let profile = crate::profile::Profile::named(surface.profile()).unwrap();
            let templates: Vec<String> = profile.routes.iter().map(|route| format!("{route:?}")).collect();
            let route = surface.route(kind);
            let path = route.split(' ').nth(1).unwrap();
            let last = path.rsplit('/').find(|part| !part.starts_with('{')).unwrap();
            assert!(templates.iter().any(|template| template.contains(last)), "{route} is not in the profile");
        }
    }
}
