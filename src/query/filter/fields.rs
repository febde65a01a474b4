//! The table of fields: name, type, whose they are, what they mean, and how to get at them.

use std::fmt::Write as _;

use super::{Joined, RowKind, RowRef};
use crate::model::{
    Timestamp,
    headers::Headers,
    rows::{ConnectionRow, ExchangeRow, FrameRow, Phase},
    websocket::opcode,
};

/// One field.
#[derive(Debug)]
pub(super) struct Field {
    pub name: &'static str,
    /// Further names, such as those of the JSON.
    pub also: &'static [&'static str],
    pub of: &'static [RowKind],
    pub type_: Type,
    pub doc: &'static str,
    /// What a look into it needs beside rows.
    pub content: Option<Content>,
    pub value: for<'a> fn(&View<'a>) -> Value<'a>,
}

/// What a field holds, and so what it can be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    /// Yes or no.
    Bool,
    /// A text, or several of which one must match.
    Text,
    /// Header lines; `.NAME` behind the field picks the values of one.
    Header,
    Number,
    /// Bytes.
    Size,
    /// Stored in nanoseconds.
    Duration,
    /// `hint` < `warning` < `error`.
    Severity,
    /// Its size by `=` and order, its content by `~`.
    Body,
}

/// Bytes that rows do not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Bodies,
    FrameText,
}

/// What a field is in one row.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Unknown,
    Bool(bool),
    Number(u64),
    Text(&'a str),
    Made(String),
    List(&'a [String]),
    Headers([Option<&'a Headers>; 2]),
    Body { size: Option<u64>, content: [Option<&'a [u8]>; 2] },
}

/// A row with what belongs to it.
pub(super) struct View<'a> {
    row: RowRef<'a>,
    connection: Option<&'a ConnectionRow>,
    exchange: Option<&'a ExchangeRow>,
    request_body: Option<&'a [u8]>,
    response_body: Option<&'a [u8]>,
}

impl<'a> View<'a> {
    pub(super) fn new(row: RowRef<'a>, joined: Joined<'a>) -> Self {
        let Joined { connection, exchange, request_body, response_body } = joined;
        let (connection, exchange) = match row {
            RowRef::Connection(row) => (Some(row), None),
            RowRef::Exchange(row) => (connection, Some(row)),
            RowRef::Frame(_) | RowRef::Flag(_) => (connection, exchange),
            RowRef::Session(_) => (None, None),
        };
        Self { row, connection, exchange, request_body, response_body }
    }

    fn frame(&self) -> Option<&'a FrameRow> {
        if let RowRef::Frame(row) = self.row { Some(row) } else { None }
    }

    fn of_connection(&self, value: impl FnOnce(&'a ConnectionRow) -> Value<'a>) -> Value<'a> {
        self.connection.map_or(Value::Unknown, value)
    }

    fn of_exchange(&self, value: impl FnOnce(&'a ExchangeRow) -> Value<'a>) -> Value<'a> {
        self.exchange.map_or(Value::Unknown, value)
    }
}

impl Field {
    /// The field of that name, however it is written.
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        let plain = name.to_ascii_lowercase().replace('_', "-");
        FIELDS.iter().find(|field| field.name == plain || field.also.contains(&plain.as_str()))
    }

    /// Whether rows of that kind have it, or can have it joined.
    pub(super) fn reaches(&self, kind: RowKind) -> bool {
        let joined: &[RowKind] = match kind {
            RowKind::Connection | RowKind::Session => &[],
            RowKind::Exchange => &[RowKind::Connection],
            RowKind::Frame | RowKind::Flag => &[RowKind::Exchange, RowKind::Connection],
        };
        self.of.contains(&kind) || joined.iter().any(|kind| self.of.contains(kind))
    }
}

impl PartialEq for Field {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Type {
    /// As messages call it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "yes or no",
            Self::Text => "a text",
            Self::Header => "header lines",
            Self::Number => "a number",
            Self::Size => "a size",
            Self::Duration => "a duration",
            Self::Severity => "a severity",
            Self::Body => "a body",
        }
    }

    /// What may follow it.
    pub(super) fn operators(self) -> &'static str {
        match self {
            Self::Bool => "nothing behind it (`not` before it turns it round), or = with true or false",
            Self::Text | Self::Header => "= != ~ !~ with a text",
            Self::Number => "= != < <= > >= with a whole number, such as 400",
            Self::Size => "= != < <= > >= with a size, such as 10, 1KB or 1.5MiB",
            Self::Duration => "= != < <= > >= with a duration, such as 250us, 200ms, 1.5s or 2m",
            Self::Severity => "= != < <= > >= with hint, warning or error",
            Self::Body => "= != < <= > >= with a size, such as 1KB, or ~ !~ with a text to look for",
        }
    }
}

