//! Lists for people: which columns each kind of row has, and what stands in them.

use crate::{
    model::{
        ExchangeId, Side, Timestamp,
        rows::{ConnectionRow, ExchangeRow, FlagRow, FrameRow, Phases, Row, SessionRow},
        websocket::opcode,
    },
    query::Kind,
};

use super::{
    style::Ink,
    table::{Cell, Column, Fit},
    units,
};

const fn left(title: &'static str) -> Column {
    Column { title, kind: Fit::Left, drop: None }
}

const fn right(title: &'static str) -> Column {
    Column { title, kind: Fit::Right, drop: None }
}

const fn rest(title: &'static str) -> Column {
    Column { title, kind: Fit::Rest, drop: None }
}

/// Left out where the terminal is narrow, the lowest number first.
const fn or_drop(column: Column, order: u8) -> Column {
    Column { title: column.title, kind: column.kind, drop: Some(order) }
}

/// The columns of a kind's list.
pub fn columns(kind: Kind) -> &'static [Column] {
    match kind {
        Kind::Connections => {
            const {
                &[
                    left("ID"),
                    right("TIME"),
                    or_drop(left("CLIENT"), 1),
                    rest("SERVER"),
                    or_drop(left("PROTOCOL"), 3),
                    or_drop(right("SETUP"), 2),
                    right("EXCH"),
                    right("FRAMES"),
                    or_drop(right("SENT"), 4),
                    or_drop(right("RECEIVED"), 4),
                    rest("CLOSED"),
                ]
            }
        }
        Kind::Exchanges => {
            const {
                &[
                    left("ID"),
                    right("TIME"),
                    or_drop(left("CONN"), 3),
                    or_drop(left("SESSION"), 2),
                    or_drop(left("ORIGIN"), 1),
                    left("METHOD"),
                    rest("TARGET"),
                    right("STATUS"),
                    right("TOOK"),
                    left("FLAGS"),
                ]
            }
        }
        Kind::Frames => {
            const {
                &[
                    left("ID"),
                    right("TIME"),
                    left("EXCH"),
                    left("FROM"),
                    left("TYPE"),
                    right("BYTES"),
                    or_drop(right("HELD"), 1),
                    rest("TEXT"),
                ]
            }
        }
        Kind::Sessions => {
            const {
                &[
                    left("ID"),
                    left("BY"),
                    left("SURE"),
                    right("SOCKETS"),
                    right("EXCH"),
                    rest("FIRST TO LAST"),
                    left("FLAGS"),
                ]
            }
        }
        Kind::Flags => {
            const {
                &[
                    right("TIME"),
                    left("SEVERITY"),
                    left("SUBJECT"),
                    or_drop(left("SESSION"), 1),
                    left("RULE"),
                    rest("MESSAGE"),
                ]
            }
        }
    }
}

/// A row's cells, one for each of [`columns`].
pub fn cells(row: &Row) -> Vec<Cell> {
    match row {
        Row::Connection(row) => connection(row),
        Row::Exchange(row) => exchange(row),
        Row::Frame(row) => frame(row),
        Row::Session(row) => session(row),
        Row::Flag(row) => flag(row),
    }
}

fn connection(row: &ConnectionRow) -> Vec<Cell> {
    let server = row.authority.as_ref().or(row.sni.as_ref()).or(row.server.as_ref());
    let (ink, closed) = ending(row);
    vec![
        Cell::new(Ink::Id, row.id.to_string()),
        Cell::new(Ink::Plain, units::offset(row.opened_ns)),
        Cell::new(Ink::Faint, &row.client),
        Cell::new(Ink::Plain, server.map_or("-", String::as_str)),
        Cell::new(Ink::Plain, protocol(row)),
        Cell::new(Ink::Plain, setup(row).map_or_else(|| "-".to_owned(), units::duration)),
        row.exchanges.into(),
        row.frames.into(),
        Cell::new(Ink::Plain, units::size(row.bytes_from_client)),
        Cell::new(Ink::Plain, units::size(row.bytes_from_server)),
        Cell::new(ink, closed),
    ]
}

