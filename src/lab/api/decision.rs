//! What the API decides, and how it looks on the wire: heads as the real API sets them, bodies as clients expect them.

use std::fmt::Write as _;

use crate::{
    lab::{request::Kind, surface::Surface},
    model::columns::AnsweredBy,
};

use super::counts::{Counts, Dose};

/// Why something is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status; 0 where nothing is answered and the connection is closed.
    pub status: u16,
    /// The error's code, in the words of the API.
    pub code: &'static str,
    /// What it says.
    pub message: &'static str,
    /// Which limiter, where one is named.
    pub limit: Option<&'static str>,
    /// Who answers.
    pub by: AnsweredBy,
    /// Whether the connection is closed behind the answer.
    pub closes: bool,
    /// Of a message: the socket is closed with this code instead of an error message.
    pub close_code: Option<u16>,
    /// A rule that sees it coming at the proxy: the server's end stands in the trace before the request.
    pub flag: Option<&'static str>,
}

impl Refusal {
    /// A 400 of the API's own.
    pub fn bad_request(code: &'static str, message: &'static str) -> Self {
        Self {
            status: 400,
            code,
            message,
            limit: None,
            by: AnsweredBy::Api,
            closes: false,
            close_code: None,
            flag: None,
        }
    }

    /// No answer at all.
    pub fn nothing() -> Self {
        Self { status: 0, by: AnsweredBy::Nobody, closes: true, ..Self::bad_request("", "") }
    }

    /// What nginx answers by itself.
    pub fn nginx() -> Self {
        Self { by: AnsweredBy::Intermediary, closes: true, ..Self::bad_request("", "") }
    }

    /// A 429, with what names the limiter.
    pub fn too_many(limit: &'static str) -> Self {
        let message = "Rate limit exceeded the maximum. Retry the request in [1] seconds";
        Self { status: 429, limit: Some(limit), ..Self::bad_request("too.many.requests.retry.after", message) }
    }
}

/// What refused it: the number of the plant, or chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RefusedBy {
    /// The base rate.
    Chance,
    /// The plant of that number.
    Plant(usize),
}

/// What the API decided on a request or a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The status; 101 grants an upgrade, 0 is no answer. Of a message: 200, or 400 for an error.
    pub status: u16,
    /// What was asked for.
    pub kind: Kind,
    /// How long until the answer is written.
    pub latency_ns: i64,
    /// Who answers.
    pub by: AnsweredBy,
    /// Whether the connection is closed behind the answer.
    pub closes: bool,
    /// Of a message: the socket is closed with this code, and nothing else is answered.
    pub close_code: Option<u16>,
    /// Why it was refused.
    pub refusal: Option<Refusal>,
    /// What refused it; only the evaluation looks.
    pub refused_by: Option<RefusedBy>,
    /// The answer's correlation id.
    pub correlation: String,
    /// Which instance answered.
    pub instance: u32,
    /// What stood when it was offered. All zero for a message.
    pub counts: Counts,
    /// The version of a document, where one is told.
    pub etag: Option<String>,
    /// The id of what was created.
    pub created: Option<String>,
    /// Connections whose sockets the server closes because of this one.
    pub evicted: Vec<u64>,
}

/// What a client takes from an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status; 0 where there was none.
    pub status: u16,
    /// `"id"` of its body.
    pub id: Option<String>,
    /// `ETag`.
    pub etag: Option<String>,
    /// Whether the connection ended with it.
    pub closed: bool,
}

impl Decision {
    /// What the client takes from it.
    pub fn answer(&self) -> Answer {
        Answer { status: self.status, id: self.created.clone(), etag: self.etag.clone(), closed: self.closes }
    }

    /// The instance's name, as `X-Served-By` has it.
    pub fn served_by(&self) -> String {
        format!("node-{}", self.instance + 1)
    }

    /// The answer's fields, without those of framing and of the upgrade.
    pub fn headers(&self, surface: Surface) -> Vec<(&'static str, String)> {
        let mut fields = Vec::with_capacity(8);
        if self.by == AnsweredBy::Intermediary {
            fields.push(("Server", "nginx/1.22.1".to_owned()));
            fields.push(("Content-Type", "text/html".to_owned()));
            return fields;
        }
        let (correlation, count, allowed) = match surface {
            Surface::GenesysCloud => ("ININ-Correlation-Id", "inin-ratelimit-count", "inin-ratelimit-allowed"),
            _ => ("X-Request-Id", "X-RateLimit-Used", "X-RateLimit-Limit"),
        };
        fields.push((correlation, self.correlation.clone()));
        fields.push(("X-Served-By", self.served_by()));
        fields.push((count, self.counts.offered(Dose::TokenRequestsPerMinute).to_string()));
        fields.push((allowed, "300".to_owned()));
        if self.status == 429 {
            fields.push(("Retry-After", "1".to_owned()));
        }
        if let Some(etag) = &self.etag {
            fields.push(("ETag", etag.clone()));
        }
        if self.status != 101 && self.status != 204 {
            fields.push(("Content-Type", "application/json".to_owned()));
        }
        fields
    }