/// All fields as a text for the screen, kind by kind.
pub fn help() -> String {
    let width = FIELDS.iter().map(|field| field.name.len()).max().unwrap_or_default();
    let mut text = String::new();
    for kind in RowKind::ALL {
        let _ = writeln!(text, "Of {}:", kind.as_str());
        for field in FIELDS.iter().filter(|field| field.of.contains(&kind)) {
            let name = if field.type_ == Type::Header { format!("{}.NAME", field.name) } else { field.name.to_owned() };
            let _ = writeln!(text, "  {name:<width$}  {:<12}  {}", field.type_.as_str(), field.doc, width = width + 5);
        }
    }
    text.push_str(
        "Fields of connections also work on exchanges, frames and flags; those of exchanges on frames and flags.\n",
    );
    text
}

macro_rules! fields {
    ($($name:literal $also:tt of $of:tt $type_:ident $(reads $content:ident)?: $doc:literal => $value:expr;)*) => {
        /// All of them.
        pub(super) const FIELDS: &[Field] = {
            use RowKind::{Connection, Exchange, Flag, Frame, Session};
            &[$(Field {
                name: $name,
                also: &$also,
                of: &$of,
                type_: Type::$type_,
                doc: $doc,
                content: fields!(@content $($content)?),
                value: $value,
            }),*]
        };
    };
    (@content) => { None };
    (@content $content:ident) => { Some(Content::$content) };
}

