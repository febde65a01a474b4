//! JMX: a test plan for JMeter 5.6 that does again what the captured sessions did: one thread group for each session, its
//! pauses as timers, HTTP samplers with their headers, and the WebSocket Samplers plugin for sockets, what follows an Open
//! only where that went well. Values that the server issued become extractors and variables.
//!
//! A plan that names the plugin does not load where that is missing: sockets can be left out. In one thread JMeter does one
//! thing after the other, on one socket: what was sent beside something else comes after it, and is reported.
//!
//! `plan` writes a session, `words` escapes, `xml` writes elements.

mod plan;
mod words;
mod xml;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use serde::{Deserialize, Serialize};

use crate::{
    model::{Side, exchange::origin_form, rows::ExchangeRow, websocket::opcode},
    query::{
        self,
        contents::{Content, Fullness},
    },
    redact::lossy,
};

use super::{
    Error, Format, Job, Report, body,
    spill::{Piece, Spill},
    thread_name, write_error,
};

use xml::{Prop, Xml};

pub(super) const FORMAT: Format =
    Format { id: "jmx", summary: "a JMeter 5.6 test plan that runs the sessions again", extension: "jmx", write };

/// Something that a session did. Instants are nanoseconds on the capture's clock; texts are as they were sent.
#[derive(Debug, Serialize, Deserialize)]
struct Item {
    begin: u64,
    end: u64,
    exchange: u64,
    what: What,
}

#[derive(Debug, Serialize, Deserialize)]
enum What {
    Http { request: Request, body: Text, answer: String },
    Open { request: Request },
    Write { binary: bool, data: Text },
    Read { binary: bool, data: String },
    Close { code: u16 },
}

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    method: String,
    secure: bool,
    host: String,
    port: String,
    path: String,
    headers: Vec<(String, String)>,
}

/// Bytes as text: UTF-8, or one character for each byte.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Text {
    text: String,
    latin1: bool,
}

impl Text {
    fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self { text: text.to_owned(), latin1: false },
            Err(_) => Self { text: bytes.iter().map(|byte| char::from(*byte)).collect(), latin1: true },
        }
    }
}

/// Answers beyond this are not searched for values.
const LARGEST_ANSWER: usize = 1 << 20;

/// Sessions by their first instant and name, with their items.
type Sessions = BTreeMap<String, Vec<Piece>>;

fn write(job: &mut Job<'_>, out: &mut dyn Write) -> Result<(), Error> {
    let mut report = std::mem::take(&mut job.report);
    let mut spill = Spill::new()?;
    let mut sessions = Sessions::new();
    let mut owners: BTreeMap<u64, String> = BTreeMap::new();
    let mut order: Vec<(u64, String)> = Vec::new();
    job.exchanges(&mut |content| {
        let name = thread_name(content.row.session, content.row.connection);
        if hides(&content, job) {
            report.left_out("requests whose body has secrets in a coding", 1);
            return Ok(());
        }
        let Some(item) = item(&content, job.options.websocket, &mut report) else { return Ok(()) };
        if let What::Open { .. } = item.what {
            owners.insert(content.row.id.0, name.clone());
        }
        let pieces = sessions.entry(name.clone()).or_default();
        if pieces.is_empty() {
            order.push((item.begin, name));
        }
        pieces.push(spilled(&mut spill, &item)?);
        report.wrote("exchanges", 1);
        Ok(())
    })?;
    if !owners.is_empty() {
        messages(job, &owners, &mut sessions, &mut spill, &mut report)?;
    }
    order.sort();
    let start = order.first().map_or(0, |(begin, _)| *begin);
    let mut names = BTreeSet::new();
    for (_, name) in &order {
        // A first time, for the variables that the plan declares; and a second time, to write it.
        let items = load(&mut spill, sessions.get(name))?;
        let (mut sink, mut scrubber) = (io::sink(), job.scrubber.borrow_mut());
        let mut dry = Xml::begin(&mut sink)?;
        plan::session(&items, start, name, &mut scrubber, &mut Report::default(), &mut dry, &mut names)?;
    }
    let mut xml = Xml::begin(out)?;
    let variables: Vec<(String, String)> = names
        .into_iter()
        .map(|(name, fingerprint)| (name.clone(), format!("${{__P({name},{fingerprint})}}")))
        .collect();
    let arguments = xml::pairs("Arguments.arguments", "Argument", &variables);
    let defined = "<elementProp name=\"TestPlan.user_defined_variables\" elementType=\"Arguments\" guiclass=\"ArgumentsPanel\" \
                   testclass=\"Arguments\" testname=\"User Defined Variables\">";
    let comment =
        "Made by firstframe from a capture. Variables with a fingerprint stand for secrets: -Jtoken_…=VALUE sets one.";
    xml.down(
        "TestPlan",
        "TestPlanGui",
        &format!("capture {}", job.capture.dir().name()),
        &[
            Prop::Text("TestPlan.comments", comment.to_owned()),
            Prop::Raw(format!("{defined}{arguments}</elementProp>")),
        ],
    )?;
    for (_, name) in &order {
        let items = load(&mut spill, sessions.get(name))?;
        let mut scrubber = job.scrubber.borrow_mut();
        plan::session(&items, start, name, &mut scrubber, &mut report, &mut xml, &mut BTreeSet::new())?;
        report.wrote("thread groups", 1);
    }
    xml.up()?;
    xml.end()?;
    job.report = report;
    Ok(())
}

fn spilled(spill: &mut Spill, item: &Item) -> Result<Piece, query::Error> {
    let json = serde_json::to_vec(item).map_err(write_error)?;
    spill.push(&json).map_err(write_error)
}

