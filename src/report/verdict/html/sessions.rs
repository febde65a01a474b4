//! Sessions as timelines: their sockets, their requests, and which of them were refused.

use maud::{Markup, html};

use crate::{
    model::{
        columns::{Columns, NONE, Outcome, UNKNOWN},
        finding::Verdict,
    },
    report::millis,
};

use super::charts::WIDTH;

/// Sessions that are shown.
const EXAMPLES: usize = 3;
/// Requests that are shown of each, around the one that it is an example of.
const AROUND: usize = 9;
const ROW: i64 = 20;
const LEFT: f64 = 300.0;
const RIGHT: f64 = 90.0;

/// A session, and the refused unit for which it is shown.
pub(super) struct Example {
    unit: usize,
    /// The units around it, in order.
    units: Vec<usize>,
}

/// Sessions (or, where none is known, connections) of refused units: those that the causes name first.
pub(super) fn examples(verdict: &Verdict, columns: &Columns) -> Vec<Example> {
    let units = &columns.units;
    let named = verdict.causes.iter().flat_map(|cause| &cause.evidence).take(200).filter_map(|id| {
        let subject = id.rsplit('/').next()?.parse().ok()?;
        units.subject.iter().position(|known| *known == subject)
    });
    let refused = units.outcome.iter().enumerate().filter(|(_, o)| **o == Outcome::Refused).map(|(unit, _)| unit);
    let mut seen: Vec<(u32, u32)> = Vec::new();
    let mut examples = Vec::new();
    for unit in named.chain(refused) {
        let key = key(columns, unit);
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        let mine: Vec<usize> = (0..units.len()).filter(|other| self::key(columns, *other) == key).collect();
        let at = mine.iter().position(|other| *other == unit).unwrap_or(0);
        let from = at.saturating_sub(AROUND / 2);
        examples.push(Example { unit, units: mine.into_iter().skip(from).take(AROUND).collect() });
        if examples.len() == EXAMPLES {
            break;
        }
    }
    examples
}

/// What stands together: the session, else the connection.
fn key(columns: &Columns, unit: usize) -> (u32, u32) {
    let of = |cells: &[u32]| cells.get(unit).copied().unwrap_or(NONE);
    match of(&columns.units.session) {
        NONE => (NONE, of(&columns.units.connection)),
        session => (session, NONE),
    }
}

