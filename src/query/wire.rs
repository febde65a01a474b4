//! What is said on a running capture's socket, written once for both ends: requests as paths, rows as JSON lines. The
//! recorder's end does the HTTP around it ([`parse`](Request::parse), [`answer`]); the readers' is [`super::client`].
//!
//! `GET /status` · `GET /ls/exchanges?filter=…&about=c12&limit=20&secrets=kept&place` (one object a line, each followed
//! by one that says where its bytes lie where `place` is asked for) ·
//! `GET /show/x345?place` (an object; with `place` a second line that says where its bytes lie) ·
//! `GET /raw/x345?part=request&limit=1000` (bytes) · `GET /live?kinds=exchanges,flags` (upgrade; one object a message).

use std::{fmt::Write as _, io::Write, ops::ControlFlow};

use serde::{Deserialize, Serialize};

use crate::model::{
    flag::Subject,
    rows::{Extent, Offsets, Position, Row},
};

use super::{
    Error,
    filter::Filter,
    list::{self, About, Query, Secrets},
    raw::{self, Part},
    show,
    source::{Kind, Shelf},
};

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// How the recorder does.
    Status,
    /// What recording did to the traffic.
    Observed,
    /// Rows of a kind.
    List {
        /// Which kind.
        kind: Kind,
        /// In the filter language.
        filter: Option<String>,
        /// What they belong to.
        about: Option<About>,
        /// At most so many.
        limit: Option<usize>,
        /// What to show in the place of secrets.
        secrets: Secrets,
        /// Whether each row is followed by a line that says where its bytes lie.
        place: bool,
    },
    /// One row.
    Show {
        /// Which.
        id: Subject,
        /// What to show in the place of secrets.
        secrets: Secrets,
        /// Whether to say where its bytes lie as well.
        place: bool,
    },
    /// Exact bytes.
    Raw {
        /// Of what.
        id: Subject,
        /// Which.
        part: Part,
        /// At most so many.
        limit: Option<u64>,
    },
    /// Rows as they become final, over a WebSocket.
    Live {
        /// Which kinds, separated by commas; the usual ones where nothing is said.
        kinds: Option<String>,
        /// In the filter language.
        filter: Option<String>,
    },
}

/// A request that cannot be understood; the message is for the one who asked. To be answered with 400, or 404 for a path
/// that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misunderstood {
    /// No such path.
    #[error("no such path: {0} (there are /status, /observed, /routes, /ls/KIND, /show/ID, /raw/ID and /live)")]
    Path(String),
    /// A parameter with a value that it cannot have, or an unknown one.
    #[error("{0}")]
    Parameter(String),
}

impl Request {
    /// The path with its query.
    pub fn to_uri(&self) -> String {
        let mut parameters: Vec<(&str, String)> = Vec::new();
        let path = match self {
            Self::Status => "/status".to_owned(),
            Self::Observed => "/observed".to_owned(),
            Self::List { kind, filter, about, limit, secrets, place } => {
                parameters.extend(filter.clone().map(|filter| ("filter", filter)));
                parameters.extend(about.map(|about| ("about", about_text(about))));
                parameters.extend(limit.map(|limit| ("limit", limit.to_string())));
                parameters.extend(secrets_parameter(*secrets));
                parameters.extend(place.then(|| ("place", String::new())));
                format!("/ls/{kind}")
            }
            Self::Show { id, secrets, place } => {
                parameters.extend(secrets_parameter(*secrets));
                parameters.extend(place.then(|| ("place", String::new())));
                format!("/show/{id}")
            }
            Self::Raw { id, part, limit } => {
                parameters.push(("part", part.to_string()));
                parameters.extend(limit.map(|limit| ("limit", limit.to_string())));
                format!("/raw/{id}")
            }
            Self::Live { kinds, filter } => {
                parameters.extend(kinds.clone().map(|kinds| ("kinds", kinds)));
                parameters.extend(filter.clone().map(|filter| ("filter", filter)));
                "/live".to_owned()
            }
        };
        let mut uri = path;
        for (index, (name, value)) in parameters.iter().enumerate() {
            let _ = write!(uri, "{}{name}={}", if index == 0 { '?' } else { '&' }, percent_encode(value));
        }
        uri
    }

