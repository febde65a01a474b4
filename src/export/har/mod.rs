//! HAR 1.2, as browsers write and read it, with what is customary beside it: `_webSocketMessages` and `_resourceType`
//! (Chromium), `_webSocketClose` and `_content` (HTTP Toolkit). What is only ours is in `_firstframe`.
//!
//! - `connect` includes `ssl`; -1 is unknown; times have fractions; a socket's URL is `wss://`.
//! - The first exchange of a connection begins with the connection's setup.
//! - Bodies are shown without their codings, `bodySize` is what was sent.
//!
//! `shape` has the objects, `urls` what is in a URL and in cookies.

mod shape;
mod urls;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    io::Write,
    ops::ControlFlow,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    model::{Side, WallAnchor, exchange::origin_form, http::Head, rows::Row, websocket::opcode},
    query::{self, Kind, contents::Content},
    redact::{Scrubber, lossy},
};

use super::{
    Error, Format, Job, Report,
    body::{self, Body},
    spill::{Piece, Spill},
    times::{Setups, Times, millis},
    write_error,
};

use shape::{Close, Closed, Cookie, Entry, Ours, Pair, PostData, Request, Response, Timings};

pub(super) const FORMAT: Format =
    Format { id: "har", summary: "HTTP Archive 1.2, for browsers and HAR viewers", extension: "har", write };

/// What was said on one socket.
#[derive(Default)]
struct Said {
    messages: Vec<Piece>,
    close: Option<Close>,
}

fn write(job: &mut Job<'_>, out: &mut dyn Write) -> Result<(), Error> {
    let setups = Setups::read(job.capture)?;
    let mut report = std::mem::take(&mut job.report);
    let mut spill = Spill::new()?;
    let mut said = sockets(job, &mut spill, &mut report)?;
    let creator = serde_json::json!({ "name": "firstframe", "version": env!("CARGO_PKG_VERSION") });
    let comment = if job.options.keep_secrets {
        "Secrets are as they were sent."
    } else {
        "Fingerprints (kind:12 hex digits) stand in the place of secrets; equal secrets have equal digits."
    };
    writeln!(
        out,
        "{{\"log\":{{\"version\":\"1.2\",\"creator\":{creator},\"comment\":\"{comment}\",\"pages\":[],\"entries\":["
    )?;
    let mut first = true;
    let mut line = Vec::new();
    let anchor = job.capture.anchor();
    job.exchanges(&mut |content| {
        if !std::mem::take(&mut first) {
            out.write_all(b",\n").map_err(write_error)?;
        }
        let mut scrubber = job.scrubber.borrow_mut();
        let times = setups.of(&content.row);
        let (sent, answered) = if content.request.body_sent + content.response.body_sent > 0 {
            content.bodies()
        } else {
            (Cow::default(), Cow::default())
        };
        let heads = (content.request_head(), content.response_head());
        let socket = said.remove(&content.row.id.0);
        let mut writer = Writer { limit: job.options.body_limit, scrubber: &mut scrubber, report: &mut report, anchor };
        let mut entry = writer.entry(&content, &heads, &sent, &answered, times);
        if content.row.websocket.is_some() {
            let close = socket.as_ref().and_then(|said| said.close.clone());
            entry.close = Some(close.map_or(Closed::Aborted("aborted"), Closed::Frame));
        }
        line.clear();
        serde_json::to_writer(&mut line, &entry).map_err(write_error)?;
        if content.row.websocket.is_some() {
            // They may be many: they follow one by one, before the entry's last brace.
            line.pop();
            out.write_all(&line).map_err(write_error)?;
            messages(socket.unwrap_or_default(), &mut spill, out).map_err(write_error)?;
        } else {
            out.write_all(&line).map_err(write_error)?;
        }
        report.wrote("exchanges", 1);
        Ok(())
    })?;
    out.write_all(b"\n]}}\n")?;
    job.report = report;
    Ok(())
}

/// A socket's messages and the end of its entry.
fn messages(said: Said, spill: &mut Spill, out: &mut dyn Write) -> std::io::Result<()> {
    out.write_all(b",\"_webSocketMessages\":[")?;
    let mut bytes = Vec::new();
    for (index, piece) in said.messages.into_iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        spill.read(piece, &mut bytes)?;
        out.write_all(&bytes)?;
    }
    out.write_all(b"]}")
}