fields! {
    "kind" [] of [Connection, Exchange, Frame, Session, Flag] Text: "connection, exchange, frame, session or flag"
        => |view| Value::Text(view.row.kind().as_str().trim_end_matches('s'));
    "id" [] of [Connection, Exchange, Frame, Session] Text: "its id, such as c12, x345, f9, s3"
        => |view| match view.row {
            RowRef::Connection(row) => Value::Made(row.id.to_string()),
            RowRef::Exchange(row) => Value::Made(row.id.to_string()),
            RowRef::Frame(row) => Value::Made(row.id.to_string()),
            RowRef::Session(row) => Value::Made(row.id.to_string()),
            RowRef::Flag(_) => Value::Unknown,
        };
    "connection" [] of [Connection, Exchange, Frame] Text: "the id of its connection"
        => |view| match view.row {
            RowRef::Frame(row) => Value::Made(row.connection.to_string()),
            _ => made(view.exchange.map(|row| row.connection).or_else(|| view.connection.map(|row| row.id))),
        };
    "exchange" [] of [Exchange, Frame] Text: "the id of its exchange"
        => |view| made(view.frame().map(|row| row.exchange).or_else(|| view.exchange.map(|row| row.id)));
    "session" [] of [Exchange, Session, Flag] Text: "the id of its session"
        => |view| match view.row {
            RowRef::Session(row) => Value::Made(row.id.to_string()),
            RowRef::Flag(row) => made(row.session),
            _ => made(view.exchange.and_then(|row| row.session)),
        };
    "at" [] of [Connection, Exchange, Frame, Flag] Duration: "when it began, since the capture began"
        => |view| match view.row {
            RowRef::Connection(row) => Value::Number(row.opened_ns.0),
            RowRef::Exchange(row) => Value::Number(row.request_first_byte_ns.0),
            RowRef::Frame(row) => Value::Number(row.arrived_ns.0),
            RowRef::Flag(row) => Value::Number(row.at_ns.0),
            RowRef::Session(_) => Value::Unknown,
        };
    "flag" ["flags", "flagged", "rule"] of [Exchange, Session, Flag] Text: "the rules that were hit, such as metadata-before-open"
        => |view| match view.row {
            RowRef::Flag(row) => Value::Text(&row.rule),
            RowRef::Session(row) => Value::List(&row.flags),
            _ => view.of_exchange(|row| Value::List(&row.flags)),
        };

    "mode" [] of [Connection] Text: "the mode as it was given: forward, reverse:https://…"
        => |view| view.of_connection(|row| Value::Text(&row.mode));
    "client" ["src"] of [Connection] Text: "the client's address and port"
        => |view| view.of_connection(|row| Value::Text(&row.client));
    "server" ["dst"] of [Connection, Exchange] Text: "the server's address and port"
        => |view| match view.exchange.and_then(|row| row.server.as_deref()) {
            Some(server) => Value::Text(server),
            None => text(view.connection.and_then(|row| row.server.as_deref())),
        };
    "authority" [] of [Connection, Exchange] Text: "host and port that were asked for"
        => |view| match view.exchange {
            Some(row) => Value::Text(&row.authority),
            None => text(view.connection.and_then(|row| row.authority.as_deref())),
        };
    "host" ["domain"] of [Connection, Exchange] Text: "the host that was asked for, without port"
        => |view| match view.exchange {
            Some(row) => Value::Text(without_port(&row.authority)),
            None => text(view.connection.and_then(|row| row.authority.as_deref()).map(without_port)),
        };
    "sni" [] of [Connection] Text: "the server name in the client's TLS"
        => |view| view.of_connection(|row| text(row.sni.as_deref()));
    "alpn" [] of [Connection] Text: "the protocol chosen in TLS: h2, http/1.1"
        => |view| view.of_connection(|row| text(row.alpn.as_deref()));
    "client-tls" [] of [Connection] Text: "the client leg's TLS version"
        => |view| view.of_connection(|row| text(row.client_tls.as_deref()));
    "server-tls" [] of [Connection] Text: "the server leg's TLS version"
        => |view| view.of_connection(|row| text(row.server_tls.as_deref()));
    "open" [] of [Connection] Bool: "not closed yet"
        => |view| view.of_connection(|row| Value::Bool(row.closed_ns.is_none()));
    "closed-by" [] of [Connection] Text: "who closed it: client, server or proxy"
        => |view| view.of_connection(|row| text(row.closed_by.as_deref()));
    "how" [] of [Connection] Text: "how it was closed: fin, close_notify, rst, timeout, error"
        => |view| view.of_connection(|row| text(row.how.as_deref()));
    "lifetime" [] of [Connection] Duration: "from accept to close"
        => |view| view.of_connection(|row| between(Some(row.opened_ns), row.closed_ns));
    "connect-time" [] of [Connection] Duration: "from the CONNECT to our answer"
        => |view| view.of_connection(|row| phase(row.phases.connect));
    "dial-time" [] of [Connection] Duration: "name lookup and TCP connection to the server"
        => |view| view.of_connection(|row| phase(row.phases.dial));
    "server-tls-time" [] of [Connection] Duration: "the server leg's handshake"
        => |view| view.of_connection(|row| phase(row.phases.server_tls));
    "client-tls-time" [] of [Connection] Duration: "the client leg's handshake"
        => |view| view.of_connection(|row| phase(row.phases.client_tls));
    "server-rtt" ["server-rtt-ns"] of [Connection] Duration: "round trip to the server"
        => |view| view.of_connection(|row| number(row.server_rtt_ns));
    "bytes-from-client" [] of [Connection] Size: "bytes that the client sent, inside TLS"
        => |view| view.of_connection(|row| Value::Number(row.bytes_from_client));
    "bytes-from-server" [] of [Connection] Size: "bytes that the server sent, inside TLS"
        => |view| view.of_connection(|row| Value::Number(row.bytes_from_server));
    "exchanges" [] of [Connection, Session] Number: "how many it has"
        => |view| match view.row {
            RowRef::Session(row) => Value::Number(row.exchanges.len() as u64),
            _ => view.of_connection(|row| Value::Number(row.exchanges)),
        };
    "frames" [] of [Connection, Exchange] Number: "how many WebSocket frames it has, of both sides"
        => |view| match view.row {
            RowRef::Connection(row) => Value::Number(row.frames),
            _ => view.of_exchange(|row| {
                number(row.websocket.as_ref().map(|socket| socket.frames_from_client + socket.frames_from_server))
            }),
        };
    "gaps" [] of [Connection] Number: "how many gaps its record has"
        => |view| view.of_connection(|row| Value::Number(row.gaps));
    "proxy-error" [] of [Connection] Text: "what went wrong on our side or towards the server"
        => |view| view.of_connection(|row| text(row.proxy_error.as_deref()));
    "opaque" [] of [Connection] Text: "why its bytes are not decoded: h2, not-http, upgrade, ..."
        => |view| view.of_connection(|row| text(row.opaque.as_deref()));
    "failed" ["error"] of [Connection, Exchange] Bool: "the server has not answered; of a connection: it has a proxy-error"
        => |view| match view.row {
            RowRef::Connection(row) => Value::Bool(row.proxy_error.is_some()),
            _ => view.of_exchange(|row| Value::Bool(row.status.is_none() || row.proxy_made)),
        };

    "index" [] of [Exchange] Number: "which of its connection's exchanges, from 1"
        => |view| view.of_exchange(|row| Value::Number(row.index.into()));
    "method" [] of [Exchange] Text: "GET, POST, …"
        => |view| view.of_exchange(|row| Value::Text(&row.method));
    "url" [] of [Exchange] Text: "scheme, authority, path and query"
        => |view| view.of_exchange(|row| Value::Made(url(row)));
    "target" [] of [Exchange] Text: "the request's target as it was written"
        => |view| view.of_exchange(|row| Value::Text(&row.target));
    "scheme" [] of [Exchange] Text: "http, https, ws or wss"
        => |view| view.of_exchange(|row| Value::Text(&row.scheme));
    "path" [] of [Exchange] Text: "the path without query"
        => |view| view.of_exchange(|row| Value::Text(&row.path));
    "query" [] of [Exchange] Text: "what follows the first ? of the target"
        => |view| view.of_exchange(|row| text(row.target.split_once('?').map(|(_, query)| query)));
    "http" [] of [Exchange] Text: "the request's HTTP version: 1.1"
        => |view| view.of_exchange(|row| Value::Text(&row.http));
    "header" ["request-header", "request-headers"] of [Exchange] Header: "the request's headers; without .NAME whole lines"
        => |view| view.of_exchange(|row| Value::Headers([Some(&row.request_headers), None]));
    "response-header" ["response-headers"] of [Exchange] Header: "the response's headers"
        => |view| view.of_exchange(|row| Value::Headers([None, row.response_headers.as_ref()]));
    "any-header" [] of [Exchange] Header: "the request's and the response's headers"
        => |view| view.of_exchange(|row| {
            Value::Headers([Some(&row.request_headers), row.response_headers.as_ref()])
        });
    "request-body" ["request-body-bytes"] of [Exchange] Body reads Bodies: "the request's body"
        => |view| view.of_exchange(|row| {
            Value::Body { size: Some(row.request_body_bytes), content: [view.request_body, None] }
        });
    "response-body" ["response-body-bytes"] of [Exchange] Body reads Bodies: "the response's body"
        => |view| view.of_exchange(|row| {
            Value::Body { size: row.response_body_bytes, content: [view.response_body, None] }
        });
    "body" [] of [Exchange, Frame] Body reads Bodies: "both bodies, or a frame's payload"
        => |view| match (view.row, view.exchange) {
            (RowRef::Frame(row), _) => {
                Value::Body { size: Some(row.bytes), content: [row.text.as_deref().map(str::as_bytes), None] }
            }
            (_, Some(row)) => Value::Body {
                size: Some(row.request_body_bytes.saturating_add(row.response_body_bytes.unwrap_or_default())),
                content: [view.request_body, view.response_body],
            },
            _ => Value::Unknown,
        };
    "status" ["code"] of [Exchange] Number: "the response's status"
        => |view| view.of_exchange(|row| number(row.status.map(u64::from)));
    "reason" [] of [Exchange] Text: "the response's reason phrase"
        => |view| view.of_exchange(|row| text(row.reason.as_deref()));
    "answered" [] of [Exchange] Bool: "a response came"
        => |view| view.of_exchange(|row| Value::Bool(row.status.is_some()));
    "refused" [] of [Exchange] Bool: "the server answered 4xx other than 401, 403, 404, 407"
        => |view| view.of_exchange(|row| {
            let refusal = row.status.is_some_and(|status| {
                (400..500).contains(&status) && !matches!(status, 401 | 403 | 404 | 407)
            });
            Value::Bool(refusal && !row.proxy_made)
        });
    "proxy-made" [] of [Exchange] Bool: "the answer is this proxy's own"
        => |view| view.of_exchange(|row| Value::Bool(row.proxy_made));
    "rewritten" [] of [Exchange] Bool: "the relay changed the request"
        => |view| view.of_exchange(|row| Value::Bool(!row.rewritten.is_empty()));
    "duration" [] of [Exchange] Duration: "from the request's first byte to the response's last"
        => |view| view.of_exchange(|row| between(Some(row.request_first_byte_ns), row.response_last_byte_ns));
    "wait" ["ttfb"] of [Exchange] Duration: "from the request's last byte to the response's first"
        => |view| view.of_exchange(|row| between(row.request_last_byte_ns, row.response_first_byte_ns));
    "websocket" [] of [Exchange, Frame] Bool: "asked to be a WebSocket, granted or not"
        => |view| match view.row {
            RowRef::Frame(_) => Value::Bool(true),
            _ => view.of_exchange(|row| {
                Value::Bool(row.websocket.is_some() || row.scheme == "ws" || row.scheme == "wss")
            }),
        };
    "open-time" [] of [Exchange] Duration: "from the upgrade's first byte to the server's OPEN"
        => |view| view.of_exchange(|row| {
            let open = row.websocket.as_ref().and_then(|socket| socket.server_open_ns);
            between(Some(row.request_first_byte_ns), open)
        });
    "socket-closed-by" [] of [Exchange] Text: "who ended the WebSocket: client, server or proxy"
        => |view| view.of_exchange(|row| text(row.websocket.as_ref().and_then(|socket| socket.closed_by.as_deref())));
    "close-code" [] of [Exchange] Number: "the WebSocket's close status"
        => |view| view.of_exchange(|row| {
            number(row.websocket.as_ref().and_then(|socket| socket.close_code).map(u64::from))
        });
    "frames-from-client" [] of [Exchange] Number: "how many frames the client sent"
        => |view| view.of_exchange(|row| number(row.websocket.as_ref().map(|socket| socket.frames_from_client)));
    "frames-from-server" [] of [Exchange] Number: "how many frames the server sent"
        => |view| view.of_exchange(|row| number(row.websocket.as_ref().map(|socket| socket.frames_from_server)));

    "from" [] of [Frame] Text: "who sent it: client or server"
        => |view| text(view.frame().map(|row| row.from.as_str()));
    "opcode" [] of [Frame] Number: "its opcode"
        => |view| number(view.frame().map(|row| row.opcode.into()));
    "type" [] of [Frame] Text: "its opcode in words: text, binary, continuation, close, ping, pong, reserved"
        => |view| text(view.frame().map(|row| opcode_name(row.opcode)));
    "fin" [] of [Frame] Bool: "it ends its message"
        => |view| bool(view.frame().map(|row| row.fin));
    "compressed" [] of [Frame] Bool: "it begins a compressed message"
        => |view| bool(view.frame().map(|row| row.compressed));
    "bytes" [] of [Frame] Size: "its payload as sent"
        => |view| number(view.frame().map(|row| row.bytes));
    "text" [] of [Frame] Text reads FrameText: "its payload, where that is plain text of modest size"
        => |view| text(view.frame().and_then(|row| row.text.as_deref()));

    "correlated-by" [] of [Session] Text: "by what it was put together: header, key, token or neighbour"
        => |view| if let RowRef::Session(row) = view.row { Value::Text(&row.correlated_by) } else { Value::Unknown };
    "sure" [] of [Session] Bool: "that is certain"
        => |view| if let RowRef::Session(row) = view.row { Value::Bool(row.sure) } else { Value::Unknown };
    "sockets" [] of [Session] Number: "how many WebSockets it asked for"
        => |view| match view.row {
            RowRef::Session(row) => Value::Number(row.sockets.len() as u64),
            _ => Value::Unknown,
        };

    "severity" [] of [Flag] Severity: "hint, warning or error"
        => |view| if let RowRef::Flag(row) = view.row { Value::Text(&row.severity) } else { Value::Unknown };
    "subject" [] of [Flag] Text: "the id of what was hit"
        => |view| if let RowRef::Flag(row) = view.row { Value::Text(&row.subject) } else { Value::Unknown };
    "message" [] of [Flag] Text: "what the rule says"
        => |view| if let RowRef::Flag(row) = view.row { Value::Text(&row.message) } else { Value::Unknown };
}