    /// From the path with its query.
    ///
    /// # Errors
    /// Names the parameter, what was found and what is allowed.
    pub fn parse(uri: &str) -> Result<Self, Misunderstood> {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let mut parameters = Parameters::read(query)?;
        let mut parts = path.trim_matches('/').splitn(2, '/');
        let (verb, what) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let request = match (verb, what) {
            ("status", "") => Self::Status,
            ("observed", "") => Self::Observed,
            ("ls", kind) => Self::List {
                kind: kind.parse().map_err(parameter)?,
                filter: parameters.take("filter"),
                about: parameters.take("about").map(|text| parse_about(&text)).transpose()?,
                limit: parameters.number("limit")?,
                secrets: parameters.secrets()?,
                place: parameters.take("place").is_some(),
            },
            ("show", id) => Self::Show {
                id: id.parse().map_err(parameter)?,
                secrets: parameters.secrets()?,
                place: parameters.take("place").is_some(),
            },
            ("raw", id) => Self::Raw {
                id: id.parse().map_err(parameter)?,
                part: parameters.take("part").unwrap_or_default().parse().map_err(parameter)?,
                limit: parameters.number("limit")?,
            },
            ("live", "") => Self::Live { kinds: parameters.take("kinds"), filter: parameters.take("filter") },
            _ => return Err(Misunderstood::Path(path.to_owned())),
        };
        parameters.end()?;
        Ok(request)
    }
}

/// Writes the answer to a request for rows or bytes. `/status`, `/observed` and `/live` are the recorder's own.
///
/// # Errors
/// Before the first byte where the filter, the id or the part is wrong ([`Error::is_askers`]: to be answered with 400 or
/// 404); later where the capture cannot be read or the asker has gone.
pub fn answer(shelf: Shelf<'_>, request: &Request, out: &mut dyn Write) -> Result<(), Error> {
    match request {
        Request::List { kind, filter, about, limit, secrets, place } => {
            let filter = filter.as_deref().map(Filter::parse).transpose()?;
            let query = Query { filter: filter.as_ref(), about: *about, limit: *limit, secrets: *secrets };
            list::list(shelf, *kind, query, &mut |row| {
                write_row(&row, out).map_err(Error::Write)?;
                if *place {
                    write_line(&Place::of(&row), out).map_err(Error::Write)?;
                }
                Ok(ControlFlow::Continue(()))
            })
        }
        Request::Show { id, secrets, place } => {
            let row = show(shelf, *id, *secrets)?;
            write_row(&row, out).map_err(Error::Write)?;
            if *place { write_line(&Place::of(&row), out).map_err(Error::Write) } else { Ok(()) }
        }
        Request::Raw { id, part, limit } => {
            let row = show(shelf, *id, Secrets::Kept)?;
            raw::copy(shelf.dir, &row, *part, *limit, out)?;
            Ok(())
        }
        Request::Status | Request::Observed | Request::Live { .. } => Ok(()),
    }
}

/// Writes a row as scripts see it, and a line end.
pub fn write_row(row: &Row, out: &mut dyn Write) -> std::io::Result<()> {
    match row {
        Row::Connection(row) => write_line(row, out),
        Row::Exchange(row) => write_line(row, out),
        Row::Frame(row) => write_line(row, out),
        Row::Session(row) => write_line(row, out),
        Row::Flag(row) => write_line(row, out),
    }
}

fn write_line(value: &impl Serialize, out: &mut dyn Write) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// A row from its JSON.
///
/// # Errors
/// Where it is none of that kind.
pub fn read_row(kind: Kind, json: &[u8]) -> Result<Row, serde_json::Error> {
    Ok(match kind {
        Kind::Connections => Row::Connection(serde_json::from_slice(json)?),
        Kind::Exchanges => Row::Exchange(serde_json::from_slice(json)?),
        Kind::Frames => Row::Frame(serde_json::from_slice(json)?),
        Kind::Sessions => Row::Session(serde_json::from_slice(json)?),
        Kind::Flags => Row::Flag(serde_json::from_slice(json)?),
    })
}