/// `TLSv1.3 http/1.1`, or `plain`; where the legs differ, the client's.
fn protocol(row: &ConnectionRow) -> String {
    match (&row.client_tls, &row.alpn) {
        (None, _) => "plain".to_owned(),
        (Some(version), None) => version.clone(),
        (Some(version), Some(alpn)) => format!("{version} {alpn}"),
    }
}

/// From accept to the end of the last phase of the setup.
fn setup(row: &ConnectionRow) -> Option<u64> {
    let Phases { accept: _, connect, dial, server_tls, client_tls } = row.phases;
    let last = [connect, dial, server_tls, client_tls].into_iter().flatten().filter_map(|phase| phase.end_ns).max()?;
    Some(last.0.saturating_sub(row.opened_ns.0))
}

/// How a connection ended, in a word or two, and how bad that is; what failed says why, in short.
pub(super) fn ending(row: &ConnectionRow) -> (Ink, String) {
    if let Some(why) = &row.proxy_error {
        let short = [("received fatal alert: ", "alert "), ("invalid peer certificate: ", "certificate ")];
        let found = short.iter().find_map(|(long, short)| Some(format!("{short}{}", why.strip_prefix(long)?)));
        return (Ink::Bad, found.unwrap_or_else(|| why.clone()));
    }
    let (ink, ended) = match (&row.closed_by, &row.how) {
        (Some(by), Some(how)) => {
            let ink = if how == "fin" || how == "close_notify" { Ink::Plain } else { Ink::Bad };
            (ink, format!("{by} {how}"))
        }
        _ if row.closed_ns.is_some() => (Ink::Plain, "closed".to_owned()),
        _ => (Ink::Good, "open".to_owned()),
    };
    match &row.opaque {
        Some(why) => (if ink == Ink::Bad { ink } else { Ink::Odd }, format!("{ended}, opaque ({why})")),
        None => (ink, ended),
    }
}

pub(super) fn exchange(row: &ExchangeRow) -> Vec<Cell> {
    let took = row.response_last_byte_ns.map(|last| last.0.saturating_sub(row.request_first_byte_ns.0));
    let status = match (row.status, row.proxy_made) {
        (Some(status), true) => format!("{status}*"),
        (Some(status), false) => status.to_string(),
        (None, _) => "-".to_owned(),
    };
    vec![
        Cell::new(Ink::Id, row.id.to_string()),
        Cell::new(Ink::Plain, units::offset(row.request_first_byte_ns)),
        Cell::new(Ink::Faint, row.connection.to_string()),
        Cell::new(Ink::Faint, row.session.map_or_else(|| "-".to_owned(), |session| session.to_string())),
        Cell::new(Ink::Faint, super::text::fit(&origin(row), 40)),
        Cell::new(Ink::Plain, super::text::fit(&row.method, 12)),
        Cell::new(Ink::Plain, resource(row)),
        Cell::new(Ink::of_status(row.status), status),
        Cell::new(Ink::Plain, took.map_or_else(|| "-".to_owned(), units::duration)),
        Cell::new(Ink::Odd, rules(&row.flags)),
    ]
}

/// `https://api.test:443/path?query`
pub(super) fn target(row: &ExchangeRow) -> String {
    format!("{}{}", origin(row), resource(row))
}

fn origin(row: &ExchangeRow) -> String {
    format!("{}://{}", row.scheme, row.authority)
}

/// The target as the server would see it, in origin form.
pub(super) fn resource(row: &ExchangeRow) -> String {
    String::from_utf8_lossy(crate::model::exchange::origin_form(row.target.as_bytes())).into_owned()
}

