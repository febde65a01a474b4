//! The page about an exchange.

use crate::{
    model::{
        Timestamp, WallAnchor,
        rows::{ExchangeRow, SocketRow},
    },
    query::{ExchangeDetails, Kind},
};

use super::{
    connection::more,
    head,
    page::Page,
    rows,
    style::{Ink, Look},
    units,
};

/// The page.
pub fn page(details: &ExchangeDetails, anchor: WallAnchor, look: Look) -> String {
    let ExchangeDetails { row, request, response, flags, frames } = details;
    let mut page = Page::new(look, anchor);
    let answer = match (row.status, row.reason.as_deref()) {
        (Some(status), Some(reason)) => format!("{status} {reason}"),
        (Some(status), None) => status.to_string(),
        (None, _) => "no answer".to_owned(),
    };
    let ink = if row.status.is_none() { Ink::Odd } else { Ink::of_status(row.status) };
    page.title(&row.id.to_string(), ink, &format!("{} {} → {answer}", row.method, rows::target(row)));
    let session = row.session.map(|session| format!(" · session {session}")).unwrap_or_default();
    page.pair("belongs to", format!("connection {} (its {} exchange){session}", row.connection, nth(row.index)));
    page.pair(
        "server",
        match &row.server {
            Some(server) => format!("{} ({server})", row.authority),
            None => row.authority.clone(),
        },
    );
    page.pair("protocol", format!("{} · HTTP/{}", row.scheme, row.http));
    if row.proxy_made {
        page.pair_in(Ink::Bad, "answered by", "the proxy itself, not the server (X-Firstframe-Error)");
    }
    super::flags(&mut page, flags);
    timings(&mut page, row);
    if let Some(socket) = &row.websocket {
        open_instants(&mut page, row, socket);
    }
    head::message(&mut page, "Request as the client sent it", request, Some(row.request_body_bytes));
    if !row.rewritten.is_empty() {
        page.section("Changed on the way (--raw request-sent gives what the server got)");
        for change in &row.rewritten {
            page.pair(&change.kind, format!("{} → {}", quoted(&change.from), quoted(&change.to)));
        }
    }
    if row.status.is_some() {
        head::message(&mut page, "Response", response, row.response_body_bytes);
    }
    if let Some(socket) = &row.websocket {
        page.section("Frames");
        if frames.is_empty() {
            page.remark("none");
        }
        page.table(rows::columns(Kind::Frames), frames.iter().map(rows::frame));
        let total = socket.frames_from_client + socket.frames_from_server;
        more(&mut page, total, frames.len(), &format!("ls frames --filter 'exchange={}'", row.id));
    }
    page.into_text()
}

/// What was removed has nothing in its place.
fn quoted(text: &str) -> String {
    if text.is_empty() { "nothing".to_owned() } else { format!("{:?}", text.trim_end()) }
}

fn nth(index: u32) -> String {
    let suffix = match (index % 10, index % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{index}{suffix}")
}

fn timings(page: &mut Page, row: &ExchangeRow) {
    page.section("Timings");
    let begin = row.request_first_byte_ns;
    let steps = [
        ("request first byte", Some(begin)),
        ("request last byte", row.request_last_byte_ns),
        ("response first", row.response_first_byte_ns),
        ("response last", row.response_last_byte_ns),
    ];
    steps_since(page, begin, &steps);
    page.pair("request began", page.utc(begin));
}

/// Instants with their distance from the first.
fn steps_since(page: &mut Page, begin: Timestamp, steps: &[(&str, Option<Timestamp>)]) {
    for (name, at) in steps {
        match at {
            Some(at) if *at == begin => page.pair(name, units::offset_exact(*at)),
            Some(at) => page.pair(name, format!("{}  {}", units::offset_exact(*at), units::distance(begin, *at))),
            None => page.pair_in(Ink::Faint, name, "-"),
        }
    }
}

fn open_instants(page: &mut Page, row: &ExchangeRow, socket: &SocketRow) {
    page.section("OPEN (distances from server_open)");
    let origin = socket.server_open_ns.unwrap_or(row.request_first_byte_ns);
    let steps = [
        ("server_open", socket.server_open_ns),
        ("open_write_begun", socket.open_write_begun_ns),
        ("client_open_written", socket.client_open_written_ns),
        ("first client frame", socket.first_frame_from_client_ns),
        ("first server frame", socket.first_frame_from_server_ns),
    ];
    for (name, at) in steps {
        let Some(at) = at else {
            page.pair_in(Ink::Faint, name, "-");
            continue;
        };
        let early = name.starts_with("first client frame") && socket.open_write_begun_ns.is_some_and(|open| at < open);
        let remark = if early { "  before the client can have seen OPEN" } else { "" };
        let distance = if at == origin { String::new() } else { format!("  {}", units::distance(origin, at)) };
        let ink = if early { Ink::Bad } else { Ink::Plain };
        page.pair_in(ink, name, format!("{}{distance}{remark}", units::offset_exact(at)));
    }
    let frames =
        format!("{} from the client, {} from the server", socket.frames_from_client, socket.frames_from_server);
    page.pair("frames", frames);
    match (&socket.closed_by, socket.close_code) {
        (Some(by), Some(code)) => page.pair("closed", format!("by the {by}, {code} {}", close_name(code))),
        (Some(by), None) => page.pair_in(Ink::Bad, "closed", format!("by the {by}, without a Close frame")),
        (None, _) => page.pair_in(Ink::Good, "closed", "not yet"),
    }
}

/// RFC 6455, 7.4.1.
pub(super) fn close_name(code: u16) -> &'static str {
    match code {
        1000 => "normal",
        1001 => "going away",
        1002 => "protocol error",
        1003 => "unsupported data",
        1005 => "(no code given)",
        1007 => "invalid payload",
        1008 => "policy violation",
        1009 => "too big",
        1010 => "missing extension",
        1011 => "internal error",
        1012 => "service restart",
        1013 => "try again later",
        _ => "",
    }
}
