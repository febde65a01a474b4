//! What a person is shown of one id: its row and what belongs to it, gathered through nothing but lists and bytes, so
//! that it is the same for a finished, a running and a killed capture.

use std::{borrow::Cow, ops::ControlFlow};

use crate::{
    decode::{
        content::Decoded,
        http1::head::{Kind as HeadKind, find_head_end, parse_head},
    },
    model::{
        ExchangeId, Side,
        flag::Subject,
        http::{Head, Span},
        rows::{ConnectionRow, ExchangeRow, FlagRow, FrameRow, Row, SessionRow},
        trace::ByteRange,
    },
    redact::{Redactor, Scrubber, lossy},
};

use super::{
    Error,
    bodies::{Half, Halves},
    capture::Capture,
    known,
    list::{About, Query, Secrets},
    raw::Part,
    source::Kind,
};

/// Rows of one kind that are shown below another; more are counted.
const MOST: usize = 200;
/// Bytes of a message that are read for its head and its excerpt.
const READ: u64 = 256 << 10;
/// Longer bodies are shown by their beginning.
const EXCERPT: usize = 4 << 10;

/// One id with what belongs to it.
#[derive(Debug)]
pub enum Details {
    /// A connection.
    Connection(Box<ConnectionDetails>),
    /// An exchange.
    Exchange(Box<ExchangeDetails>),
    /// A frame.
    Frame(Box<FrameDetails>),
    /// A session.
    Session(Box<SessionDetails>),
}

/// A connection with what happened on it.
#[derive(Debug)]
pub struct ConnectionDetails {
    /// Itself.
    pub row: ConnectionRow,
    /// The first of its exchanges.
    pub exchanges: Vec<ExchangeRow>,
    /// Flags on itself.
    pub flags: Vec<FlagRow>,
}

/// An exchange with its bytes and frames.
#[derive(Debug)]
pub struct ExchangeDetails {
    /// Itself.
    pub row: ExchangeRow,
    /// What the client sent.
    pub request: Message,
    /// What was answered.
    pub response: Message,
    /// Flags on it.
    pub flags: Vec<FlagRow>,
    /// The first of its frames.
    pub frames: Vec<FrameRow>,
}

/// A frame with what it bore.
#[derive(Debug)]
pub struct FrameDetails {
    /// Itself, with its text.
    pub row: FrameRow,
    /// Flags on it.
    pub flags: Vec<FlagRow>,
}

/// A session with what happened in it.
#[derive(Debug)]
pub struct SessionDetails {
    /// Itself.
    pub row: SessionRow,
    /// The first of its exchanges and sockets.
    pub exchanges: Vec<ExchangeRow>,
    /// The first frames of its sockets.
    pub frames: Vec<FrameRow>,
    /// Whether there are more frames than these.
    pub more_frames: bool,
    /// Flags in it.
    pub flags: Vec<FlagRow>,
}

/// A request or a response as bytes.
#[derive(Debug, Default)]
pub struct Message {
    /// The head as it came, fingerprints in the place of secrets. Empty where there was none or it is not there.
    pub head: Vec<u8>,
    /// Of the body.
    pub body: Excerpt,
    /// What of the bytes could not be had, and why.
    pub missing: Vec<String>,
}

/// The beginning of a body.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Excerpt {
    /// There is no body, or nothing of it could be had.
    #[default]
    None,
    /// Text, transfer and content coding taken off.
    Text {
        /// The beginning.
        text: String,
        /// Whether that is all.
        whole: bool,
    },
    /// No text.
    Binary,
}

/// The row of an id, as [`Capture::show`] has it, without the secrets that are said elsewhere in the capture.
///
/// # Errors
/// As there.
pub fn row(capture: &Capture, id: Subject, secrets: Secrets) -> Result<Row, Error> {
    let mut row = capture.show(id, secrets)?;
    if let Row::Frame(frame) = &mut row {
        hide(capture, secrets, std::slice::from_mut(frame))?;
    }
    Ok(row)
}