/// One message of `/live`: a row as it is, or how many were lost since the one before.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "nearly every message is a row")]
pub enum LiveMessage {
    /// A row. Its kind shows in its id; flags have none.
    Row(Row),
    /// `{"event":"lost","rows":5}`: the reader was too slow for so many.
    Lost(u64),
}

#[derive(Serialize, Deserialize)]
struct LostLine {
    event: String,
    rows: u64,
}

impl LiveMessage {
    /// As JSON, without a line end.
    pub fn to_json(&self) -> String {
        let mut line = Vec::new();
        // Writing to memory does not fail.
        let _ = match self {
            Self::Row(row) => write_row(row, &mut line),
            Self::Lost(rows) => write_line(&LostLine { event: "lost".to_owned(), rows: *rows }, &mut line),
        };
        String::from_utf8_lossy(line.trim_ascii_end()).into_owned()
    }

    /// From JSON.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn from_json(json: &str) -> Result<Self, serde_json::Error> {
        #[derive(Deserialize)]
        struct Which {
            id: Option<String>,
            event: Option<String>,
        }
        let which: Which = serde_json::from_str(json)?;
        if which.event.is_some() {
            return serde_json::from_str::<LostLine>(json).map(|line| Self::Lost(line.rows));
        }
        let kind = match which.id.as_deref().and_then(|id| id.chars().next()) {
            Some('c') => Kind::Connections,
            Some('x') => Kind::Exchanges,
            Some('f') => Kind::Frames,
            Some('s') => Kind::Sessions,
            _ => Kind::Flags,
        };
        read_row(kind, json.as_bytes()).map(Self::Row)
    }
}

/// Where a row's bytes lie: what its JSON leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Segment and offset of the first and the last record.
    extent: [(u64, u64); 2],
    /// An exchange's six offsets, or a frame's two.
    offsets: [u64; 6],
}

impl Place {
    fn of(row: &Row) -> Self {
        let (extent, offsets) = match row {
            Row::Connection(row) => (row.extent, [0; 6]),
            Row::Exchange(row) => {
                let o = row.offsets;
                let request = [o.request_start, o.request_head_end, o.request_end];
                let [a, b, c] = request;
                (row.extent, [a, b, c, o.response_start, o.response_head_end, o.response_end])
            }
            Row::Frame(row) => (row.extent, [row.start, row.end, 0, 0, 0, 0]),
            Row::Session(_) | Row::Flag(_) => return Self::default(),
        };
        let pair = |position: Position| (position.segment, position.offset);
        Self { extent: [pair(extent.first), pair(extent.last)], offsets }
    }

    /// Puts it back into the row.
    pub(super) fn put(self, row: &mut Row) {
        let [first, last] = self.extent.map(|(segment, offset)| Position { segment, offset });
        let extent = Extent { first, last };
        let [request_start, request_head_end, request_end, response_start, response_head_end, response_end] =
            self.offsets;
        match row {
            Row::Connection(row) => row.extent = extent,
            Row::Exchange(row) => {
                row.extent = extent;
                row.offsets = Offsets {
                    request_start,
                    request_head_end,
                    request_end,
                    response_start,
                    response_head_end,
                    response_end,
                };
            }
            Row::Frame(row) => {
                row.extent = extent;
                (row.start, row.end) = (request_start, request_head_end);
            }
            Row::Session(_) | Row::Flag(_) => {}
        }
    }
}

/// `c12`, `x3`, `s1`: all that belongs to it; `on:x3`: the flags on it alone.
fn about_text(about: About) -> String {
    match about {
        About::Connection(id) => id.to_string(),
        About::Exchange(id) => id.to_string(),
        About::Session(id) => id.to_string(),
        About::Subject(id) => format!("on:{id}"),
    }
}

fn parse_about(text: &str) -> Result<About, Misunderstood> {
    if let Some(id) = text.strip_prefix("on:") {
        return id.parse().map(About::Subject).map_err(parameter);
    }
    match text.parse().map_err(parameter)? {
        Subject::Connection(id) => Ok(About::Connection(id)),
        Subject::Exchange(id) => Ok(About::Exchange(id)),
        Subject::Session(id) => Ok(About::Session(id)),
        id @ Subject::Frame(_) => Ok(About::Subject(id)),
    }
}

