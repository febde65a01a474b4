//! One line for each thing that happened, as `tail` prints them.

use crate::{
    model::rows::{ConnectionRow, ExchangeRow, FlagRow, FrameRow, Row},
    rules::RULES,
};

use super::{
    rows,
    style::{Ink, Look},
    text, units,
};

/// What a target gets at least.
const LEAST: usize = 20;

/// The line of a row, without its end.
pub fn line(row: &Row, look: Look) -> String {
    match row {
        Row::Exchange(row) => exchange(row, look),
        Row::Frame(row) => frame(row, look),
        Row::Flag(row) => flag(row, look),
        Row::Connection(row) => connection(row, look),
        Row::Session(row) => {
            let exchanges = units::count((row.exchanges.len() + row.sockets.len()) as u64, "exchange");
            format!(
                "{}  session ended, {exchanges}{}",
                look.paint(Ink::Id, &row.id.to_string()),
                flags(&row.flags, look)
            )
        }
    }
}

fn exchange(row: &ExchangeRow, look: Look) -> String {
    let took = row.response_last_byte_ns.map(|last| last.0.saturating_sub(row.request_first_byte_ns.0));
    let took = took.map(|took| format!("  {}", units::duration(took))).unwrap_or_default();
    let status = row.status.map_or_else(|| "no answer".to_owned(), |status| status.to_string());
    let begin = format!("{:>12}  ", units::offset(row.request_first_byte_ns));
    let id = row.id.to_string();
    let method = text::clean(&row.method);
    let marks: usize = row.flags.iter().map(|rule| text::width(rule) + 4).sum();
    let fixed = text::width(&begin) + id.len() + 2 + text::width(&method) + 1 + 3 + status.len() + text::width(&took);
    let room = look.width.saturating_sub(fixed + marks).max(LEAST);
    let mut target = text::clean(&rows::target(row));
    // The origin is the same in most lines; the path is what tells them apart.
    if text::width(&target) > room {
        target = text::fit(&text::clean(&rows::resource(row)), room);
    }
    format!(
        "{begin}{}  {method} {target} → {}{}{}",
        look.paint(Ink::Id, &id),
        look.paint(Ink::of_status(row.status), &status),
        look.paint(Ink::Faint, &took),
        flags(&row.flags, look),
    )
}

/// The rules that hit it, the worst first.
fn flags(rules: &[String], look: Look) -> String {
    let mut sorted: Vec<(u8, &str, &String)> = rules
        .iter()
        .map(|rule| {
            let severity = RULES.iter().find(|info| info.id == rule).map_or("error", |info| info.severity.as_str());
            (super::badness(severity), severity, rule)
        })
        .collect();
    sorted.sort();
    sorted
        .into_iter()
        .map(|(_, severity, rule)| format!("  {}", look.paint(Ink::of_severity(severity), &format!("⚑ {rule}"))))
        .collect()
}

fn frame(row: &FrameRow, look: Look) -> String {
    let begin = format!("{} {} {}", rows::side(row.from), rows::frame_type(row), units::size(row.bytes));
    let id = row.id.to_string();
    let room = look.width.saturating_sub(12 + 2 + id.len() + 2 + row.exchange.to_string().len() + 1 + begin.len() + 2);
    let text = text::fit(&text::clean(row.text.as_deref().unwrap_or_default()), room.max(10));
    let line = format!(
        "{:>12}  {}  {} {begin}  {}",
        units::offset(row.arrived_ns),
        look.paint(Ink::Id, &id),
        row.exchange,
        look.paint(Ink::Faint, &text)
    );
    line.trim_end().to_owned()
}

fn flag(row: &FlagRow, look: Look) -> String {
    format!(
        "{:>12}  {} on {}: {}",
        units::offset(row.at_ns),
        look.paint(Ink::of_severity(&row.severity), &format!("⚑ {}", text::clean(&row.rule))),
        look.paint(Ink::Id, &text::clean(&row.subject)),
        text::clean(&row.message)
    )
}

fn connection(row: &ConnectionRow, look: Look) -> String {
    let (ink, ending) = rows::ending(row);
    let server = row.authority.as_deref().unwrap_or("-");
    format!(
        "{:>12}  {}  {} → {}  {}",
        units::offset(row.closed_ns.unwrap_or(row.opened_ns)),
        look.paint(Ink::Id, &row.id.to_string()),
        text::clean(&row.client),
        text::clean(server),
        look.paint(ink, &text::clean(&ending))
    )
}