/// Takes out of the texts of frames what their own connection does not tell to be a secret.
fn hide(capture: &Capture, secrets: Secrets, frames: &mut [FrameRow]) -> Result<(), Error> {
    if secrets == Secrets::Kept || frames.iter().all(|frame| frame.text.is_none()) {
        return Ok(());
    }
    if let Some(mut known) = known::quickly(capture, capture.collector())? {
        hide_known(&mut known, frames);
    }
    Ok(())
}

fn hide_known(known: &mut Scrubber, frames: &mut [FrameRow]) {
    for text in frames.iter_mut().filter_map(|frame| frame.text.as_mut()) {
        if let Cow::Owned(hidden) = known.values(text.as_bytes()) {
            *text = lossy(&hidden);
        }
    }
}

/// Gathers what there is of an id.
pub fn gather(capture: &Capture, id: Subject, secrets: Secrets) -> Result<Details, Error> {
    Ok(match row(capture, id, secrets)? {
        Row::Connection(row) => Details::Connection(Box::new(connection(capture, row, secrets)?)),
        Row::Exchange(row) => Details::Exchange(Box::new(exchange(capture, *row, secrets)?)),
        Row::Frame(row) => {
            let flags = flags_of(capture, Subject::Frame(row.id))?;
            Details::Frame(Box::new(FrameDetails { row, flags }))
        }
        Row::Session(row) => Details::Session(Box::new(session(capture, row, secrets)?)),
        // Flags have no id, so nobody can ask for one.
        Row::Flag(row) => {
            return Err(Error::Unexpected { what: format!("a flag ({}) in the place of {id}", row.rule) });
        }
    })
}

fn connection(capture: &Capture, row: ConnectionRow, secrets: Secrets) -> Result<ConnectionDetails, Error> {
    let exchanges = exchanges_about(capture, About::Connection(row.id), secrets)?;
    let flags = flags_of(capture, Subject::Connection(row.id))?;
    Ok(ConnectionDetails { row, exchanges, flags })
}

fn exchange(capture: &Capture, row: ExchangeRow, secrets: Secrets) -> Result<ExchangeDetails, Error> {
    let mut hiding = match secrets {
        Secrets::Kept => None,
        Secrets::Fingerprints => {
            let known = match known::quickly(capture, capture.collector())? {
                Some(known) => known,
                None => known::around(capture, row.connection, capture.collector())?,
            };
            Some(Hiding { redactor: capture.redactor(), known })
        }
    };
    let (request, response) = messages(capture, &row, hiding.as_mut())?;
    let flags = flags_of(capture, Subject::Exchange(row.id))?;
    let mut frames = Vec::new();
    if row.websocket.is_some() {
        frames_of(capture, row.id, secrets, &mut frames)?;
        if let Some(hiding) = &mut hiding {
            hide_known(&mut hiding.known, &mut frames);
        }
    }
    Ok(ExchangeDetails { row, request, response, flags, frames })
}

fn session(capture: &Capture, row: SessionRow, secrets: Secrets) -> Result<SessionDetails, Error> {
    let exchanges = exchanges_about(capture, About::Session(row.id), secrets)?;
    let mut frames = Vec::new();
    for socket in row.sockets.iter().take(MOST) {
        if frames.len() < MOST {
            frames_of(capture, *socket, secrets, &mut frames)?;
        }
    }
    frames.sort_by_key(|frame| frame.arrived_ns);
    let more_frames = frames.len() >= MOST;
    frames.truncate(MOST);
    hide(capture, secrets, &mut frames)?;
    let flags = flags(capture, About::Session(row.id))?;
    Ok(SessionDetails { row, exchanges, frames, more_frames, flags })
}