/// One line for each request of the example.
pub(super) fn chart(example: &Example, columns: &Columns) -> String {
    let units = &columns.units;
    let number = |cells: &[i64], unit: usize| cells.get(unit).copied().unwrap_or(UNKNOWN);
    let begin = |unit: usize| number(&units.offered_ns, unit);
    let end = |unit: usize| match number(&units.ended_ns, unit) {
        UNKNOWN => columns.until_ns.max(begin(unit)),
        end => end,
    };
    let Some(from) = example.units.iter().map(|unit| begin(*unit)).min() else { return String::new() };
    let to = example.units.iter().map(|unit| end(*unit)).max().unwrap_or(from).max(from + 1);
    let room = f64::from(WIDTH) - LEFT - RIGHT;
    let x = |ns: i64| LEFT + (ns.clamp(from, to) - from) as f64 / (to - from) as f64 * room;
    let connections: Vec<u32> = example.units.iter().filter_map(|unit| units.connection.get(*unit).copied()).collect();
    let sockets: Vec<(i64, i64)> = sockets(columns, &connections, from, to);
    let height = 34 + ROW * (example.units.len() + usize::from(!sockets.is_empty())) as i64;
    let top = 28 + if sockets.is_empty() { 0 } else { ROW };
    let name = units.subject.get(example.unit).map(ToString::to_string).unwrap_or_default();
    let line = |row: usize, unit: usize| -> Markup {
        let y = top + ROW * row as i64;
        let outcome = units.outcome.get(unit).copied().unwrap_or_default();
        let colour = match outcome {
            Outcome::Refused => "var(--refused)",
            Outcome::Accepted => "var(--accepted)",
            Outcome::Uncounted => "var(--other)",
        };
        let route = units.route.get(unit).and_then(|route| columns.routes.get(*route as usize));
        let label = units.subject.get(unit).map(ToString::to_string).unwrap_or_default();
        let status = match units.status.get(unit) {
            Some(0) | None => "no answer".to_owned(),
            Some(status) => status.to_string(),
        };
        let wide = (x(end(unit)) - x(begin(unit))).max(2.5);
        let weight = if unit == example.unit { "700" } else { "400" };
        let since = number(&units.since_open_ns, unit);
        let since = if since == UNKNOWN {
            String::new()
        } else {
            let sign = if since < 0 { "-" } else { "+" };
            format!(", {sign}{} to its socket's OPEN", millis(since.unsigned_abs()))
        };
        html! {
            g {
                title { (label) ": " (status) " after " (millis(end(unit).saturating_sub(begin(unit)).unsigned_abs())) (since) }
                text x="0" y=(y + 13) font-size="13" font-weight=(weight) { (label) }
                text x="74" y=(y + 13) font-size="13" font-weight=(weight) { (shortened(route.map_or("", String::as_str))) }
                rect x=(format!("{:.1}", x(begin(unit)))) y=(y + 4) width=(format!("{wide:.1}")) height="11" rx="2" fill=(colour) {}
                text x=(format!("{:.1}", x(begin(unit)) + wide + 6.0)) y=(y + 13) font-size="12" { (status) }
            }
        }
    };
    let drawn = html! {
        svg viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-label={ "requests around " (name) } {
            text x="0" y="14" font-size="13" { "around " (name) ", from +" (millis(from.max(0).unsigned_abs())) }
            text x=(format!("{LEFT:.0}")) y="14" font-size="12" { "0" }
            text x=(format!("{:.0}", f64::from(WIDTH) - RIGHT)) y="14" font-size="12" text-anchor="end" {
                (millis((to - from).unsigned_abs()))
            }
            line x1=(format!("{LEFT:.0}")) y1="20" x2=(format!("{:.0}", f64::from(WIDTH) - RIGHT)) y2="20" stroke="var(--line)" {}
            @if !sockets.is_empty() { text x="0" y="41" font-size="13" { "sockets" } }
            @for (open, close) in &sockets {
                rect x=(format!("{:.1}", x(*open))) y="32" width=(format!("{:.1}", (x(*close) - x(*open)).max(2.5))) height="11" rx="2"
                    fill="var(--load-soft)" stroke="var(--load)" {}
            }
            @for (row, unit) in example.units.iter().enumerate() { (line(row, *unit)) }
        }
    };
    drawn.into_string()
}

/// The sockets of these connections that were open in that time. A socket is known by its connection's end and address.
fn sockets(columns: &Columns, connections: &[u32], from: i64, to: i64) -> Vec<(i64, i64)> {
    let spans: Vec<_> =
        connections.iter().filter_map(|connection| columns.connections.get(*connection as usize)).collect();
    let of_these = |socket: &&crate::model::columns::SocketSpan| {
        let fits = |span: &&&crate::model::columns::ConnectionSpan| {
            span.closed_ns == socket.closed_ns && span.address == socket.address && span.opened_ns <= socket.opened_ns
        };
        spans.iter().any(|span| fits(&span))
    };
    let end = |closed: i64| if closed == UNKNOWN { to } else { closed };
    let mut open: Vec<(i64, i64)> = columns
        .sockets
        .iter()
        .filter(of_these)
        .map(|socket| (socket.opened_ns, end(socket.closed_ns)))
        .filter(|(open, close)| *open <= to && *close >= from)
        .collect();
    open.sort_unstable();
    open.dedup();
    open
}

/// At most 32 characters, its middle taken out where it is longer.
fn shortened(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    if chars.len() <= 32 {
        return text.to_owned();
    }
    let begin: String = chars.iter().take(13).collect();
    let end: String = chars.iter().skip(chars.len() - 18).collect();
    format!("{begin}…{end}")
}