fn text(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Unknown, Value::Text)
}

fn number<'a>(number: Option<u64>) -> Value<'a> {
    number.map_or(Value::Unknown, Value::Number)
}

fn bool<'a>(bool: Option<bool>) -> Value<'a> {
    bool.map_or(Value::Unknown, Value::Bool)
}

fn made<'a>(id: Option<impl ToString>) -> Value<'a> {
    id.map_or(Value::Unknown, |id| Value::Made(id.to_string()))
}

fn between<'a>(begin: Option<Timestamp>, end: Option<Timestamp>) -> Value<'a> {
    number(begin.zip(end).map(|(begin, end)| end.0.saturating_sub(begin.0)))
}

fn phase<'a>(phase: Option<Phase>) -> Value<'a> {
    phase.map_or(Value::Unknown, |phase| between(Some(phase.begin_ns), phase.end_ns))
}

/// `api.test` of `api.test:443`, `[::1]` of `[::1]:443`.
fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

/// The exchange's URL; a target in absolute form is one already.
fn url(row: &ExchangeRow) -> String {
    if row.target.contains("://") && !row.target.starts_with('/') {
        return row.target.clone();
    }
    format!("{}://{}{}", row.scheme, row.authority, row.target)
}

fn opcode_name(number: u8) -> &'static str {
    match number {
        opcode::CONTINUATION => "continuation",
        opcode::TEXT => "text",
        opcode::BINARY => "binary",
        opcode::CLOSE => "close",
        opcode::PING => "ping",
        opcode::PONG => "pong",
        _ => "reserved",
    }
}