    /// The answer's body; of a message: the text that answers it, empty where nothing does.
    pub fn body(&self, surface: Surface, request: &[u8]) -> String {
        if self.by == AnsweredBy::Intermediary {
            return NGINX.to_owned();
        }
        match (&self.refusal, self.kind) {
            (Some(refusal), Kind::Hello | Kind::Bind | Kind::Ping | Kind::Metadata)
                if surface.is_message(self.kind) =>
            {
                self.error_message(surface, refusal, request)
            }
            (Some(refusal), Kind::Token | Kind::Refresh) => {
                format!("{{\"error\":\"{}\",\"error_description\":\"{}\"}}", refusal.code, refusal.message)
            }
            (Some(refusal), _) => self.error(refusal),
            (None, kind) if surface.is_message(kind) => message(surface, kind, request),
            (None, Kind::Socket) => String::new(),
            (None, Kind::Token | Kind::Refresh) => {
                "{\"access_token\":\"lab\",\"token_type\":\"bearer\",\"expires_in\":86399}".to_owned()
            }
            (None, Kind::Channel) => format!("{{\"id\":\"{}\"}}", self.created.as_deref().unwrap_or_default()),
            (None, Kind::Read) => script(),
            (None, _) => "{\"ok\":true}".to_owned(),
        }
    }

    fn error(&self, refusal: &Refusal) -> String {
        let mut body = format!(
            "{{\"message\":\"{}\",\"code\":\"{}\",\"status\":{},\"contextId\":\"{}\",\"details\":[],\"errors\":[]",
            refusal.message, refusal.code, refusal.status, self.correlation
        );
        if let Some(limit) = refusal.limit {
            let _ = write!(body, ",\"limit\":{{\"key\":\"{limit}\"}}");
        }
        body.push('}');
        body
    }

    fn error_message(&self, surface: Surface, refusal: &Refusal, request: &[u8]) -> String {
        match surface {
            Surface::GraphqlTransportWs => format!(
                "{{\"id\":\"{}\",\"type\":\"error\",\"payload\":[{{\"message\":\"{}\"}}]}}",
                field(request, "id"),
                refusal.message
            ),
            _ => format!("{{\"result\":\"400\",\"status\":\"failure\",\"message\":\"{}\"}}", refusal.message),
        }
    }
}

/// What answers a message that is accepted.
fn message(surface: Surface, kind: Kind, request: &[u8]) -> String {
    match (surface, kind) {
        (Surface::GraphqlTransportWs, Kind::Hello) => "{\"type\":\"connection_ack\"}".to_owned(),
        (Surface::GraphqlTransportWs, Kind::Metadata) => format!(
            "{{\"id\":\"{}\",\"type\":\"next\",\"payload\":{{\"data\":{{\"calls\":{{\"state\":\"idle\"}}}}}}}}",
            field(request, "id")
        ),
        (Surface::GraphqlTransportWs, _) => "{\"type\":\"pong\"}".to_owned(),
        (_, Kind::Ping) => "{\"topicName\":\"channel.metadata\",\"eventBody\":{\"message\":\"pong\"}}".to_owned(),
        (_, _) => "{\"result\":\"200\",\"status\":\"subscribed\"}".to_owned(),
    }
}

fn field<'a>(json: &'a [u8], name: &str) -> &'a str {
    let text = std::str::from_utf8(json).unwrap_or_default();
    let key = format!("\"{name}\":\"");
    text.split_once(&key).and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default()
}

fn script() -> String {
    let mut body = String::from("{\"name\":\"script\",\"pages\":[");
    for page in 0..8 {
        let _ = write!(body, "{}{{\"id\":\"page-{page}\",\"text\":\"How may I help you today?\"}}", comma(page));
    }
    body.push_str("]}");
    body
}

fn comma(page: u32) -> &'static str {
    if page == 0 { "" } else { "," }
}

/// Measured with nginx 1.22.
const NGINX: &str = "<html>\r\n<head><title>400 Bad Request</title></head>\r\n<body>\r\n<center><h1>400 Bad \
                     Request</h1></center>\r\n<hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";