fn secrets_parameter(secrets: Secrets) -> Option<(&'static str, String)> {
    (secrets == Secrets::Kept).then(|| ("secrets", "kept".to_owned()))
}

fn parameter(error: impl std::fmt::Display) -> Misunderstood {
    Misunderstood::Parameter(error.to_string())
}

/// The parameters of a query that were not taken yet.
struct Parameters(Vec<(String, String)>);

impl Parameters {
    fn read(query: &str) -> Result<Self, Misunderstood> {
        let mut parameters = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parameters.push((percent_decode(name)?, percent_decode(value)?));
        }
        Ok(Self(parameters))
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let at = self.0.iter().position(|(found, _)| found == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn number<N: std::str::FromStr>(&mut self, name: &str) -> Result<Option<N>, Misunderstood> {
        let Some(text) = self.take(name) else { return Ok(None) };
        let wrong = || Misunderstood::Parameter(format!("{name}={text}: expected a number"));
        text.parse().map(Some).map_err(|_| wrong())
    }

    fn secrets(&mut self) -> Result<Secrets, Misunderstood> {
        match self.take("secrets").as_deref() {
            None => Ok(Secrets::Fingerprints),
            Some("kept") => Ok(Secrets::Kept),
            Some(other) => Err(Misunderstood::Parameter(format!("secrets={other}: expected kept, or nothing"))),
        }
    }

    fn end(self) -> Result<(), Misunderstood> {
        match self.0.first() {
            Some((name, _)) => Err(Misunderstood::Parameter(format!("no such parameter here: {name}"))),
            None => Ok(()),
        }
    }
}

/// RFC 3986, 2.1: everything but unreserved characters.
fn percent_encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b',' | b':') {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

fn percent_decode(text: &str) -> Result<String, Misunderstood> {
    let wrong = || Misunderstood::Parameter(format!("{text:?} is not percent-encoded UTF-8"));
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16)).ok_or_else(wrong);
        let value = digit()? * 16 + digit()?;
        bytes.push(u8::try_from(value).map_err(|_| wrong())?);
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ConnectionId, ExchangeId, FrameId};

    #[test]
    fn both_ends_mean_the_same() {
        for request in [
            Request::Status,
            Request::List {
                kind: Kind::Exchanges,
                filter: Some("status>=400 and path~\"/ä %&=?\"".to_owned()),
                about: Some(About::Connection(ConnectionId(12))),
                limit: Some(20),
                secrets: Secrets::Kept,
                place: true,
            },
            Request::List {
                kind: Kind::Flags,
                filter: None,
                about: Some(About::Subject(Subject::Frame(FrameId(9)))),
                limit: None,
                secrets: Secrets::Fingerprints,
                place: false,
            },
            Request::Show { id: Subject::Frame(FrameId(9)), secrets: Secrets::Fingerprints, place: true },
            Request::Raw { id: Subject::Exchange(ExchangeId(3)), part: Part::RequestSent, limit: Some(7) },
            Request::Live { kinds: Some("exchanges,flags".to_owned()), filter: None },
        ] {
            assert_eq!(Request::parse(&request.to_uri()), Ok(request.clone()), "{}", request.to_uri());
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (uri, names) in [
            ("/nowhere", "/nowhere"),
            ("/ls/exchange", "expected connections"),
            ("/ls/flags?limit=many", "limit=many"),
            ("/ls/flags?colour=red", "colour"),
            ("/show/y3", "y3"),
            ("/raw/x3", "request-sent"),
            ("/ls/flags?filter=%f", "percent-encoded"),
            ("/ls/flags?filter=%ff", "percent-encoded"),
            ("/show/x3?secrets=yes", "secrets=yes"),
        ] {
            let message = Request::parse(uri).unwrap_err().to_string();
            assert!(message.contains(names), "{uri}: {message}");
        }
    }

    #[test]
    fn live_messages_come_back() {
        let lost = LiveMessage::Lost(5);
        assert_eq!(lost.to_json(), r#"{"event":"lost","rows":5}"#);
        assert_eq!(LiveMessage::from_json(&lost.to_json()).unwrap(), lost);
        assert!(LiveMessage::from_json("[]").is_err());
    }
}