/// The first rule and how many more.
fn rules(flags: &[String]) -> String {
    match flags {
        [] => String::new(),
        [one] => one.clone(),
        [first, more @ ..] => format!("{first} +{}", more.len()),
    }
}

pub(super) fn frame(row: &FrameRow) -> Vec<Cell> {
    let ink = if row.opcode == opcode::CLOSE { Ink::Odd } else { Ink::Plain };
    vec![
        Cell::new(Ink::Id, row.id.to_string()),
        Cell::new(Ink::Plain, units::offset(row.arrived_ns)),
        Cell::new(Ink::Faint, row.exchange.to_string()),
        Cell::new(Ink::Plain, side(row.from)),
        Cell::new(ink, frame_type(row)),
        row.bytes.into(),
        Cell::new(Ink::Faint, held(row)),
        Cell::new(Ink::Plain, row.text.as_deref().unwrap_or_default()),
    ]
}

/// How long the proxy had a frame: from its last byte's arrival to its write.
pub(super) fn held(row: &FrameRow) -> String {
    row.written_ns.map_or_else(|| "-".to_owned(), |written| units::duration(written.0.saturating_sub(row.arrived_ns.0)))
}

/// Who sent it, with an arrow that points to the other.
pub(super) fn side(from: Side) -> &'static str {
    match from {
        Side::Client => "client →",
        Side::Server => "server ←",
    }
}

/// `text`, `close`; `+` where more of the message follows, `z` where it is compressed.
pub(super) fn frame_type(row: &FrameRow) -> String {
    let name = match row.opcode {
        opcode::CONTINUATION => "more",
        opcode::TEXT => "text",
        opcode::BINARY => "binary",
        opcode::CLOSE => "close",
        opcode::PING => "ping",
        opcode::PONG => "pong",
        other => return format!("opcode {other}"),
    };
    format!("{name}{}{}", if row.compressed { " z" } else { "" }, if row.fin { "" } else { " +" })
}

fn session(row: &SessionRow) -> Vec<Cell> {
    let both = || row.exchanges.iter().chain(&row.sockets);
    let span = match (both().min(), both().max()) {
        (Some(first), Some(last)) if first != last => format!("{first} … {last}"),
        (Some(one), _) => one.to_string(),
        _ => "-".to_owned(),
    };
    vec![
        Cell::new(Ink::Id, row.id.to_string()),
        Cell::new(Ink::Plain, &row.correlated_by),
        if row.sure { Cell::new(Ink::Good, "yes") } else { Cell::new(Ink::Odd, "no") },
        row.sockets.len().into(),
        row.exchanges.len().into(),
        Cell::new(Ink::Faint, span),
        Cell::new(Ink::Odd, rules(&row.flags)),
    ]
}

fn flag(row: &FlagRow) -> Vec<Cell> {
    vec![
        Cell::new(Ink::Plain, units::offset(row.at_ns)),
        Cell::new(Ink::of_severity(&row.severity), &row.severity),
        Cell::new(Ink::Id, &row.subject),
        Cell::new(Ink::Faint, row.session.map_or_else(|| "-".to_owned(), |session| session.to_string())),
        Cell::new(Ink::Strong, &row.rule),
        Cell::new(Ink::Plain, &row.message),
    ]
}

/// Ids in one line, at most so many: `x1, x2, x5 and 12 more`.
pub(super) fn ids(of: &[ExchangeId], most: usize) -> String {
    let shown: Vec<String> = of.iter().take(most).map(ToString::to_string).collect();
    match of.len().saturating_sub(most) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// When a row began, for those who sort or filter by it.
pub fn began(row: &Row) -> Option<Timestamp> {
    match row {
        Row::Connection(row) => Some(row.opened_ns),
        Row::Exchange(row) => Some(row.request_first_byte_ns),
        Row::Frame(row) => Some(row.arrived_ns),
        Row::Flag(row) => Some(row.at_ns),
        Row::Session(_) => None,
    }
}