/// What was said on the sockets that are wanted, redacted and rendered.
fn sockets(job: &Job<'_>, spill: &mut Spill, report: &mut Report) -> Result<BTreeMap<u64, Said>, Error> {
    let mut wanted: BTreeSet<u64> = BTreeSet::new();
    if job.sockets == Some(false) {
        return Ok(BTreeMap::new());
    }
    job.capture.list(Kind::Exchanges, job.query(), &mut |row| {
        if let Row::Exchange(row) = row
            && row.websocket.is_some()
        {
            wanted.insert(row.id.0);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    let mut said: BTreeMap<u64, Said> = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(said);
    }
    let anchor = job.capture.anchor();
    let limit = usize::try_from(job.options.body_limit).unwrap_or(usize::MAX);
    job.capture.messages(&|exchange| wanted.contains(&exchange.0), limit, &mut |message| {
        let mut scrubber = job.scrubber.borrow_mut();
        let said = said.entry(message.exchange.0).or_default();
        let seconds = anchor.unix_ns(message.at) as f64 / 1e9;
        match message.opcode {
            opcode::TEXT | opcode::BINARY if message.whole => {
                let payload = scrubber.text(message.payload);
                let data = match (message.opcode, std::str::from_utf8(&payload)) {
                    (opcode::TEXT, Ok(text)) => text.to_owned(),
                    (opcode::TEXT, Err(_)) => lossy(&payload),
                    _ => STANDARD.encode(&payload),
                };
                let kind = if message.from == Side::Client { "send" } else { "receive" };
                let json =
                    serde_json::to_vec(&shape::Message { kind, time: seconds, opcode: message.opcode, data: &data });
                let json = json.map_err(write_error)?;
                said.messages.push(spill.push(&json).map_err(write_error)?);
                report.wrote("messages", 1);
            }
            opcode::TEXT | opcode::BINARY => {
                report.left_out("messages that are larger than --body-limit or cannot be inflated", 1);
            }
            opcode::CLOSE if said.close.is_none() => {
                let code = message.payload.get(..2).map(|two| two.iter().fold(0, |n, b| n << 8 | u16::from(*b)));
                let reason = lossy(&scrubber.text(message.payload.get(2..).unwrap_or_default()));
                let from = message.from;
                said.close = Some(Close { code, reason, timestamp: seconds, from: from.as_str() });
            }
            opcode::PING | opcode::PONG => report.left_out("pings and pongs", 1),
            _ => {}
        }
        Ok::<(), query::Error>(())
    })?;
    Ok(said)
}

struct Writer<'w> {
    limit: u64,
    scrubber: &'w mut Scrubber,
    report: &'w mut Report,
    anchor: WallAnchor,
}

impl Writer<'_> {
    fn entry<'c>(
        &mut self,
        content: &'c Content,
        (request, response): &(Option<Head>, Option<Head>),
        sent: &'c [u8],
        answered: &'c [u8],
        times: Times,
    ) -> Entry<'c> {
        let row = &content.row;
        let timings = Timings {
            blocked: -1.0,
            dns: -1.0,
            connect: millis(times.connect),
            ssl: millis(times.tls),
            send: millis(times.send),
            wait: millis(times.wait),
            receive: millis(times.receive),
        };
        if !row.flags.is_empty() {
            self.report.wrote("flags (in _firstframe)", row.flags.len() as u64);
        }
        Entry {
            started: self.anchor.rfc3339(times.start),
            time: times.total() as f64 / 1e6,
            request: self.request(content, request.as_ref(), sent),
            response: self.response(content, response.as_ref(), answered),
            cache: shape::Cache {},
            timings,
            server_address: row
                .server
                .as_deref()
                .map(|server| server.rsplit_once(':').map_or(server, |(ip, _)| ip.trim_matches(['[', ']']))),
            connection: row.connection.to_string(),
            resource_type: row.websocket.as_ref().map(|_| "websocket"),
            ours: Ours {
                exchange: row.id.to_string(),
                session: row.session.map(|session| session.to_string()),
                flags: &row.flags,
                request_first_byte_ns: row.request_first_byte_ns.0,
                proxy_made: row.proxy_made,
                rewritten: row.rewritten.iter().map(|change| change.kind.as_str()).collect(),
            },
            close: None,
        }
    }

    fn request(&mut self, content: &Content, head: Option<&Head>, sent: &[u8]) -> Request {
        let row = &content.row;
        let target = match head {
            Some(head) => lossy(&self.scrubber.target(head.target())),
            None => row.target.clone(),
        };
        let path = String::from_utf8_lossy(origin_form(target.as_bytes())).into_owned();
        let url = urls::url(&row.scheme, &row.authority, &path);
        let headers = self.headers(head);
        let mime = head.and_then(|head| head.header("content-type")).map(lossy).unwrap_or_default();
        let shown = body::shown(head, &content.request, sent, self.limit, self.scrubber);
        self.note(shown.note);
        let post = match shown.body {
            Body::None => shown.note.map(|note| PostData::new(mime, String::new(), Some(note))),
            Body::Text(text) => Some(PostData::new(mime, text.into_owned(), shown.note)),
            Body::Binary(bytes) => {
                let mut post = PostData::new(mime, String::new(), shown.note);
                post.content = Some(shape::Coded { text: STANDARD.encode(&bytes), encoding: "base64" });
                Some(post)
            }
        };
        Request {
            method: lossy(&self.scrubber.values(row.method.as_bytes())),
            raw_target: (!urls::is_legal(&path) || path != target).then_some(target),
            version: format!("HTTP/{}", row.http),
            cookies: urls::cookies(&headers),
            query: urls::query(&path),
            url,
            headers,
            post,
            headers_size: size(content.request.head_end),
            body_size: if head.is_some() { i64::try_from(row.request_body_bytes).unwrap_or(-1) } else { -1 },
        }
    }

    fn response<'c>(&mut self, content: &'c Content, head: Option<&Head>, answered: &'c [u8]) -> Response {
        let row = &content.row;
        let headers: Vec<Pair> = match head {
            Some(_) => self.headers(head),
            None => row.response_headers.iter().flat_map(|headers| headers.iter()).map(Pair::of).collect(),
        };
        let text = |name: &str| head.and_then(|head| head.header(name));
        let mime = text("content-type").map(lossy).unwrap_or_else(|| "x-unknown".to_owned());
        let redirect =
            text("location").map(|value| lossy(&self.scrubber.header(b"location", value))).unwrap_or_default();
        let shown = body::shown(head, &content.response, answered, self.limit, self.scrubber);
        self.note(shown.note);
        let sent = row.response_body_bytes;
        let size_shown = shown.size.or(sent).and_then(|size| i64::try_from(size).ok()).unwrap_or(-1);
        let compression = match (shown.size, sent) {
            // Of a body that was cut off nothing follows from its size.
            (Some(size), Some(sent)) if size != sent && shown.note.is_none() => {
                i64::try_from(size).ok().zip(i64::try_from(sent).ok()).map(|(a, b)| a - b)
            }
            _ => None,
        };
        let (text, encoding) = match shown.body {
            Body::None => (None, None),
            Body::Text(text) => (Some(text.into_owned()), None),
            Body::Binary(bytes) => (Some(STANDARD.encode(&bytes)), Some("base64")),
        };
        Response {
            status: row.status.unwrap_or(0),
            reason: lossy(&self.scrubber.values(row.reason.as_deref().unwrap_or_default().as_bytes())),
            version: head
                .map_or_else(|| "unknown".to_owned(), |head| format!("HTTP/{}", lossy(head.response_version()))),
            cookies: headers
                .iter()
                .filter(|pair| pair.name.eq_ignore_ascii_case("set-cookie"))
                .map(Cookie::set)
                .collect(),
            headers,
            content: shape::Content { size: size_shown, compression, mime, text, encoding, comment: shown.note },
            redirect,
            headers_size: if head.is_some() { size(content.response.head_end) } else { -1 },
            body_size: sent.and_then(|size| i64::try_from(size).ok()).unwrap_or(-1),
            error: row.status.is_none().then_some("no response was seen"),
        }
    }

    fn headers(&mut self, head: Option<&Head>) -> Vec<Pair> {
        let Some(head) = head else { return Vec::new() };
        head.headers()
            .map(|(name, value)| Pair {
                name: lossy(&self.scrubber.values(name)),
                value: lossy(&self.scrubber.header(name, value)),
            })
            .collect()
    }

    fn note(&mut self, note: Option<&'static str>) {
        if let Some(note) = note {
            self.report.left_out(note, 1);
        }
    }
}

fn size(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(-1)
}
