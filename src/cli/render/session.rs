//! The page about a session: HTTP on the left, its sockets on the right, in the order of time.

use crate::{
    model::{
        Side, Timestamp, WallAnchor,
        rows::{ExchangeRow, FlagRow, FrameRow},
        websocket::opcode,
    },
    query::SessionDetails,
};

use super::{
    connection::more,
    page::Page,
    rows,
    style::{Ink, Look},
    table::{Cell, Column, Fit},
    units,
};

const COLUMNS: &[Column] = &[
    Column { title: "TIME", kind: Fit::Right, drop: None },
    Column { title: "SINCE", kind: Fit::Right, drop: Some(1) },
    Column { title: "HTTP", kind: Fit::Rest, drop: None },
    Column { title: "SOCKET", kind: Fit::Rest, drop: None },
];

/// The page.
pub fn page(details: &SessionDetails, anchor: WallAnchor, look: Look) -> String {
    let SessionDetails { row, exchanges, frames, more_frames, flags } = details;
    let mut page = Page::new(look, anchor);
    let sure = if row.sure { "sure" } else { "not sure" };
    page.title(&row.id.to_string(), Ink::Strong, &format!("correlated by {}, {sure}", row.correlated_by));
    if !row.sockets.is_empty() {
        page.pair("sockets", rows::ids(&row.sockets, 12));
    }
    if !row.exchanges.is_empty() {
        page.pair("exchanges", rows::ids(&row.exchanges, 12));
    }
    if let Some(first) = exchanges.iter().map(|row| row.request_first_byte_ns).min() {
        page.instant("began", first);
    }
    super::flags(&mut page, flags);
    let mut events = Vec::new();
    exchanges.iter().for_each(|row| exchange_events(row, &mut events));
    frames.iter().for_each(|row| events.push(frame_event(row)));
    flags.iter().for_each(|row| events.push(flag_event(row, exchanges)));
    events.sort_by_key(|event| event.at);
    if !events.is_empty() {
        page.section("Timeline (time since the one before)");
        let mut before = None;
        let cells = events.into_iter().map(|event| {
            let since = before.replace(event.at).map(|before| units::distance(before, event.at)).unwrap_or_default();
            let cell = Cell::new(event.ink, event.what);
            let (http, socket) = if event.on_socket { (Cell::default(), cell) } else { (cell, Cell::default()) };
            vec![Cell::new(Ink::Plain, units::offset_exact(event.at)), Cell::new(Ink::Faint, since), http, socket]
        });
        page.table(COLUMNS, cells);
    }
    let total = (row.exchanges.len() + row.sockets.len()) as u64;
    more(&mut page, total, exchanges.len(), &format!("ls exchanges --filter 'session={}'", row.id));
    if *more_frames {
        page.remark("… and more frames: firstframe ls frames --filter 'exchange=ID'");
    }
    page.into_text()
}

struct Event {
    at: Timestamp,
    on_socket: bool,
    ink: Ink,
    what: String,
}

fn exchange_events(row: &ExchangeRow, events: &mut Vec<Event>) {
    let on_socket = row.scheme.starts_with("ws");
    let mut push = |at: Option<Timestamp>, ink, what: String| {
        events.extend(at.map(|at| Event { at, on_socket, ink, what }));
    };
    let target = rows::resource(row);
    push(Some(row.request_first_byte_ns), Ink::Plain, format!("{} {} {target}", row.id, row.method));
    let answered = row.response_last_byte_ns.or(row.response_first_byte_ns);
    match &row.websocket {
        None => {
            let status = row.status.map(|status| status.to_string()).unwrap_or_default();
            let reason = row.reason.as_deref().unwrap_or_default();
            push(answered, Ink::of_status(row.status), format!("{} ← {status} {reason}", row.id));
        }
        Some(socket) => {
            push(socket.server_open_ns, Ink::Good, format!("{} server_open", row.id));
            push(socket.open_write_begun_ns, Ink::Good, format!("{} open_write_begun", row.id));
            push(socket.client_open_written_ns, Ink::Good, format!("{} client_open_written", row.id));
        }
    }
}

fn frame_event(row: &FrameRow) -> Event {
    let arrow = if row.from == Side::Client { "→" } else { "←" };
    let ink = if row.opcode == opcode::CLOSE { Ink::Odd } else { Ink::Plain };
    let text = row.text.as_deref().unwrap_or_default();
    let what = format!("{} {arrow} {} {} {text}", row.id, rows::frame_type(row), units::size(row.bytes));
    Event { at: row.arrived_ns, on_socket: true, ink, what: what.trim_end().to_owned() }
}

/// A flag stands on the side of what it is about.
fn flag_event(row: &FlagRow, exchanges: &[ExchangeRow]) -> Event {
    let socket = |exchange: &&ExchangeRow| exchange.scheme.starts_with("ws") && exchange.id.to_string() == row.subject;
    let on_socket = row.subject.starts_with('f') || exchanges.iter().find(socket).is_some();
    let what = format!("⚑ {} on {}", row.rule, row.subject);
    Event { at: row.at_ns, on_socket, ink: Ink::of_severity(&row.severity), what }
}