fn load(spill: &mut Spill, pieces: Option<&Vec<Piece>>) -> Result<Vec<Item>, Error> {
    let mut items: Vec<Item> = Vec::new();
    let mut bytes = Vec::new();
    for piece in pieces.into_iter().flatten() {
        spill.read(*piece, &mut bytes)?;
        items.push(serde_json::from_slice(&bytes).map_err(io::Error::from)?);
    }
    items.sort_by_key(|item| (item.begin, item.exchange));
    Ok(items)
}

/// Whether secrets stand in the request's body where nothing can be put in their place.
fn hides(content: &Content, job: &Job<'_>) -> bool {
    let mut scrubber = job.scrubber.borrow_mut();
    if scrubber.is_off() || content.request.body_sent == 0 {
        return false;
    }
    let (sent, _) = content.bodies();
    let limit = usize::try_from(job.options.body_limit).unwrap_or(usize::MAX);
    content.request_head().is_some_and(|head| body::hides(&head, &sent, limit, &mut scrubber))
}

/// An exchange as something to do again; `None` where it cannot be.
fn item(content: &Content, websocket: bool, report: &mut Report) -> Option<Item> {
    let row = &content.row;
    let Some(head) = content.request_head() else {
        report.left_out("requests whose head is not in the capture", 1);
        return None;
    };
    let opens = head.asks_for_websocket();
    if opens && !websocket {
        report.left_out("sockets", 1);
        return None;
    }
    let request = request(row, &head, opens, report);
    let begin = row.request_first_byte_ns.0;
    let answered = row.response_last_byte_ns.or(row.response_first_byte_ns).or(row.request_last_byte_ns);
    let end = answered.map_or(begin, |end| end.0.max(begin));
    let what = if opens {
        What::Open { request }
    } else {
        if content.request.body_sent > 0 && content.request.extent != Fullness::Whole {
            report.left_out("requests whose body is too large or not whole in the capture", 1);
            return None;
        }
        let (sent, answered) = content.bodies();
        let coding = content.response_head().and_then(|head| head.header("content-encoding").map(<[u8]>::to_vec));
        let answer = crate::decode::content::decode_content(&coding.unwrap_or_default(), &answered, LARGEST_ANSWER);
        What::Http { request, body: Text::of(&sent), answer: lossy(answer.bytes()) }
    };
    Some(Item { begin, end, exchange: row.id.0, what })
}

fn request(row: &ExchangeRow, head: &crate::model::http::Head, opens: bool, report: &mut Report) -> Request {
    let secure = matches!(row.scheme.as_str(), "https" | "wss");
    let (host, port) = row.authority.rsplit_once(':').unwrap_or((&row.authority, if secure { "443" } else { "80" }));
    let mut headers = Vec::new();
    for (name, value) in head.headers() {
        let lower = name.to_ascii_lowercase();
        // What the sampler makes by itself.
        let own: &[&[u8]] = if opens {
            &[
                b"host",
                b"upgrade",
                b"connection",
                b"sec-websocket-key",
                b"sec-websocket-version",
                b"sec-websocket-extensions",
            ]
        } else {
            &[b"host", b"content-length", b"connection", b"transfer-encoding"]
        };
        if own.contains(&lower.as_slice()) {
            continue;
        }
        if name.is_empty() || name.iter().any(|b| b.is_ascii_whitespace()) {
            report.left_out("header lines that are none", 1);
            continue;
        }
        headers.push((lossy(name), lossy(value)));
    }
    let path = lossy(origin_form(head.target()));
    if path.chars().any(|c| !c.is_ascii_graphic() || matches!(c, '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}'))
        && !opens
    {
        report.left_out("targets that are no URL: JMeter refuses or encodes them", 1);
    }
    Request { method: lossy(head.method()), secure, host: host.to_owned(), port: port.to_owned(), path, headers }
}

fn messages(
    job: &Job<'_>,
    owners: &BTreeMap<u64, String>,
    sessions: &mut Sessions,
    spill: &mut Spill,
    report: &mut Report,
) -> Result<(), Error> {
    let largest = usize::try_from(job.options.body_limit).unwrap_or(usize::MAX);
    job.capture.messages(&|exchange| owners.contains_key(&exchange.0), largest, &mut |message| {
        let Some(pieces) = owners.get(&message.exchange.0).and_then(|name| sessions.get_mut(name)) else {
            return Ok(());
        };
        let at = message.at.0;
        let binary = message.opcode == opcode::BINARY;
        let what = match (message.opcode, message.from) {
            (opcode::TEXT | opcode::BINARY, _) if !message.whole => {
                report.left_out("messages that are larger than --body-limit or cannot be inflated", 1);
                return Ok(());
            }
            (opcode::TEXT | opcode::BINARY, Side::Client) => What::Write { binary, data: Text::of(message.payload) },
            (opcode::TEXT | opcode::BINARY, Side::Server) => What::Read { binary, data: lossy(message.payload) },
            (opcode::CLOSE, Side::Client) => {
                let code =
                    message.payload.get(..2).map_or(1000, |two| two.iter().fold(0, |n, b| n << 8 | u16::from(*b)));
                What::Close { code }
            }
            (opcode::PING | opcode::PONG, _) => {
                report.left_out("pings and pongs (a filter answers pings)", 1);
                return Ok(());
            }
            _ => return Ok(()),
        };
        report.wrote("messages", 1);
        let item = Item { begin: at, end: at, exchange: message.exchange.0, what };
        pieces.push(spilled(spill, &item)?);
        Ok(())
    })?;
    Ok(())
}