fn exchanges_about(capture: &Capture, about: About, secrets: Secrets) -> Result<Vec<ExchangeRow>, Error> {
    let mut rows = Vec::new();
    let query = Query { about: Some(about), limit: Some(MOST), secrets, filter: None };
    capture.list(Kind::Exchanges, query, &mut |row| {
        if let Row::Exchange(row) = row {
            rows.push(*row);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(rows)
}

fn frames_of(capture: &Capture, id: ExchangeId, secrets: Secrets, rows: &mut Vec<FrameRow>) -> Result<(), Error> {
    let query = Query { about: Some(About::Exchange(id)), limit: Some(MOST), secrets, filter: None };
    capture.list(Kind::Frames, query, &mut |row| {
        if let Row::Frame(row) = row {
            rows.push(row);
        }
        Ok(ControlFlow::Continue(()))
    })
}

fn flags_of(capture: &Capture, id: Subject) -> Result<Vec<FlagRow>, Error> {
    flags(capture, About::Subject(id))
}

fn flags(capture: &Capture, about: About) -> Result<Vec<FlagRow>, Error> {
    let mut rows = Vec::new();
    let query = Query { about: Some(about), limit: Some(MOST), ..Query::default() };
    capture.list(Kind::Flags, query, &mut |row| {
        if let Row::Flag(row) = row {
            rows.push(row);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(rows)
}

/// Reads the beginning of request and response and decodes it once more, which takes codings off the bodies.
fn messages(
    capture: &Capture,
    row: &ExchangeRow,
    mut redactor: Option<&mut Hiding>,
) -> Result<(Message, Message), Error> {
    let request = beginning(capture, row.id, Part::Request)?;
    let response = beginning(capture, row.id, Part::Response)?;
    let halves = Halves::decode(&request.bytes, &response.bytes);
    let mut message = |read: Read, half: &Half, kind: HeadKind, size: Option<u64>| Message {
        head: match &half.head {
            Some(head) => shown_head(head, redactor.as_deref_mut(), Some(row)),
            None => shown_anyway(&read, kind, redactor.as_deref_mut()),
        },
        body: excerpt(half, size.unwrap_or_default(), redactor.as_deref_mut()),
        missing: read.missing,
    };
    // The request's secrets are known by the time the response is shown, which may echo them.
    let first = message(request, &halves.request, HeadKind::Request, Some(row.request_body_bytes));
    let second = message(response, &halves.response, HeadKind::Response, row.response_body_bytes);
    Ok((first, second))
}

/// Puts fingerprints at the named places, and wherever a secret stands that was said around it.
struct Hiding {
    redactor: Redactor,
    known: Scrubber,
}

impl Hiding {
    fn target(&mut self, target: &[u8]) -> String {
        let shown = self.redactor.target(target);
        self.known(shown)
    }

    fn header(&mut self, name: &[u8], value: &[u8]) -> String {
        let shown = self.redactor.header(name, value);
        self.known(shown)
    }

    /// What a table holds: it knew the secrets of all connections before.
    fn recorded(&mut self, said: &[u8], recorded: Option<&str>) -> Option<String> {
        let recorded = recorded.filter(|recorded| String::from_utf8_lossy(said) != **recorded)?;
        Some(self.known(recorded.to_owned()))
    }

    fn text(&mut self, text: &str) -> String {
        let shown = self.redactor.text(text).into_owned();
        self.known(shown)
    }

    fn known(&mut self, shown: String) -> String {
        match self.known.values(shown.as_bytes()) {
            Cow::Borrowed(_) => shown,
            Cow::Owned(hidden) => lossy(&hidden),
        }
    }
}

struct Read {
    bytes: Vec<u8>,
    missing: Vec<String>,
}

fn beginning(capture: &Capture, id: ExchangeId, part: Part) -> Result<Read, Error> {
    let mut bytes = Vec::new();
    let copied = capture.raw(Subject::Exchange(id), part, Some(READ), &mut bytes)?;
    // What comes behind a hole would be taken for its continuation.
    if let Some(first) = copied.missing.first() {
        bytes.truncate(usize::try_from(first.after).unwrap_or(usize::MAX));
    }
    Ok(Read { bytes, missing: copied.missing.into_iter().map(|missing| missing.to_string()).collect() })
}

/// A head byte for byte, but for its secrets: those that its row has as fingerprints, and those that are known here.
fn shown_head(head: &Head, redactor: Option<&mut Hiding>, row: Option<&ExchangeRow>) -> Vec<u8> {
    let Some(redactor) = redactor else { return head.raw.to_vec() };
    let raw = &head.raw;
    let recorded = match head.status() {
        None => row.map(|row| &row.request_headers),
        Some(_) => row.and_then(|row| row.response_headers.as_ref()),
    };
    let recorded = recorded.filter(|recorded| recorded.iter().count() == head.fields.len());
    let recorded_target = row.map(|row| row.target.as_str());
    let mut out = Vec::with_capacity(raw.len());
    let mut upto = 0;
    let mut replace = |span: Span, shown: String| {
        if shown.as_bytes() == span.of(raw) || String::from_utf8_lossy(span.of(raw)) == shown {
            return;
        }
        out.extend_from_slice(raw.get(upto..span.start as usize).unwrap_or_default());
        out.extend_from_slice(shown.as_bytes());
        upto = span.end as usize;
    };
    if !head.target().is_empty() && head.status().is_none() {
        let [_, target, _] = head.start;
        let shown = redactor.recorded(head.target(), recorded_target);
        replace(target, shown.unwrap_or_else(|| redactor.target(head.target())));
    }
    let mut recorded = recorded.into_iter().flat_map(|recorded| recorded.iter());
    for field in &head.fields {
        let (name, value) = (field.name.of(raw), field.value.of(raw));
        let shown = redactor.recorded(value, recorded.next().map(|(_, value)| value));
        replace(field.value, shown.unwrap_or_else(|| redactor.header(name, value)));
    }
    out.extend_from_slice(raw.get(upto..).unwrap_or_default());
    // Names, the method, the reason, and lines that are none.
    redactor.known.values(&out).into_owned()
}

/// What the decoder does not take for a head, as far as the first empty line. Nothing of it where its beginning is
/// missing: a secret's name may be, too.
fn shown_anyway(read: &Read, kind: HeadKind, redactor: Option<&mut Hiding>) -> Vec<u8> {
    if !read.missing.is_empty() {
        return Vec::new();
    }
    let end = find_head_end(&read.bytes, 0).unwrap_or_else(|| read.bytes.len().min(EXCERPT));
    let bytes = read.bytes.get(..end).unwrap_or_default();
    let from = if kind == HeadKind::Request { Side::Client } else { Side::Server };
    let (head, _) = parse_head(bytes, ByteRange { from, start: 0, end: bytes.len() as u64 }, kind);
    shown_head(&head, redactor, None)
}

fn excerpt(half: &Half, size: u64, redactor: Option<&mut Hiding>) -> Excerpt {
    if half.body.is_empty() {
        return Excerpt::None;
    }
    let (decoded, all) = match half.decoded(READ as usize) {
        Decoded::Whole(decoded) => (decoded, half.body.len() as u64 >= size),
        Decoded::Capped(decoded) | Decoded::Damaged(decoded) => (decoded, false),
        Decoded::Unsupported(_) => return Excerpt::Binary,
    };
    // A character that is cut at the end does not make it binary.
    let text = match std::str::from_utf8(&decoded) {
        Ok(text) => text,
        Err(error) if decoded.len() - error.valid_up_to() < 4 && !all => {
            std::str::from_utf8(decoded.get(..error.valid_up_to()).unwrap_or_default()).unwrap_or_default()
        }
        Err(_) => return Excerpt::Binary,
    };
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Excerpt::Binary;
    }
    // Redacted first: a secret that the cut goes through would not be known for one.
    let text = match redactor {
        Some(redactor) => redactor.text(text),
        None => text.to_owned(),
    };
    let end = (0..=EXCERPT.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    let whole = end == text.len() && all;
    Excerpt::Text { text: text.get(..end).unwrap_or_default().to_owned(), whole }
}
